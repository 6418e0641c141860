//! Engines: what carries a simulated world. Each says as data which faults it can do and how finely.

pub mod turmoil;

use std::collections::BTreeSet;

use crate::world::Capability;

/// What an engine is and can do.
#[derive(Clone, Debug)]
pub struct EngineInfo {
    /// What people write: `--engine turmoil`.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
}

/// The engines of this build, the default first.
pub fn engines() -> Vec<EngineInfo> {
    vec![turmoil_info()]
}

/// The engine called `name`.
pub fn engine(name: &str) -> Option<EngineInfo> {
    engines().into_iter().find(|engine| engine.name == name)
}

/// turmoil 0.7.2 has no pause, no loss of single packets, no latency distribution per link, and its TCP does not
/// retransmit.
fn turmoil_info() -> EngineInfo {
    use Capability::{BackendRestart, Crash, CrashWithoutFin, Cut, Hold, LeaseLoss, LinkLatency, LinkLoss};
    EngineInfo {
        name: "turmoil",
        summary: "turmoil 0.7.2: ticks, TCP without retransmission, links that break as a whole",
        capabilities: BTreeSet::from([
            Crash,
            CrashWithoutFin,
            Cut,
            Hold,
            LinkLatency,
            LinkLoss,
            LeaseLoss,
            BackendRestart,
        ]),
    }
}
