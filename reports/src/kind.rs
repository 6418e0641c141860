//! Kinds of events, for people who want to see a part of a trace.

use std::fmt;

use shaketable_sim::history::{Edge, Operation, Point};

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Registrations, lookups, watches, losses, and a host's view of a service.
    Registry,
    /// Selections and marks.
    Selector,
    /// Calls, streams, their attempts and their handlers.
    Call,
    /// Publishing, subscribing, delivering.
    Broker,
    /// Dialling and listening.
    Transport,
    /// Servers and services that start and stop, and the tasks of a host.
    Service,
    /// Faults, and churn of the load.
    Fault,
    /// What the backend did: the truth about leases and keys.
    Backend,
    /// Phases of the run.
    Phase,
    /// What passed through network streams.
    Network,
}

impl Kind {
    /// Every kind, with what it shows.
    pub const ALL: [(Self, &str); 10] = [
        (Self::Registry, "registrations, lookups, watches, losses, views"),
        (Self::Selector, "selections and marks"),
        (Self::Call, "calls, streams, attempts, handlers"),
        (Self::Broker, "publishing, subscribing, delivering"),
        (Self::Transport, "dialling and listening"),
        (Self::Service, "starts and stops, tasks"),
        (Self::Fault, "faults and churn"),
        (Self::Backend, "what the backend did: leases and keys"),
        (Self::Phase, "phases of the run"),
        (Self::Network, "bytes through network streams"),
    ];

    /// The word for it, as in `--kind registry`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Selector => "selector",
            Self::Call => "call",
            Self::Broker => "broker",
            Self::Transport => "transport",
            Self::Service => "service",
            Self::Fault => "fault",
            Self::Backend => "backend",
            Self::Phase => "phase",
            Self::Network => "network",
        }
    }

    /// The kind of an operation.
    pub fn of_operation(operation: &Operation) -> Self {
        match operation {
            Operation::Register { .. }
            | Operation::Deregister { .. }
            | Operation::GetService { .. }
            | Operation::ListServices
            | Operation::Watch { .. } => Self::Registry,
            Operation::Select { .. } | Operation::Load { .. } => Self::Selector,
            Operation::Call { .. } | Operation::Stream { .. } | Operation::Handle { .. } => Self::Call,
            Operation::ClientPublish { .. }
            | Operation::Connect
            | Operation::Disconnect
            | Operation::Publish { .. }
            | Operation::Subscribe { .. }
            | Operation::Unsubscribe { .. }
            | Operation::Deliver { .. } => Self::Broker,
            Operation::Dial { .. } | Operation::Listen { .. } => Self::Transport,
            Operation::Start { .. }
            | Operation::Stop { .. }
            | Operation::StartService { .. }
            | Operation::StopService { .. } => Self::Service,
        }
    }

    /// The kind of something without a duration.
    pub fn of_point(point: &Point) -> Self {
        match point {
            Point::Phase { .. } => Self::Phase,
            Point::Watched { .. } | Point::WatchEnded { .. } | Point::View { .. } | Point::Loss { .. } => {
                Self::Registry
            }
            Point::Attempt { .. }
            | Point::AttemptEnded { .. }
            | Point::Answered { .. }
            | Point::StreamEnded { .. }
            | Point::CodecFailed { .. } => Self::Call,
            Point::Marked { .. } | Point::Reset { .. } => Self::Selector,
            Point::Fault(_) | Point::Churn { .. } => Self::Fault,
            Point::Truth(_) => Self::Backend,
            Point::Step { .. } | Point::Tasks { .. } => Self::Service,
        }
    }

    /// The kind of an event; a return is of the kind of its operation, which only the whole history knows.
    pub fn of_edge(edge: &Edge) -> Option<Self> {
        match edge {
            Edge::Invoke(operation) => Some(Self::of_operation(operation)),
            Edge::Return(_) => None,
            Edge::Point(point) => Some(Self::of_point(point)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
