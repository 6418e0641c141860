//! What a link between two hosts is like: how long packets take, and what becomes of some of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long packets take, one way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Distribution {
    /// Anything between the two, each as likely.
    Uniform {
        /// The smallest.
        min: Duration,
        /// The largest.
        max: Duration,
    },
    /// Around a mean, as a bell; never less than nothing.
    Normal {
        /// The mean.
        mean: Duration,
        /// The standard deviation.
        deviation: Duration,
    },
    /// Half of them take up to the median, one in a hundred longer than `p99`, some much longer (log-normal), and none more
    /// than ten times `p99`: on a real way queues are finite, and what took longer would be lost.
    LongTail {
        /// Half take longer.
        median: Duration,
        /// One in a hundred takes longer.
        p99: Duration,
    },
}

/// The quantile of the standard normal distribution at 0.99.
const NORMAL_P99: f64 = 2.326_347_874_040_841;

/// So many times `p99` is the end of a long tail.
const TAIL_ENDS_AT: u32 = 10;

impl Distribution {
    /// Always the same.
    pub fn constant(latency: Duration) -> Self {
        Self::Uniform { min: latency, max: latency }
    }

    /// The smallest that it can be.
    pub fn least(&self) -> Duration {
        match *self {
            Self::Uniform { min, .. } => min,
            Self::Normal { .. } | Self::LongTail { .. } => Duration::ZERO,
        }
    }

    /// The latency that two independent draws decide. Each gives the same number every time, between 0 (inclusive) and 1,
    /// and is asked only where it matters.
    pub fn at(&self, first: impl Fn() -> f64, second: impl Fn() -> f64) -> Duration {
        match *self {
            Self::Uniform { min, max } if min >= max => min,
            Self::Uniform { min, max } => min + (max - min).mul_f64(first()),
            Self::Normal { mean, deviation } => {
                let moved = mean.as_secs_f64() + deviation.as_secs_f64() * standard_normal(first(), second());
                Duration::try_from_secs_f64(moved.max(0.0)).unwrap_or(mean)
            }
            Self::LongTail { median, p99 } => {
                let sigma = libm::log(p99.as_secs_f64() / median.as_secs_f64()) / NORMAL_P99;
                let factor = libm::exp(sigma * standard_normal(first(), second()));
                Duration::try_from_secs_f64(median.as_secs_f64() * factor).unwrap_or(p99).min(p99 * TAIL_ENDS_AT)
            }
        }
    }
}

/// Box and Muller's transform. The functions are `libm`'s because those of C libraries differ in the last digit.
fn standard_normal(first: f64, second: f64) -> f64 {
    libm::sqrt(-2.0 * libm::log(1.0 - first)) * libm::cos(std::f64::consts::TAU * second)
}

/// What is different about a link; what is not named is as the network has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkQuality {
    /// How long packets take.
    pub latency: Option<Distribution>,
    /// Probability that a packet is lost.
    pub loss: f64,
    /// Probability that a packet arrives twice.
    pub duplicate: f64,
    /// Probability that a packet is overtaken by those behind it.
    pub reorder: f64,
    /// Probability that a packet's bits flip; a checksum notices it, and the packet is lost.
    pub corrupt: f64,
    /// Bytes per second.
    pub bandwidth: Option<u64>,
    /// Bytes that wait for a link that is busy; what comes on top is lost.
    pub queue: Option<u64>,
}

impl LinkQuality {
    /// Whether one packet in a hundred, or more, takes longer than `limit`.
    pub fn is_slower_than(&self, limit: Duration) -> bool {
        self.latency.is_some_and(|latency| match latency {
            Distribution::Uniform { max, .. } => max > limit,
            Distribution::Normal { mean, deviation } => mean + deviation.mul_f64(NORMAL_P99) > limit,
            Distribution::LongTail { p99, .. } => p99 > limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Distribution;

    fn sorted(distribution: Distribution) -> Vec<Duration> {
        let steps = 200;
        let mut drawn: Vec<Duration> = (0..steps * steps)
            .map(|index| (f64::from(index / steps), f64::from(index % steps)))
            .map(|(first, second)| distribution.at(|| (first + 0.5) / 200.0, || (second + 0.5) / 200.0))
            .collect();
        drawn.sort_unstable();
        drawn
    }

    #[test]
    fn distributions_have_the_quantiles_that_they_are_named_by() {
        let micros = Duration::from_micros;
        let near = |got: Duration, wanted: Duration| {
            let ratio = got.as_secs_f64() / wanted.as_secs_f64();
            assert!((0.97..1.03).contains(&ratio), "{got:?} is not {wanted:?}");
        };
        let uniform = sorted(Distribution::Uniform { min: micros(100), max: micros(300) });
        near(uniform[20_000], micros(200));
        assert!(uniform[0] >= micros(100) && uniform[39_999] <= micros(300));
        let normal = sorted(Distribution::Normal { mean: micros(500), deviation: micros(50) });
        near(normal[20_000], micros(500));
        near(normal[33_650], micros(550));
        let tail = sorted(Distribution::LongTail { median: micros(800), p99: micros(20_000) });
        near(tail[20_000], micros(800));
        near(tail[39_600], micros(20_000));
        let extreme = Distribution::LongTail { median: micros(2_000), p99: micros(80_000) }.at(|| 1.0 - 1e-12, || 0.0);
        assert_eq!(extreme, micros(800_000), "and not 262 s");
        assert_eq!(Distribution::constant(micros(7)).at(|| 0.9, || 0.1), micros(7));
    }
}
