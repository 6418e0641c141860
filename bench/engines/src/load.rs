//! The load: hosts in a ring, each a tonic server and a client that calls its neighbour. How many calls that makes is known, so
//! that nobody measures an empty loop.

use std::time::Duration;

/// One-way latency between any two hosts.
pub const LATENCY: Duration = Duration::from_millis(1);

/// What a call takes on a network with that latency.
pub const ROUND_TRIP: Duration = Duration::from_millis(2);

/// After this long every connection is open and each client has called once.
pub const WARM_UP: Duration = Duration::from_millis(200);

/// Servers listen before clients connect.
pub(crate) const HEAD_START: Duration = Duration::from_millis(10);

/// What hosts do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many hosts there are.
    pub hosts: usize,
    /// How many of them call; the others only serve.
    pub callers: usize,
    /// How long a client waits between an answer and its next call.
    pub think: Duration,
}

impl Load {
    /// `hosts` that all call.
    pub fn new(hosts: usize, think: Duration) -> Self {
        Self { hosts, callers: hosts, think }
    }

    /// When the client of `host` begins, after its first call: evenly spread, because hosts that move in step would share
    /// what an engine does per moment.
    pub(crate) fn offset(&self, host: usize) -> Duration {
        self.think * u32::try_from(host).unwrap_or(u32::MAX) / u32::try_from(self.hosts.max(1)).unwrap_or(u32::MAX)
    }

    /// How many calls end in `span`, when each takes `round_trip`.
    pub fn calls(&self, span: Duration, round_trip: Duration) -> f64 {
        self.callers as f64 * span.as_secs_f64() / (self.think + round_trip).as_secs_f64()
    }

    /// Holds `calls` against what `span` must have brought. A contender with ticks may take one tick longer each way.
    ///
    /// # Panics
    /// When it was another load than this.
    pub fn check(&self, span: Duration, calls: u64) {
        let least = 0.9 * self.calls(span, 2 * ROUND_TRIP) - 1.0;
        let most = 1.1 * self.calls(span, ROUND_TRIP) + 1.0;
        assert!((least..=most).contains(&(calls as f64)), "{calls} calls in {span:?}, not {least:.0} to {most:.0}");
        assert!(calls > 0, "no call in {span:?}");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Load, ROUND_TRIP};

    #[test]
    fn a_load_makes_as_many_calls_as_it_says() {
        let load = Load::new(10, Duration::from_millis(98));
        assert_eq!(load.calls(Duration::from_secs(30), ROUND_TRIP), 3_000.0);
        assert_eq!(load.offset(5), Duration::from_millis(49));
        load.check(Duration::from_secs(30), 2_990);
    }

    #[test]
    #[should_panic(expected = "not 2646 to 3301")]
    fn an_empty_loop_is_noticed() {
        Load::new(10, Duration::from_millis(98)).check(Duration::from_secs(30), 40);
    }
}
