//! Toxics on the connections between hosts, with the kinds and attributes of toxiproxy, as people write them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scenario::duration;
use crate::toxic::{Direction, Toxic, ToxicError};

/// A toxic on the connections between two groups of hosts, whoever has made them; exactly one kind is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToxicFault {
    /// One side: hosts or groups, separated by commas.
    pub a: String,
    /// The other side.
    pub b: String,
    /// Which way it acts; on what the one says who was dialled, where nothing is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<ToxicDirection>,
    /// The share of the connections that it acts on, 0 to 1; all of them, where nothing is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toxicity: Option<f64>,
    /// Delivers later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<ToxicLatency>,
    /// Lets little through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<ToxicBandwidth>,
    /// Delivers the end of a connection later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_close: Option<ToxicSlowClose>,
    /// Loses everything, and closes after a silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<ToxicTimeout>,
    /// Resets both ends, once something was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_peer: Option<ToxicTimeout>,
    /// Delivers in small pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slicer: Option<ToxicSlicer>,
    /// Closes once so many bytes have passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_data: Option<ToxicLimit>,
    /// Closes every connection, and accepts none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<ToxicDown>,
}

/// Which way a toxic acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToxicDirection {
    /// What the one says who has dialled.
    Upstream,
    /// What the other one says.
    Downstream,
    /// What either says, on the same connections.
    Both,
}

/// Attributes of `latency`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToxicLatency {
    /// How much later.
    #[serde(with = "duration")]
    pub latency: Duration,
    /// How much more, or less.
    #[serde(default, with = "duration", skip_serializing_if = "Duration::is_zero")]
    pub jitter: Duration,
}

/// Attributes of `bandwidth`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToxicBandwidth {
    /// In thousands of bytes per second; nothing passes with 0.
    pub rate: u64,
}

/// Attributes of `slow_close`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToxicSlowClose {
    /// How much later.
    #[serde(with = "duration")]
    pub delay: Duration,
}

/// Attributes of `timeout` and `reset_peer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToxicTimeout {
    /// After how long; for `timeout`, zero is never.
    #[serde(default, with = "duration", skip_serializing_if = "Duration::is_zero")]
    pub timeout: Duration,
}

/// Attributes of `slicer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToxicSlicer {
    /// How long a piece is, in bytes.
    pub average_size: u64,
    /// How much longer, or shorter, in bytes.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub size_variation: u64,
    /// The pause after each.
    #[serde(default, with = "duration", skip_serializing_if = "Duration::is_zero")]
    pub delay: Duration,
}

/// Attributes of `limit_data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToxicLimit {
    /// How many.
    pub bytes: u64,
}

/// Attributes of `down`, which has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToxicDown {}

impl ToxicFault {
    /// The kinds that are given, each as a toxic is written; `down` has no toxic.
    pub(crate) fn kinds(&self) -> Vec<(&'static str, Option<String>)> {
        let time = |time: Duration| duration::print(time);
        let toxics = [
            (
                "latency",
                self.latency.as_ref().map(|it| format!("latency={},jitter={}", time(it.latency), time(it.jitter))),
            ),
            ("bandwidth", self.bandwidth.as_ref().map(|it| format!("rate={}", it.rate))),
            ("slow_close", self.slow_close.as_ref().map(|it| format!("delay={}", time(it.delay)))),
            ("timeout", self.timeout.as_ref().map(|it| format!("timeout={}", time(it.timeout)))),
            ("reset_peer", self.reset_peer.as_ref().map(|it| format!("timeout={}", time(it.timeout)))),
            (
                "slicer",
                self.slicer.as_ref().map(|it| {
                    let (average, variation, delay) = (it.average_size, it.size_variation, time(it.delay));
                    format!("average_size={average},size_variation={variation},delay={delay}")
                }),
            ),
            ("limit_data", self.limit_data.as_ref().map(|it| format!("bytes={}", it.bytes))),
        ];
        let given = toxics.into_iter().filter_map(|(kind, parts)| Some((kind, Some(format!("{kind}:{}", parts?)))));
        given.chain(self.down.as_ref().map(|_| ("down", None))).collect()
    }

    /// The toxics that it means, each called `name`: two where it acts both ways, and none for `down`.
    ///
    /// # Errors
    /// When they cannot be so.
    pub(crate) fn toxics(&self, name: &str) -> Result<Vec<Toxic>, ToxicError> {
        let directions = match self.direction {
            Some(ToxicDirection::Upstream) => vec![Direction::Upstream],
            Some(ToxicDirection::Downstream) | None => vec![Direction::Downstream],
            Some(ToxicDirection::Both) => vec![Direction::Upstream, Direction::Downstream],
        };
        let mut toxics = Vec::new();
        for text in self.kinds().into_iter().filter_map(|(_, text)| text) {
            let toxic: Toxic = text.parse()?;
            let toxic = toxic.named(name).with_toxicity(self.toxicity.unwrap_or(1.0))?;
            toxics.extend(directions.iter().map(|direction| toxic.clone().directed(*direction)));
        }
        Ok(toxics)
    }
}

fn is_nothing(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_the_toxic_that_a_proxy_would_have() {
        let latency = Some(ToxicLatency { latency: Duration::from_millis(1_500), jitter: Duration::from_millis(20) });
        let both = Some(ToxicDirection::Both);
        let slow = ToxicFault { latency, direction: both, toxicity: Some(0.5), ..ToxicFault::default() };
        let texts: Vec<String> = slow.toxics("x").unwrap().iter().map(ToString::to_string).collect();
        let [there, back] =
            ["upstream", "downstream"].map(|way| format!("latency:latency=1500,jitter=20,{way},0.5,name=x"));
        assert_eq!(texts, [there, back]);
        let slicer = Some(ToxicSlicer { average_size: 8, size_variation: 2, delay: Duration::from_micros(70) });
        let sliced = ToxicFault { slicer, ..ToxicFault::default() }.toxics("y").unwrap();
        assert_eq!(sliced[0].to_string(), "slicer:average_size=8,size_variation=2,delay=70,downstream,1,name=y");
        assert_eq!(ToxicFault { down: Some(ToxicDown {}), ..ToxicFault::default() }.toxics("z").unwrap(), []);
    }

    #[test]
    fn what_no_toxic_can_be_is_refused() {
        let slow_close = Some(ToxicSlowClose { delay: Duration::from_micros(1) });
        let refused = ToxicFault { slow_close, ..ToxicFault::default() }.toxics("x").unwrap_err().to_string();
        assert!(refused.contains("delay=1us: it is no whole number of ms"), "{refused}");
    }
}
