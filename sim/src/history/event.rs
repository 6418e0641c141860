//! The events of a history. The type is versioned: a field is never reused with another meaning.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::events::Events;
use crate::world::Fault;

/// The version of this type; a reader refuses others.
pub const VERSION: u32 = 4;

/// Everything that happened in one run, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// [`VERSION`] at the time of writing.
    pub version: u32,
    /// In the order of `sequence`, which is also the order of `at`.
    pub events: Events,
}

impl Default for History {
    fn default() -> Self {
        Self { version: VERSION, events: Events::default() }
    }
}

/// A point of the world's time: nanoseconds since the world began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `since_start` after the world began.
    pub fn after(since_start: Duration) -> Self {
        Self(u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Time since the world began.
    pub fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Time from `earlier` to this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::after(duration).0))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0 / 1_000_000;
        write!(formatter, "{}.{:03}s", milliseconds / 1_000, milliseconds % 1_000)
    }
}

/// Identifies an operation; unique in a run, in the order of invocation, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub NonZeroU64);

impl OperationId {
    /// The `number`-th operation of a run, from 1; 0 is taken for the first.
    pub fn nth(number: u64) -> Self {
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{}", self.0)
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the history, from 0.
    pub sequence: u64,
    /// World time (monotonic, the same on every host).
    pub at: Moment,
    /// The host's wall clock, nanoseconds since 1970.
    pub wall_ns: u64,
    /// Where it happened; `world` for faults and phases, the backend's host for truths.
    pub host: Arc<str>,
    /// The operation that it belongs to.
    pub operation: Option<OperationId>,
    /// The operation that led to it, on this host or another.
    pub cause: Option<OperationId>,
    /// What happened. Events that say the same share it.
    pub edge: Arc<Edge>,
}

/// What an event is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Edge {
    /// A component was asked to do something.
    Invoke(Operation),
    /// It answered. An operation without a return was cut off by a crash or the end of the run.
    Return(Result<Answer, Failure>),
    /// Something happened that has no duration.
    Point(Point),
}

/// A node as the history names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Id, unique in the run for each registered incarnation.
    pub id: String,
    /// `host:port`.
    pub address: String,
    /// Version of its service.
    pub version: String,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
}

/// What a component was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Operation {
    /// `Registry::register`, one event per node.
    Register {
        /// Name of the service.
        service: String,
        /// The node.
        node: Box<NodeRecord>,
        /// How long it shall live without renewal.
        ttl: Option<Duration>,
    },
    /// `Registry::deregister`.
    Deregister {
        /// Name of the service.
        service: String,
        /// Ids of the nodes.
        nodes: Vec<String>,
    },
    /// `Registry::get_service`.
    GetService {
        /// Name of the service.
        service: String,
    },
    /// `Registry::list_services`.
    ListServices,
    /// `Registry::watch`; the operation's id names the watcher.
    Watch {
        /// The service, or none for all.
        service: Option<String>,
    },
    /// `Selector::select` with its strategy.
    Select {
        /// Name of the service.
        service: String,
        /// Name of the strategy in force.
        strategy: String,
    },
    /// `Selector::load`.
    Load {
        /// Name of the service.
        service: String,
    },
    /// `Client::call`.
    Call {
        /// Name of the service.
        service: String,
        /// `Type.Method`.
        endpoint: String,
        /// Whether running the handler twice does no harm.
        idempotent: bool,
        /// Time that the caller waits at most.
        timeout: Duration,
    },
    /// `Client::stream`: the opening of a stream.
    Stream {
        /// Name of the service.
        service: String,
        /// `Type.Method`.
        endpoint: String,
    },
    /// `Client::publish`.
    ClientPublish {
        /// The topic.
        topic: String,
    },
    /// A server's handler ran; `cause` is the call.
    Handle {
        /// `Type.Method`.
        endpoint: String,
        /// Id of the server's node.
        node: String,
    },
    /// `Broker::connect`.
    Connect,
    /// `Broker::disconnect`.
    Disconnect,
    /// `Broker::publish`.
    Publish {
        /// The topic.
        topic: String,
        /// Size of the body, in bytes.
        bytes: u64,
    },
    /// `Broker::subscribe`; the operation's id names the subscription.
    Subscribe {
        /// The topic.
        topic: String,
        /// The queue group.
        queue: Option<String>,
    },
    /// `Subscriber::unsubscribe`.
    Unsubscribe {
        /// The subscription.
        subscription: OperationId,
    },
    /// A subscription's handler ran; `cause` is the `Broker::publish`.
    Deliver {
        /// The subscription.
        subscription: OperationId,
        /// The topic.
        topic: String,
    },
    /// `Transport::dial`.
    Dial {
        /// `host:port`.
        address: String,
    },
    /// `Transport::listen`.
    Listen {
        /// `host:port`.
        address: String,
    },
    /// `Service::start`.
    StartService {
        /// Name of the service.
        service: String,
    },
    /// `Service::stop`.
    StopService {
        /// Name of the service.
        service: String,
    },
    /// `Server::start`.
    Start {
        /// Name of the service.
        service: String,
    },
    /// `Server::stop`.
    Stop {
        /// Name of the service.
        service: String,
    },
}

