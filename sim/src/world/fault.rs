//! Fault verbs: what can be done to a world, with names resolved and chances drawn. What an engine must be able to do for
//! each is data, so that a scenario that asks for more is refused before it runs.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::LinkQuality;
use crate::scenario::model::LossGranularity;
use crate::toxic::Toxic;

/// Something that is done to the stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fault {
    /// A host dies: its tasks end, its memory is gone.
    Crash {
        /// The host.
        host: String,
        /// Its peers see the connections close; false is sudden death.
        fin: bool,
    },
    /// A crashed host starts again, with nothing in memory.
    Restart {
        /// The host.
        host: String,
    },
    /// A host executes nothing until it resumes; its memory and its connections stay.
    Pause {
        /// The host.
        host: String,
    },
    /// A paused host goes on.
    Resume {
        /// The host.
        host: String,
    },
    /// Nothing passes from `from` to `to`.
    Cut {
        /// Senders.
        from: Vec<String>,
        /// Receivers.
        to: Vec<String>,
    },
    /// Messages pass again from `from` to `to`.
    Heal {
        /// Senders.
        from: Vec<String>,
        /// Receivers.
        to: Vec<String>,
    },
    /// Messages between the two are kept.
    Hold {
        /// One side.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
    },
    /// Messages that were kept are delivered.
    Release {
        /// One side.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
    },
    /// Messages between the two take this long.
    Latency {
        /// One side.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
        /// One way; none is the network's own again.
        latency: Option<Duration>,
    },
    /// Messages between the two are lost.
    Loss {
        /// One side.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
        /// Probability, 0 to 1; 0 ends it.
        probability: f64,
        /// What a loss is.
        granularity: LossGranularity,
    },
    /// Every connection between the two is reset, as by a firewall that has lost its tables: both ends are told at once, and
    /// what was under way is lost. New connections can be made.
    Reset {
        /// One side.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
    },
    /// Packets from `from` to `to` fare as `quality` says.
    Link {
        /// Senders.
        from: Vec<String>,
        /// Receivers.
        to: Vec<String>,
        /// What is different; none is the network's own again.
        quality: Option<LinkQuality>,
    },
    /// A toxic acts on the connections between the two, whoever has made them. Upstream is what who has made one says.
    Toxic {
        /// One side.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
        /// What acts. Its name tells it apart from others that do the same.
        toxic: Toxic,
    },
    /// The toxic of this name and direction acts no more.
    Antidote {
        /// One side.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
        /// What acted.
        toxic: Toxic,
    },
    /// The connections between the two are closed, and no new ones are accepted.
    LinkDown {
        /// One side.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
    },
    /// Connections between the two are accepted again.
    LinkUp {
        /// One side.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
    },
    /// The date of a host is this far from the world's; its monotonic clock stays.
    Skew {
        /// The host.
        host: String,
        /// Nanoseconds; more is a date in the future.
        by_ns: i64,
    },
    /// The backend loses the leases of the registrations that `host` has made, and with them all that hangs on these.
    LeaseLost {
        /// The host.
        host: String,
    },
    /// A backend goes down; its data stays.
    BackendDown {
        /// The backend's host.
        host: String,
    },
    /// A backend is asked to end, and ends in order; its data stays.
    BackendEnd {
        /// The backend's host.
        host: String,
    },
    /// A backend comes up again.
    BackendUp {
        /// The backend's host.
        host: String,
    },
    /// A backend executes nothing until it resumes; its memory and its connections stay, and its clock goes on.
    BackendPause {
        /// The backend's host.
        host: String,
    },
    /// A paused backend goes on.
    BackendResume {
        /// The backend's host.
        host: String,
    },
    /// A backend forgets what its entries were before they became what they are. Whoever drives the world does it.
    Compaction {
        /// The backend.
        backend: String,
    },
    /// The member that leads a backend goes down. Whoever drives the world finds out which that is; no engine is asked this.
    LeaderDown {
        /// The backend.
        backend: String,
    },
    /// The member that went down so comes up again.
    LeaderUp {
        /// The backend.
        backend: String,
    },
}

