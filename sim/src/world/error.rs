//! What can go wrong with a world itself; never a verdict about the stack.

use std::fmt;
use std::time::Duration;

use super::Capability;

/// A world could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorldError {
    /// No host has this name.
    UnknownHost(String),
    /// A host of this name is there.
    HostExists(String),
    /// The host does not run.
    NotRunning(String),
    /// The engine cannot do this.
    Incapable {
        /// The engine.
        engine: &'static str,
        /// What it cannot do.
        capability: Capability,
    },
    /// Something did not happen in time.
    Elapsed {
        /// What was waited for.
        what: String,
        /// How long, in the world's time.
        within: Duration,
    },
    /// The engine broke.
    Engine(String),
    /// A component panicked, and nobody caught it.
    Panicked {
        /// Where.
        host: String,
        /// What it said.
        text: String,
    },
    /// A component went around its `Env`.
    Escaped(String),
}

impl fmt::Display for WorldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownHost(host) => write!(formatter, "no host is called '{host}'"),
            Self::HostExists(host) => write!(formatter, "there is a host called '{host}' already"),
            Self::NotRunning(host) => write!(formatter, "host '{host}' does not run"),
            Self::Incapable { engine, capability } => write!(formatter, "engine {engine} cannot {capability}"),
            Self::Elapsed { what, within } => write!(formatter, "waited {within:?} in vain for {what}"),
            Self::Engine(text) => write!(formatter, "the engine failed: {text}"),
            Self::Panicked { host, text } => write!(formatter, "a component on {host} broke: {text}"),
            Self::Escaped(what) => write!(
                formatter,
                "a component went around its Env inside the simulation: {what}; declare its plugin as not simulatable, \
                 or give it the Env's network and spawner"
            ),
        }
    }
}

impl std::error::Error for WorldError {}
