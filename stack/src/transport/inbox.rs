//! A bounded queue whose receiving end can be dropped while somebody waits for it: messages of a `memory` socket, sockets
//! of a listener. Knows nothing of what it carries.

use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use tokio::sync::mpsc;

/// The receiving end of a queue.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    // Locked within one poll only: closing never waits for a future that holds it but is not polled.
    receiver: Mutex<Option<mpsc::Receiver<T>>>,
    /// Several who wait take turns, because a receiver wakes one of them only.
    turn: tokio::sync::Mutex<()>,
}

impl<T> Inbox<T> {
    pub(super) fn new(receiver: mpsc::Receiver<T>) -> Self {
        Self { receiver: Mutex::new(Some(receiver)), turn: tokio::sync::Mutex::default() }
    }

    /// The next item; `None` when all senders are gone and the queue is empty, or after [`close`](Self::close).
    pub(super) async fn next(&self) -> Option<T> {
        let _turn = self.turn.lock().await;
        poll_fn(|context| match &mut *self.receiver.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(receiver) => receiver.poll_recv(context),
            None => Poll::Ready(None),
        })
        .await
    }

    /// Drops the queue and what is in it.
    pub(super) fn close(&self) {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Dropped after the lock: an item's own drop may take locks.
        drop(receiver);
    }
}
