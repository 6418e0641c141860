//! What the hosts of a scenario do.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scenario::duration;

/// One load; exactly one kind is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// Calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<Calls>,
    /// Published events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<Publish>,
    /// Subscriptions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Subscribe>,
    /// Watches of the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// Changes of membership.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub churn: Option<Churn>,
}

/// Calls from every host that `from` names to a service: open loop with `rate`, or closed loop with `workers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// Hosts or groups.
    pub from: String,
    /// The service.
    pub to: String,
    /// Open loop: calls per second and host, due at times drawn before the run, whether or not earlier ones have returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Closed loop: callers per host, each calling again when it has its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// Closed loop: pause between answer and next call.
    #[serde(default, with = "duration")]
    pub think: Duration,
    /// Limit for one call.
    #[serde(default = "timeout_default", with = "duration")]
    pub timeout: Duration,
    /// Running the handler twice does no harm.
    #[serde(default)]
    pub idempotent: bool,
    /// Only nodes of this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Only nodes with these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub label: BTreeMap<String, String>,
    /// Size of the body, in bytes.
    #[serde(default = "body_default")]
    pub body_bytes: u32,
    /// Use a stream that echoes this many messages, instead of a unary call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_messages: Option<u32>,
    /// Call this endpoint, `Type.Method`, instead of the probe that every service of ours serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Ask by plain HTTP instead of the stack's own protocol, as `GET /users/1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// What the body is, for `endpoint` and `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The body, as it is, for `endpoint` and `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

fn timeout_default() -> Duration {
    Duration::from_secs(5)
}

fn body_default() -> u32 {
    64
}

/// Events from every host that `from` names, through `Client::publish`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Hosts or groups.
    pub from: String,
    /// The topic.
    pub topic: String,
    /// Events per second and host, due at times drawn before the run.
    pub rate: f64,
    /// Size of the body, in bytes.
    #[serde(default = "body_default")]
    pub body_bytes: u32,
}

/// A subscription of every host that `on` names: through `Server::subscribe` on a service's host, through
/// `Broker::subscribe` on a client's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Hosts or groups.
    pub on: String,
    /// The topic.
    pub topic: String,
    /// The queue group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// How long the handler works.
    #[serde(default, with = "duration")]
    pub work: Duration,
}

/// A watch of every host that `on` names, kept open and opened again when it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Hosts or groups.
    pub on: String,
    /// The service; none watches all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// Changes of membership, each on one replica drawn at random, in the `shake` phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// The service.
    pub of: String,
    /// Time from one change to the next, on average; drawn between half and one and a half of it.
    #[serde(with = "duration")]
    pub every: Duration,
    /// What may happen.
    pub actions: Vec<ChurnAction>,
    /// At least so many replicas stay.
    #[serde(default = "keep_default")]
    pub keep: u32,
}

fn keep_default() -> u32 {
    1
}

/// A change of membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChurnAction {
    /// A replica that has left comes back.
    Join,
    /// A replica stops gracefully.
    Leave,
    /// A replica deregisters and registers at once.
    Flap,
    /// A replica stops and starts at another port.
    Move,
    /// A replica registers with other metadata.
    Metadata,
    /// A replica registers with another version.
    Version,
}
