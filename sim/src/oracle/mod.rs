//! Oracles: pure functions of a history, one module each, each for one expectation of a scenario. They know no engine, no
//! plugin and no clock; what a plugin promises reaches them as data.

mod answers_match;
mod calls;
mod delivery;
mod facts;
mod fail_stop;
mod findings;
mod judgement;
mod lease_expiry;
mod membership;
mod no_stale_calls;
mod nothing_hangs;
mod operations;
mod reach;
mod registration_visible;
mod requested_ttl;
mod selector_fairness;
mod spans;
mod statistics;
mod subscriptions;
mod sweep;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod views_converge;
mod watch_order;
mod watchers;

pub use facts::{Facts, HostFacts, HostKind, PhaseSpan};
pub use judgement::{Finding, Judgement, Picks};
pub use statistics::{PicksJudgement, judge_picks};
pub use sweep::{OracleVerdict, SeedViolations, Sweep, Verdict};

use crate::history::History;

/// A judge of one expectation.
pub trait Oracle: Send + Sync {
    /// The expectation's name in a scenario file, such as `lease_expiry`.
    fn name(&self) -> &'static str;

    /// Judges one run; `None` when the scenario does not ask for it.
    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement>;
}

/// All oracles, in the order in which expectations are documented and verdicts are told: a cause comes before what it leads
/// to. First comes whether hosts live and die as they should, then what the registry holds, who is told of it, whom that leads
/// to, what comes back, and last how it went on the whole.
pub fn all() -> Vec<Box<dyn Oracle>> {
    vec![
        Box::new(fail_stop::FailStop),
        Box::new(registration_visible::RegistrationVisible),
        Box::new(lease_expiry::LeaseExpiry),
        Box::new(watch_order::WatchOrder),
        Box::new(no_stale_calls::NoStaleCalls),
        Box::new(views_converge::ViewsConverge),
        Box::new(selector_fairness::SelectorFairness),
        Box::new(answers_match::AnswersMatch),
        Box::new(delivery::Delivery),
        Box::new(nothing_hangs::NothingHangs),
        Box::new(calls::SuccessRate),
        Box::new(calls::Latency),
    ]
}
