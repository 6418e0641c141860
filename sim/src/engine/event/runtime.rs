//! The runtime of one host: tokio's own, run only while it has something to do. Whatever libraries spawn or set timers on lands
//! on it, so that a host which is not run executes nothing, and one whose runtime is dropped is dead.
//!
//! tokio tells nobody when its next timer is due; it waits for it. The interposed wait says for how long, and does not wait.
#![expect(clippy::disallowed_methods, reason = "this is where tokio's timers are waited for")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Sleep;

use crate::determinism::{set_parked, set_wall_offset};

thread_local! {
    /// Wakes the runtime that is being run.
    static RUNNING: RefCell<Option<Waker>> = const { RefCell::new(None) };
    /// How the run ended.
    static PARKED: Cell<Option<Option<Duration>>> = const { Cell::new(None) };
}

/// tokio's timers are as fine as this.
const TICK_NS: u64 = 1_000_000;

/// A runtime without any timer would wait without a limit, and such a wait cannot be ended from within.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3_600);

/// The runtime of one incarnation of a host.
#[derive(Debug)]
pub(super) struct HostRuntime {
    /// Dropped before the runtime that it belongs to.
    for_ever: Pin<Box<Sleep>>,
    /// `for_ever` has been polled, and is among the timers from then on.
    has_timer: bool,
    runtime: Runtime,
    /// When it was made: tokio counts its ticks from there.
    made_at: u64,
}

impl HostRuntime {
    /// A runtime on which nothing has happened yet.
    ///
    /// # Errors
    /// When tokio cannot make one.
    pub(super) fn new(now: u64) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let for_ever = {
            let _guard = runtime.enter();
            Box::pin(tokio::time::sleep(FOR_EVER))
        };
        Ok(Self { for_ever, has_timer: false, runtime, made_at: now })
    }

    /// Runs `inside` on the runtime, without running what it spawns.
    pub(super) fn enter<T>(&self, inside: impl FnOnce() -> T) -> T {
        let _guard = self.runtime.enter();
        inside()
    }

    /// Whether tasks were woken from outside and not run since.
    pub(super) fn was_woken(&self) -> bool {
        self.runtime.metrics().global_queue_depth() > 0
    }

    /// Wakes `wakers` and runs everything that can run at `now`; when timers of the runtime want it to run again.
    pub(super) fn run(&mut self, now: u64, skew_ns: i64, wakers: &mut Vec<Waker>) -> Option<u64> {
        PARKED.set(None);
        set_wall_offset(skew_ns);
        set_parked(Some(parked));
        let (for_ever, has_timer) = (&mut self.for_ever, &mut self.has_timer);
        self.runtime.block_on(poll_fn(|context| {
            if PARKED.get().is_some() {
                return Poll::Ready(());
            }
            wakers.drain(..).for_each(Waker::wake);
            if !*has_timer {
                *has_timer = true;
                if for_ever.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
            }
            RUNNING.set(Some(context.waker().clone()));
            Poll::Pending
        }));
        set_parked(None);
        set_wall_offset(0);
        let until = PARKED.get().flatten()?;
        let until_ns = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX);
        // It waits for whole ticks from now on, and now may be between two: the timer is due on a tick.
        let between_ticks = now.saturating_sub(self.made_at) % TICK_NS;
        Some(until_ns.saturating_sub(between_ticks).max(now + 1))
    }
}

/// The runtime has nothing to do until then.
fn parked(until: Option<Duration>) {
    PARKED.set(Some(until));
    let waker = RUNNING.take();
    if let Some(waker) = waker {
        waker.wake();
    }
}
