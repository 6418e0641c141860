//! The clock of a host: the world's time to the nanosecond, a date that may be skewed, and timers of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use shaketable_stack::env::{Clock, Instant, Sleep};

use super::fabric::SharedFabric;
use crate::determinism::EPOCH_S;

/// The world's time as everybody may read it, in nanoseconds since it began.
#[derive(Clone, Debug, Default)]
pub(super) struct WorldTime(Arc<AtomicU64>);

impl WorldTime {
    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }
}

/// How far a host's date is from the world's, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Skew(Arc<AtomicI64>);

impl Skew {
    pub(super) fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, skew_ns: i64) {
        self.0.store(skew_ns, Ordering::Relaxed);
    }
}

/// The clock of one host. Its origin is the world's, so that instants of simulated hosts are comparable.
#[derive(Debug)]
pub(super) struct HostClock {
    pub(super) fabric: SharedFabric,
    pub(super) host: u32,
    pub(super) time: WorldTime,
    pub(super) skew: Skew,
}

impl Clock for HostClock {
    fn now(&self) -> Instant {
        Instant::from_origin(Duration::from_nanos(self.time.now()))
    }

    fn wall(&self) -> SystemTime {
        let since_1970 = (EPOCH_S * 1_000_000_000 + self.time.now()).saturating_add_signed(self.skew.get());
        SystemTime::UNIX_EPOCH + Duration::from_nanos(since_1970)
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        // A wait of centuries is one for ever.
        let deadline = u64::try_from(deadline.since_origin().as_nanos()).unwrap_or(u64::MAX);
        Sleep::new(Timer { fabric: self.fabric.clone(), time: self.time.clone(), host: self.host, deadline, id: None })
    }
}

struct Timer {
    fabric: SharedFabric,
    time: WorldTime,
    host: u32,
    deadline: u64,
    id: Option<u64>,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.time.now() >= self.deadline {
            return Poll::Ready(());
        }
        let (host, deadline) = (self.host, self.deadline);
        match self.id {
            Some(id) => self.fabric.lock().renew_timer(host, (deadline, id), context.waker()),
            None => {
                let id = self.fabric.lock().set_timer(host, deadline, context.waker().clone());
                self.id = Some(id);
            }
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // The waker goes when the fabric is not locked any more.
            let waker = self.fabric.lock().drop_timer(self.host, (self.deadline, id));
            drop(waker);
        }
    }
}
