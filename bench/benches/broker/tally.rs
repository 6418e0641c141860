//! Who has handled what: each subscriber sees that messages come in order and none is missing, and the publisher is told when
//! all have come. The same for every contender; it knows none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::BODY_BYTES;

/// What is still on its way.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    wanted: AtomicU64,
    handled: AtomicU64,
    all: Notify,
}

/// One subscriber's view of it.
#[derive(Debug)]
pub(crate) struct Seen {
    tally: Arc<Tally>,
    next: AtomicU64,
}

impl Tally {
    /// So many more deliveries are due.
    pub(crate) fn expect(&self, deliveries: usize) {
        self.wanted.fetch_add(deliveries as u64, Ordering::Relaxed);
    }

    /// Waits until all of them were made.
    pub(crate) async fn complete(&self) {
        while self.handled.load(Ordering::Relaxed) < self.wanted.load(Ordering::Relaxed) {
            self.all.notified().await;
        }
    }

    /// A subscriber whose first message is `next`.
    pub(crate) fn subscriber(self: &Arc<Self>, next: u64) -> Seen {
        Seen { tally: self.clone(), next: AtomicU64::new(next) }
    }

    /// `seen` has left before message `next` was published: what it has not handled until now is not due any more.
    pub(crate) fn leave(&self, seen: &Seen, next: u64) {
        let missed = next - seen.next.load(Ordering::Relaxed);
        self.wanted.fetch_sub(missed, Ordering::Relaxed);
    }
}

impl Seen {
    /// Handles a message.
    ///
    /// # Panics
    /// When it is not the one that is due.
    pub(crate) fn handle(&self, body: &[u8]) {
        let due = self.next.fetch_add(1, Ordering::Relaxed);
        assert_eq!((number(body), body.len()), (Some(due), BODY_BYTES), "messages come in order and whole");
        let handled = self.tally.handled.fetch_add(1, Ordering::Relaxed) + 1;
        if handled == self.tally.wanted.load(Ordering::Relaxed) {
            self.tally.all.notify_one();
        }
    }
}

/// The body of message `number`.
pub(crate) fn body(number: u64) -> Bytes {
    let mut body = vec![7; BODY_BYTES];
    body[..8].copy_from_slice(&number.to_le_bytes());
    body.into()
}

/// The number of the message with this body.
fn number(body: &[u8]) -> Option<u64> {
    body.first_chunk().copied().map(u64::from_le_bytes)
}
