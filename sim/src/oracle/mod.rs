//! Oracles: pure functions of a history, one module each, each for one expectation of a scenario. They know no engine, no
//! plugin and no clock; what a plugin promises reaches them as data.

mod facts;
mod judgement;

pub use facts::{Facts, HostFacts, HostKind, PhaseSpan};
pub use judgement::{Finding, Judgement, Picks};

use crate::history::History;

/// A judge of one expectation.
pub trait Oracle: Send + Sync {
    /// The expectation's name in a scenario file, such as `lease_expiry`.
    fn name(&self) -> &'static str;

    /// Judges one run; `None` when the scenario does not ask for it.
    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement>;
}
