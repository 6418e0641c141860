//! What the plugins of a run stand on: simulated backends or real ones, which those who drive a run treat alike.

use std::sync::Arc;

use crate::backend::{LiveBackend, SimulatedBackend};
use crate::history::{Moment, Truth};
use crate::world::Program;

/// A backend of a run.
#[derive(Clone, Debug)]
pub(super) enum Backing {
    /// A host of the world, or state that the world has itself.
    Simulated(Arc<dyn SimulatedBackend>),
    /// A server beside the world.
    Live(Arc<dyn LiveBackend>),
}

impl Backing {
    /// The host that its truths are told of.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Simulated(backend) if backend.address().is_none() => "world",
            Self::Simulated(backend) => backend.kind(),
            Self::Live(backend) => backend.kind(),
        }
    }

    /// Whether it is the backend that plugins call `kind`.
    pub(super) fn is(&self, kind: &str) -> bool {
        match self {
            Self::Simulated(backend) => backend.kind() == kind,
            Self::Live(backend) => backend.kind() == kind,
        }
    }

    /// What a real server is, for the report.
    pub(super) fn description(&self) -> Option<String> {
        match self {
            Self::Simulated(_) => None,
            Self::Live(backend) => Some(backend.description()),
        }
    }

    /// The hosts that it is, with their programs.
    pub(super) fn hosts(&self) -> Vec<(String, Program)> {
        match self {
            Self::Simulated(backend) => backend.hosts(),
            Self::Live(_) => Vec::new(),
        }
    }

    /// The host that leads the members of the backend `kind`, if this is that one and somebody leads.
    ///
    /// # Errors
    /// One sentence: a real server could not be asked.
    pub(super) fn leader(&self, kind: &str) -> Result<Option<String>, String> {
        match self {
            _ if !self.is(kind) => Ok(None),
            Self::Simulated(backend) => Ok(backend.leader()),
            Self::Live(backend) => backend.leader(),
        }
    }

    /// Restarts what lives in the world itself; others restart as hosts or servers do.
    pub(super) fn restart(&self, now: Moment) {
        if let Self::Simulated(backend) = self {
            backend.restart(now);
        }
    }

    /// Tells a simulated backend that its host stands still, or goes on; a real one needs not be told.
    pub(super) fn stand_still(&self, host: &str, now: Moment, still: bool) {
        if let Self::Simulated(backend) = self
            && backend.kind() == host
        {
            backend.stand_still(now, still);
        }
    }

    /// Lets the backend `kind` forget its history, if this is that one.
    ///
    /// # Errors
    /// One sentence: a real server did not do it.
    pub(super) fn compact(&self, kind: &str, now: Moment) -> Result<(), String> {
        match self {
            _ if !self.is(kind) => {}
            Self::Simulated(backend) => backend.compact(now),
            Self::Live(backend) => backend.compact()?,
        }
        Ok(())
    }

    /// Takes what truly happened since the last call.
    ///
    /// # Errors
    /// One sentence: a real server could not be observed.
    pub(super) fn take_truths(&self, now: Moment) -> Result<Vec<(Moment, Truth)>, String> {
        match self {
            Self::Simulated(backend) => Ok(backend.take_truths(now)),
            Self::Live(backend) => backend.take_truths(),
        }
    }

    /// Loses the leases of the registrations whose keys name one of `nodes`.
    ///
    /// # Errors
    /// One sentence: a real server did not do it.
    pub(super) fn lose(&self, now: Moment, nodes: &[String]) -> Result<usize, String> {
        match self {
            Self::Simulated(backend) => Ok(backend.lose(now, nodes)),
            Self::Live(backend) => backend.lose(nodes),
        }
    }
}
