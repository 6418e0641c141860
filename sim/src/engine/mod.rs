//! Engines: what carries a world, simulated or live. Each says as data which faults it can do and how finely.

pub mod event;
mod host;
pub mod live;
mod tap;
#[cfg(test)]
mod tests;
pub mod turmoil;

use std::collections::BTreeSet;

use shaketable_stack::env::Namespace;

use crate::determinism::effective;
use crate::scenario::model::Network;
use crate::trace::Tracer;
use crate::world::{Capability, World, WorldError};

/// What decides a world.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides everything that is left open.
    pub seed: u64,
    /// What links are like.
    pub network: Network,
    /// Where what passes through the network goes.
    pub tracer: Tracer,
    /// What hosts share.
    pub namespace: Namespace,
}

/// What engines are called, also those that this build has not.
pub const NAMES: [&str; 2] = ["event", "turmoil"];

/// What an engine is and can do.
#[derive(Clone, Debug)]
pub struct EngineInfo {
    /// What people write: `--engine turmoil`.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
    /// Whether time passes in steps, and nothing is shorter than one.
    pub ticks: bool,
    /// Whether time and sockets are real, so that nothing can be replayed.
    pub is_live: bool,
}

/// The engines of this build, the default first: the one of discrete events, which is the faster one and does more, where
/// clocks can be interposed.
pub fn engines() -> Vec<EngineInfo> {
    if effective() { vec![event_info(), turmoil_info()] } else { vec![turmoil_info()] }
}

/// The engine that carries what nobody chose one for.
pub fn default_engine() -> EngineInfo {
    if effective() { event_info() } else { turmoil_info() }
}

/// An empty world on the engine called `name`. Call it with the interposition active, so that the process is deterministic.
///
/// # Errors
/// When this build has no such engine, or it cannot work here.
pub fn world(name: &str, setup: Setup) -> Result<Box<dyn World>, WorldError> {
    match name {
        "event" => Ok(Box::new(event::EventWorld::new(setup)?)),
        "turmoil" => Ok(Box::new(turmoil::TurmoilWorld::new(setup)?)),
        _ => Err(WorldError::Engine(format!("no engine is called '{name}'"))),
    }
}

/// The engine called `name`.
pub fn engine(name: &str) -> Option<EngineInfo> {
    engines().into_iter().find(|engine| engine.name == name)
}

/// Everything, down to single packets.
fn event_info() -> EngineInfo {
    use Capability::{
        BackendEnd, BackendPause, BackendRestart, Compaction, Crash, CrashWithoutFin, Cut, Hold, LeaseLoss,
        LinkLatency, LinkLoss, LinkQuality, PacketLoss, Pause, Reset, Skew,
    };
    EngineInfo {
        name: "event",
        summary: "discrete events: idle time costs nothing, TCP with retransmission, faults of single packets",
        capabilities: BTreeSet::from([
            Crash,
            CrashWithoutFin,
            Pause,
            Cut,
            Hold,
            LinkLatency,
            LinkLoss,
            PacketLoss,
            Reset,
            LinkQuality,
            Skew,
            LeaseLoss,
            BackendRestart,
            BackendEnd,
            BackendPause,
            Compaction,
        ]),
        ticks: false,
        is_live: false,
    }
}

/// turmoil 0.7.2 has no pause, no loss of single packets, no latency distribution per link, and its TCP neither retransmits
/// nor can be reset from outside.
fn turmoil_info() -> EngineInfo {
    use Capability::{
        BackendEnd, BackendRestart, Compaction, Crash, CrashWithoutFin, Cut, Hold, LeaseLoss, LinkLatency, LinkLoss,
    };
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
            BackendEnd,
            Compaction,
        ]),
        ticks: true,
        is_live: false,
    }
}
