//! What an oracle may know beside the history: the scenario, who is who, and what the plugins promise.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shaketable_stack::plugin::Promises;

use crate::history::Moment;
use crate::scenario::model::Scenario;

/// What was asked of a run.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The scenario, with overrides applied.
    pub scenario: Scenario,
    /// Every host but the world itself.
    pub hosts: Vec<HostFacts>,
    /// `warmup`, `shake`, `settle`, in order, as they were.
    pub phases: Vec<PhaseSpan>,
    /// What the registry promises.
    pub registry: Promises,
    /// What the broker promises.
    pub broker: Promises,
    /// When the run ended.
    pub end: Moment,
    /// How much earlier than it is dated may have happened what the backend tells of: not at all in the simulator, where all
    /// clocks are one.
    pub early: Duration,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its name.
    pub name: String,
    /// The service, the group of clients, or the kind of backend that it belongs to.
    pub group: String,
    /// What it is there for.
    pub kind: HostKind,
}

/// What a host is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostKind {
    /// A replica of a service.
    Service,
    /// It only calls, publishes or watches.
    Client,
    /// A backend, such as `etcd`.
    Backend,
}

/// A phase as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseSpan {
    /// `warmup`, `shake` or `settle`.
    pub name: String,
    /// Its first moment.
    pub start: Moment,
    /// The first moment after it.
    pub end: Moment,
}

impl Facts {
    /// The members of the registry's backend, mostly one; none for a registry whose state belongs to the world.
    pub fn registry_backends(&self) -> impl Iterator<Item = &HostFacts> {
        let kind = self.registry.backend;
        self.hosts.iter().filter(move |host| host.kind == HostKind::Backend && Some(host.group.as_str()) == kind)
    }

    /// The phase called `name`.
    pub fn phase(&self, name: &str) -> Option<&PhaseSpan> {
        self.phases.iter().find(|phase| phase.name == name)
    }
}