/// What an engine must be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Capability {
    /// End a host's tasks while its peers see the connections close.
    Crash,
    /// End a host's tasks without a sign to its peers.
    CrashWithoutFin,
    /// Keep a host from executing without ending it.
    Pause,
    /// Cut links, each direction by itself.
    Cut,
    /// Keep messages back and deliver them later.
    Hold,
    /// A fixed latency for a link.
    LinkLatency,
    /// Links that break for a moment and lose everything in flight.
    LinkLoss,
    /// Loss of single packets beneath TCP.
    PacketLoss,
    /// Reset connections between live hosts.
    Reset,
    /// What a link does to single packets: distributions of latency, duplicates, order, corruption, bandwidth.
    LinkQuality,
    /// Move a host's date.
    Skew,
    /// Take leases at the backend.
    LeaseLoss,
    /// Restart the backend.
    BackendRestart,
    /// Ask the backend to end, and start it again.
    BackendEnd,
    /// Keep the backend from executing without ending it.
    BackendPause,
    /// Let the backend forget its history.
    Compaction,
    /// Do to connections what a proxy with toxics does.
    Toxics,
}

impl Fault {
    /// The hosts that it names.
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Self::Crash { host, .. }
            | Self::Restart { host }
            | Self::Pause { host }
            | Self::Resume { host }
            | Self::Skew { host, .. }
            | Self::LeaseLost { host }
            | Self::BackendDown { host }
            | Self::BackendEnd { host }
            | Self::BackendUp { host }
            | Self::BackendPause { host }
            | Self::BackendResume { host } => vec![host],
            Self::LeaderDown { .. } | Self::LeaderUp { .. } | Self::Compaction { .. } => Vec::new(),
            Self::Cut { from: a, to: b }
            | Self::Heal { from: a, to: b }
            | Self::Link { from: a, to: b, .. }
            | Self::Hold { a, b }
            | Self::Release { a, b }
            | Self::Latency { a, b, .. }
            | Self::Reset { a, b }
            | Self::Toxic { a, b, .. }
            | Self::Antidote { a, b, .. }
            | Self::LinkDown { a, b }
            | Self::LinkUp { a, b }
            | Self::Loss { a, b, .. } => a.iter().chain(b).map(String::as_str).collect(),
        }
    }

    /// What an engine must be able to do for this.
    pub fn needs(&self) -> Capability {
        match self {
            Self::Crash { fin: true, .. } | Self::Restart { .. } => Capability::Crash,
            Self::Crash { fin: false, .. } => Capability::CrashWithoutFin,
            Self::Pause { .. } | Self::Resume { .. } => Capability::Pause,
            Self::Cut { .. } | Self::Heal { .. } => Capability::Cut,
            Self::Hold { .. } | Self::Release { .. } => Capability::Hold,
            Self::Latency { .. } => Capability::LinkLatency,
            Self::Loss { granularity: LossGranularity::Link, .. } => Capability::LinkLoss,
            Self::Loss { granularity: LossGranularity::Packet, .. } => Capability::PacketLoss,
            Self::Reset { .. } => Capability::Reset,
            Self::Link { .. } => Capability::LinkQuality,
            Self::Toxic { .. } | Self::Antidote { .. } | Self::LinkDown { .. } | Self::LinkUp { .. } => {
                Capability::Toxics
            }
            Self::Skew { .. } => Capability::Skew,
            Self::LeaseLost { .. } => Capability::LeaseLoss,
            Self::BackendEnd { .. } => Capability::BackendEnd,
            Self::BackendPause { .. } | Self::BackendResume { .. } => Capability::BackendPause,
            Self::Compaction { .. } => Capability::Compaction,
            Self::BackendDown { .. } | Self::BackendUp { .. } | Self::LeaderDown { .. } | Self::LeaderUp { .. } => {
                Capability::BackendRestart
            }
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Crash => "crash a host",
            Self::CrashWithoutFin => "crash a host without a sign to its peers",
            Self::Pause => "pause a host",
            Self::Cut => "cut links",
            Self::Hold => "hold messages back",
            Self::LinkLatency => "give a link a latency of its own",
            Self::LinkLoss => "break links for a moment",
            Self::PacketLoss => "lose single packets",
            Self::Reset => "reset connections",
            Self::LinkQuality => "say what a link does to single packets",
            Self::Skew => "move a host's date",
            Self::LeaseLoss => "lose leases at the backend",
            Self::BackendRestart => "restart the backend",
            Self::BackendEnd => "ask the backend to end",
            Self::BackendPause => "pause the backend",
            Self::Compaction => "let the backend forget its history",
            Self::Toxics => "put toxics on connections",
        })
    }
}
