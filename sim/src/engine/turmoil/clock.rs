//! The clock of a host on turmoil: tokio's paused clock, and turmoil's time of the world.
#![expect(clippy::disallowed_methods, reason = "this is where tokio's paused clock is wrapped")]

use std::time::{Duration, SystemTime};

use shaketable_stack::env::{Clock, Instant, Sleep};

use crate::determinism::EPOCH_S;

/// Simulated time. Its origin is the world's, so that instants of simulated hosts are comparable.
#[derive(Debug)]
pub(super) struct HostClock {
    started: tokio::time::Instant,
    world_time_at_start: Duration,
}

impl HostClock {
    pub(super) fn start() -> Self {
        Self { started: tokio::time::Instant::now(), world_time_at_start: turmoil::sim_elapsed().unwrap_or_default() }
    }
}

impl Clock for HostClock {
    fn now(&self) -> Instant {
        Instant::from_origin(self.world_time_at_start + self.started.elapsed())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_S) + self.now().since_origin()
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        let after_start = deadline.since_origin().saturating_sub(self.world_time_at_start);
        Sleep::new(tokio::time::sleep_until(self.started + after_start))
    }
}
