//! Time as a component sees it: a monotonic clock for durations and deadlines, a wall clock for dates.

use std::fmt;
use std::ops::{Add, Sub};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use pin_project_lite::pin_project;

use crate::opaque::opaque;

/// Monotonic and wall time, and waiting.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Monotonic time since an origin that belongs to this clock.
    fn now(&self) -> Instant;

    /// The date. It may jump or drift, and differs between hosts; never subtract two of them to get a duration.
    fn wall(&self) -> SystemTime;

    /// Completes at `deadline`, never earlier.
    fn sleep_until(&self, deadline: Instant) -> Sleep;
}

/// A point of monotonic time. Comparable within one host only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The point `since_origin` after the clock's origin.
    pub const fn from_origin(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// Time since the clock's origin.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// Time from `earlier` to this point; zero when `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

/// A wait; see [`Clock::sleep_until`].
pub struct Sleep(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Sleep {
    /// A wait that is over when `future` is.
    pub fn new(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

opaque!(Sleep);

/// A deadline passed before the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("deadline exceeded")
    }
}

impl std::error::Error for Elapsed {}

pin_project! {
    /// Work that is given up when a deadline passes; see [`Env::timeout_at`](super::Env::timeout_at). The timer is set when the
    /// work turns out to have to wait: most that is bounded is done at once.
    #[must_use = "nothing is done unless it is awaited"]
    pub struct Timeout<'a, F> {
        clock: &'a dyn Clock,
        deadline: Instant,
        #[pin]
        future: F,
        sleep: Option<Sleep>,
    }
}

impl<'a, F: Future> Timeout<'a, F> {
    pub(super) fn new(clock: &'a dyn Clock, deadline: Instant, future: F) -> Self {
        Self { clock, deadline, future, sleep: None }
    }
}

impl<F: Future> Future for Timeout<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The work is polled first, so that a result that is ready at the deadline counts.
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        let sleep = this.sleep.get_or_insert_with(|| this.clock.sleep_until(*this.deadline));
        Pin::new(sleep).poll(context).map(|()| Err(Elapsed))
    }
}

impl<F> fmt::Debug for Timeout<'_, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Timeout").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
