//! How the clock of the simulated etcd runs beside that of its host: as fast, or a number of times as fast, so that a test need
//! not wait for a lease. It knows no clock.

use std::num::NonZeroU32;
use std::time::Duration;

/// A straight line: at a moment of the host it was a moment here, and since then it goes so many times as fast.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    host_at: Duration,
    etcd_at: Duration,
    times: NonZeroU32,
}

impl Pace {
    /// As fast as the host's, and as late.
    pub(super) const EVEN: Self = Self { host_at: Duration::ZERO, etcd_at: Duration::ZERO, times: NonZeroU32::MIN };

    pub(super) fn times(self) -> NonZeroU32 {
        self.times
    }

    /// The time here when it is `host` there.
    pub(super) fn time(self, host: Duration) -> Duration {
        self.etcd_at.saturating_add(host.saturating_sub(self.host_at).saturating_mul(self.times.get()))
    }

    /// The first time there at which it is `time` here.
    pub(super) fn host_time(self, time: Duration) -> Duration {
        let nanos = time.saturating_sub(self.etcd_at).as_nanos().div_ceil(u128::from(self.times.get()));
        let since = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.host_at.saturating_add(since)
    }

    /// Goes on from `host` at another pace.
    pub(super) fn from(self, host: Duration, times: NonZeroU32) -> Self {
        Self { host_at: host, etcd_at: self.time(host), times }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, NonZeroU32, Pace};

    fn times(times: u32) -> NonZeroU32 {
        NonZeroU32::new(times).expect("not 0")
    }

    #[test]
    fn a_pace_goes_on_where_the_one_before_has_left_off() {
        let second = Duration::from_secs(1);
        let fast = Pace::EVEN.from(10 * second, times(100));
        assert_eq!((fast.time(10 * second), fast.time(11 * second)), (10 * second, 110 * second));
        let slow = fast.from(11 * second, times(1));
        assert_eq!((slow.time(11 * second), slow.time(12 * second)), (110 * second, 111 * second));
    }

    #[test]
    fn whoever_waits_until_a_moment_of_the_host_finds_the_time_come() {
        for (pace, due) in [(1, 12_345), (3, 1_000_000_007), (1000, 999), (7, 1)] {
            let pace = Pace::EVEN.from(Duration::from_nanos(5), times(pace));
            let due = Duration::from_nanos(5 + due);
            let host = pace.host_time(due);
            assert!(pace.time(host) >= due, "{pace:?}");
            assert!(pace.time(host - Duration::from_nanos(1)) < due, "{pace:?} waits too long");
        }
    }

    #[test]
    fn a_time_beyond_all_clocks_is_waited_for_and_no_panic() {
        // Some 584 years: longer than that no timer waits.
        assert_eq!(Pace::EVEN.host_time(Duration::MAX), Duration::from_nanos(u64::MAX));
        assert_eq!(Pace::EVEN.from(Duration::from_secs(1), times(u32::MAX)).time(Duration::MAX), Duration::MAX);
    }
}
