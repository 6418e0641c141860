//! What must hold in a scenario.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scenario::duration;

/// What must hold; what is absent is not judged. In the order of the oracles, causes before what they lead to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Who is down or paused does nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_stop: Option<FailStop>,
    /// A registration is seen by whoever can reach the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_visible: Option<Within>,
    /// A lease expires neither early nor late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_expiry: Option<LeaseExpiry>,
    /// Watchers see every change once and in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch_order: Option<WatchOrder>,
    /// No call goes to a node that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_stale_calls: Option<Within>,
    /// After the heal all hosts see the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub views_converge: Option<Within>,
    /// Selection is fair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector_fairness: Option<Fairness>,
    /// Each answer is for what was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers_match: Option<AnswersMatch>,
    /// Events are delivered as the broker promises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryExpectation>,
    /// Every operation ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nothing_hangs: Option<Within>,
    /// Calls succeed, by phase.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub success_rate: Vec<SuccessRate>,
    /// Calls are quick, by phase, in simulated time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<LatencyBound>,
}

impl Expect {
    /// The same with `slack` added to every bound in time.
    #[must_use]
    pub fn widened(&self, slack: Duration) -> Self {
        let wider = |within: Option<Within>| within.map(|bound| Within { within: bound.within.saturating_add(slack) });
        let later = |time: Option<Duration>| time.map(|time| time.saturating_add(slack));
        Self {
            registration_visible: wider(self.registration_visible),
            lease_expiry: self
                .lease_expiry
                .map(|expiry| LeaseExpiry { late: expiry.late.saturating_add(slack), ..expiry }),
            watch_order: self.watch_order.map(|order| WatchOrder { within: later(order.within) }),
            no_stale_calls: wider(self.no_stale_calls),
            views_converge: wider(self.views_converge),
            delivery: self.delivery.map(|delivery| DeliveryExpectation {
                within: delivery.within.saturating_add(slack),
                calm: later(delivery.calm),
            }),
            nothing_hangs: wider(self.nothing_hangs),
            latency: self
                .latency
                .iter()
                .map(|bound| LatencyBound { at_most: bound.at_most.saturating_add(slack), ..bound.clone() })
                .collect(),
            ..self.clone()
        }
    }

    /// The names of what is expected, as the file writes them.
    pub fn names(&self) -> Vec<&'static str> {
        let expected = [
            ("fail_stop", self.fail_stop.is_some()),
            ("registration_visible", self.registration_visible.is_some()),
            ("lease_expiry", self.lease_expiry.is_some()),
            ("watch_order", self.watch_order.is_some()),
            ("no_stale_calls", self.no_stale_calls.is_some()),
            ("views_converge", self.views_converge.is_some()),
            ("selector_fairness", self.selector_fairness.is_some()),
            ("answers_match", self.answers_match.is_some()),
            ("delivery", self.delivery.is_some()),
            ("nothing_hangs", self.nothing_hangs.is_some()),
            ("success_rate", !self.success_rate.is_empty()),
            ("latency", !self.latency.is_empty()),
        ];
        expected.into_iter().filter(|(_, expected)| *expected).map(|(name, _)| name).collect()
    }
}

/// That a host which is down or paused does nothing. There is nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FailStop {}

/// A bound in time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Within {
    /// The bound.
    #[serde(with = "duration")]
    pub within: Duration,
}

/// How exact expiry must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseExpiry {
    /// An expiry later than the granted TTL plus this is late.
    #[serde(with = "duration")]
    pub late: Duration,
    /// At least so many expiries must have been seen over the sweep, or there is too little evidence.
    #[serde(default)]
    pub at_least: u32,
}

/// How strictly watchers are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchOrder {
    /// How long a change may take to reach a watcher that can reach the registry.
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// How fair selection must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fairness {
    /// Probability of a false alarm over the whole sweep, at most.
    #[serde(default = "alpha_default")]
    pub false_alarm: f64,
    /// Largest ratio between the most and the least used node, pooled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_min_ratio: Option<f64>,
}

fn alpha_default() -> f64 {
    1e-6
}

/// That each answer is for the request that was asked, and that streams give everything back once and in order. There is
/// nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswersMatch {}

/// What is expected of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryExpectation {
    /// How long a delivery may take.
    #[serde(with = "duration")]
    pub within: Duration,
    /// Judge only messages published while no fault or churn was under way and that long after; none judges all of them.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub calm: Option<Duration>,
}

/// A share of successful calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuccessRate {
    /// `warmup`, `shake` or `settle`.
    pub phase: String,
    /// The smallest share, 0 to 1.
    pub at_least: f64,
}

/// A bound for a quantile of the latency of successful calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyBound {
    /// `warmup`, `shake` or `settle`.
    pub phase: String,
    /// The quantile, such as 0.99.
    pub quantile: f64,
    /// The bound.
    #[serde(with = "duration")]
    pub at_most: Duration,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Expect;
    use crate::scenario::parse;

    #[test]
    fn a_slack_widens_every_bound_in_time_and_nothing_else() {
        let text = "name: x
services: {}
expect:
  fail_stop: {}
  registration_visible: { within: 2s }
  lease_expiry: { late: 2s, at_least: 3 }
  watch_order: { within: 2s }
  no_stale_calls: { within: 2s }
  views_converge: { within: 2s }
  selector_fairness: { max_min_ratio: 2.0 }
  answers_match: {}
  delivery: { within: 2s, calm: 2s }
  nothing_hangs: { within: 2s }
  success_rate: [ { phase: shake, at_least: 0.5 } ]
  latency: [ { phase: shake, quantile: 0.5, at_most: 2s } ]
";
        let expect = |text: &str| parse("x.yaml", text).unwrap_or_else(|problems| panic!("{problems}")).expect;
        let widened = expect(text).widened(Duration::from_secs(3));
        assert_eq!(widened, expect(&text.replace(": 2s", ": 5s")));
        assert_eq!(expect(text).widened(Duration::ZERO), expect(text));
        assert_eq!((widened.names().len(), Expect::default().names().len()), (12, 0));
    }
}
