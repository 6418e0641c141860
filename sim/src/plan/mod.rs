//! What a run will do, drawn before it starts: hosts, faults, churn and the times of open loops, each from a random stream
//! of its own. Knows the scenario and the verbs of worlds, no engine and no plugin.

mod calls;
pub(crate) mod churn;
pub(crate) mod faults;
mod hosts;
mod streams;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use calls::{Arrivals, PlannedLoad};
pub use churn::PlannedChurn;
pub use faults::PlannedFault;
pub use hosts::{PlannedHost, resolve, words};
pub use streams::stream;

use crate::scenario::model::Scenario;

/// The plan of one run. Times count from the start of the world.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What decided it.
    pub seed: u64,
    /// Every host: services, clients, backends.
    pub hosts: Vec<PlannedHost>,
    /// Loads begin in the middle of `warmup`: by then the services have started.
    pub loads_at: Duration,
    /// The `shake` phase begins.
    pub shake_at: Duration,
    /// The `settle` phase begins; the world undoes whatever still lasts.
    pub heal_at: Duration,
    /// The run ends.
    pub end_at: Duration,
    /// Faults, and what undoes them before the heal, in the order of time.
    pub faults: Vec<PlannedFault>,
    /// Changes of membership, in the order of time.
    pub churn: Vec<PlannedChurn>,
    /// Which host does which load.
    pub loads: Vec<PlannedLoad>,
}

/// Why nothing can be planned; a scenario without errors in `check` never comes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError(String);

impl std::fmt::Display for PlanError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// Draws the plan of `scenario` with `seed`; `backends` are the kinds of backend that the chosen plugins need, each of
    /// which becomes a host of that name.
    ///
    /// # Errors
    /// An entry without a kind or a time, or with too many occurrences.
    pub fn draw(scenario: &Scenario, seed: u64, backends: &[String]) -> Result<Self, PlanError> {
        let phases = &scenario.phases;
        let heal_at = phases.warmup.checked_add(phases.shake);
        let end_at = heal_at.and_then(|heal_at| heal_at.checked_add(phases.settle));
        let (Some(heal_at), Some(end_at)) = (heal_at, end_at) else {
            return Err(PlanError("the phases are too long".to_owned()));
        };
        let hosts = hosts::all(scenario, backends);
        Ok(Self {
            seed,
            loads_at: phases.warmup / 2,
            shake_at: phases.warmup,
            heal_at,
            end_at,
            faults: faults::draw(scenario, seed, &hosts)?,
            churn: churn::draw(scenario, seed, &hosts)?,
            loads: calls::draw(scenario, &hosts),
            hosts,
        })
    }
}
