//! The clocks of a live host: monotonic time from the beginning of the world, and the real date, moved where a fault says so.
#![expect(clippy::disallowed_methods, reason = "this is where the real clocks are wrapped")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use shaketable_stack::env::{Clock, Instant, Sleep};

/// The clocks of one host.
#[derive(Debug)]
pub(super) struct LiveClock {
    origin: tokio::time::Instant,
    skew_ns: Arc<AtomicI64>,
}

impl LiveClock {
    /// Monotonic time begins at `origin`; the date is so far from the real one.
    pub(super) fn new(origin: tokio::time::Instant, skew_ns: Arc<AtomicI64>) -> Self {
        Self { origin, skew_ns }
    }
}

impl Clock for LiveClock {
    fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    fn wall(&self) -> SystemTime {
        let (now, skew_ns) = (SystemTime::now(), self.skew_ns.load(Ordering::Relaxed));
        let by = Duration::from_nanos(skew_ns.unsigned_abs());
        let moved = if skew_ns < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        moved.unwrap_or(now)
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::new(tokio::time::sleep_until(self.origin + deadline.since_origin()))
    }
}