/// What a component answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done.
    Done,
    /// What a lookup found.
    Nodes(Vec<NodeRecord>),
    /// How many services a listing found.
    Listed(u64),
    /// A selection among so many nodes.
    Selected(u64),
    /// The service is not known yet.
    Miss,
    /// Where it listens.
    Address(String),
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The error's kind, as `ErrorKind` prints it with `{:?}`.
    pub kind: String,
    /// The error in one line.
    pub text: String,
}

/// Something without a duration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Point {
    /// A phase of the run begins.
    Phase {
        /// Its name.
        name: String,
    },
    /// A watcher delivered a change.
    Watched {
        /// The `Watch` operation.
        watcher: OperationId,
        /// What happened.
        change: Change,
        /// Name of the service.
        service: String,
        /// The nodes that it happened to.
        nodes: Vec<NodeRecord>,
    },
    /// A watcher ended.
    WatchEnded {
        /// The `Watch` operation.
        watcher: OperationId,
        /// Why; none when it was stopped.
        failure: Option<Failure>,
    },
    /// Attempt `attempt` (0 is the first) of the call `operation` went to `node`.
    Attempt {
        /// Name of the service.
        service: String,
        /// Id of the node.
        node: String,
        /// Its address.
        address: String,
        /// Number of the attempt, from 0.
        attempt: u32,
        /// Name of the strategy that picked it.
        strategy: String,
    },
    /// An attempt ended.
    AttemptEnded {
        /// Id of the node.
        node: String,
        /// Number of the attempt, from 0.
        attempt: u32,
        /// Why it failed.
        failure: Option<Failure>,
    },
    /// A load got an answer in the call or stream `operation`.
    Answered {
        /// What it had asked, of a stream's messages the first that had no answer; none when all had theirs. No two
        /// requests of a host ask the same before it dies.
        asked: Option<String>,
        /// What the answer says it is for; none when that is what was asked.
        answered: Option<String>,
    },
    /// The other end of a load's stream `operation` has said that no more messages come.
    StreamEnded {
        /// What was asked and has no answer, in order.
        unanswered: Vec<String>,
    },
    /// A codec could not encode or decode.
    CodecFailed {
        /// The codec.
        codec: String,
        /// Why.
        failure: Failure,
    },
    /// A selector was told how a request ended.
    Marked {
        /// Name of the service.
        service: String,
        /// Id of the node.
        node: String,
        /// Whether the node failed.
        failed: bool,
    },
    /// A selector forgot what was marked.
    Reset {
        /// Name of the service.
        service: String,
    },
    /// A fault was done or ended.
    Fault(Box<Fault>),
    /// The load changed the membership on purpose.
    Churn {
        /// The host.
        host: String,
        /// `join`, `leave`, `flap`, `move`, `metadata`, `version`.
        action: String,
    },
    /// What the backend did; the truth about registrations.
    Truth(Truth),
    /// A host's view of a service, asked by the world for the record (after heal).
    View {
        /// Name of the service.
        service: String,
        /// Ids of the nodes that it would call.
        nodes: Vec<String>,
    },
    /// A registration was lost, as its registry explains it.
    Loss {
        /// Id of the node.
        node: String,
        /// Why.
        reason: String,
        /// Whether it has been restored.
        restored: bool,
    },
    /// A check came to its next step.
    Step {
        /// What it does.
        text: String,
    },
    /// So many tasks of the host were alive, by name.
    Tasks {
        /// Count by name.
        counts: BTreeMap<String, u64>,
    },
}

/// What happened to a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Change {
    /// It was not there before.
    Create,
    /// It was changed.
    Update,
    /// It is gone.
    Delete,
}

/// What the backend did. `key` contains the node's id; that is how oracles find the node without knowing the plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Truth {
    /// A lease was granted.
    Granted {
        /// The lease.
        lease: String,
        /// What was asked for.
        ttl_requested: Duration,
        /// What it got.
        ttl_granted: Duration,
    },
    /// A lease was renewed.
    Renewed {
        /// The lease.
        lease: String,
    },
    /// A key was written.
    Put {
        /// The key.
        key: String,
        /// The lease that it hangs on.
        lease: Option<String>,
        /// Whether it was not there before.
        created: bool,
        /// Whether it has another value than before; true when it was created.
        altered: bool,
    },
    /// A key was removed by a request.
    Deleted {
        /// The key.
        key: String,
    },
    /// A lease ran out; its keys are gone.
    Expired {
        /// The lease.
        lease: String,
        /// Its keys.
        keys: Vec<String>,
    },
    /// A lease was revoked by a request; its keys are gone.
    Revoked {
        /// The lease.
        lease: String,
        /// Its keys.
        keys: Vec<String>,
    },
    /// A fault took the lease; its keys are gone.
    Lost {
        /// The lease.
        lease: String,
        /// Its keys.
        keys: Vec<String>,
    },
    /// History before this revision is gone: watchers that are behind must start over.
    Compacted {
        /// The revision.
        revision: i64,
    },
    /// The backend started again: every lease has its full time anew.
    Restarted,
}
