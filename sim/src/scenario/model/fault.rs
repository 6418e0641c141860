//! What is done to the hosts of a scenario and the links between them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ToxicFault;
use crate::scenario::distribution;
use crate::scenario::duration::{self, Signed, signed};
use crate::world::{Distribution, LinkQuality};

/// One fault; exactly one kind is given, and either `at`, or `every`, or `between` alone for one random time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// When, from the start of the `shake` phase.
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub at: Option<Duration>,
    /// Again and again with this period, first at the start of the span and always before its end.
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// From when to when; with `every` the whole `shake` phase by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<Between>,
    /// How long until it is undone (a crashed host started, a cut healed, …); without it until the heal.
    #[serde(rename = "for", with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub lasting: Option<Duration>,
    /// A host dies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
    /// A crashed host starts again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<OnHost>,
    /// Hosts are cut off from each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// Messages are kept, and delivered when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Link>,
    /// Messages take longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LinkLatency>,
    /// Messages are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LinkLoss>,
    /// Connections are reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<Link>,
    /// The backend loses a host's leases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_lost: Option<OnHost>,
    /// The backend restarts, or one of its members; `for` is how long it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_restart: Option<BackendRestart>,
    /// The backend stops executing, or one of its members, and goes on when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_pause: Option<OnBackend>,
    /// The backend forgets what its entries were before they became what they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compaction: Option<OnBackend>,
    /// The member that leads a backend goes down, as with a restart; `for` is how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader_lost: Option<LeaderLost>,
    /// A host stops executing, and goes on when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<OnHost>,
    /// A host's date is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew: Option<Skew>,
    /// Links do something else to packets than the network does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkChange>,
    /// Connections fare as through a proxy with a toxic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toxic: Option<ToxicFault>,
}

/// A span of time, `{ from: 5s, to: 20s }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// Start.
    #[serde(with = "duration")]
    pub from: Duration,
    /// End.
    #[serde(with = "duration")]
    pub to: Duration,
}

/// A host dies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// The host, or a group of which one is drawn.
    pub host: String,
    /// Peers see its connections close; false is sudden death.
    #[serde(default)]
    pub fin: bool,
}

/// A fault of one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnHost {
    /// The host, or a group of which one is drawn.
    pub host: String,
}

/// A host's date is wrong; its monotonic clock is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skew {
    /// The host, or a group of which one is drawn.
    pub host: String,
    /// How far it is ahead, as `90s`, or behind, as `-1h`.
    #[serde(with = "signed")]
    pub by: Signed,
}

/// A partition: nothing passes between the groups, or with `one_way` nothing from the first to the second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Two or more groups of hosts; each text names hosts or groups, separated by commas.
    pub groups: Vec<String>,
    /// Only from the first group to the second.
    #[serde(default)]
    pub one_way: bool,
}

/// The links between two groups of hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// One side: hosts or groups, separated by commas.
    pub a: String,
    /// The other side.
    pub b: String,
}

/// Latency of links.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkLatency {
    /// One side: hosts or groups, separated by commas.
    pub a: String,
    /// The other side.
    pub b: String,
    /// One way.
    #[serde(with = "duration")]
    pub latency: Duration,
}

/// Loss on links.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkLoss {
    /// One side: hosts or groups, separated by commas.
    pub a: String,
    /// The other side.
    pub b: String,
    /// Probability, 0 to 1.
    pub probability: f64,
    /// What a loss is.
    #[serde(default)]
    pub granularity: LossGranularity,
}

/// What links do to packets. What is not said stays as the network has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkChange {
    /// One side: hosts or groups, separated by commas.
    pub a: String,
    /// The other side.
    pub b: String,
    /// Only packets from the first side to the second.
    #[serde(default)]
    pub one_way: bool,
    /// How long a packet takes, one way.
    #[serde(default, with = "distribution::optional", skip_serializing_if = "Option::is_none")]
    pub latency: Option<Distribution>,
    /// Probability that a packet is lost.
    #[serde(default)]
    pub loss: f64,
    /// Probability that a packet arrives twice.
    #[serde(default)]
    pub duplicate: f64,
    /// Probability that a packet is overtaken by those behind it.
    #[serde(default)]
    pub reorder: f64,
    /// Probability that bits of a packet flip, which its checksum notices: it is lost.
    #[serde(default)]
    pub corrupt: f64,
    /// What a direction carries, in bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// How much waits where more is sent than it carries, in bytes; what comes on top is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<u64>,
}

impl LinkChange {
    /// What it says of packets.
    pub fn quality(&self) -> LinkQuality {
        LinkQuality {
            latency: self.latency,
            loss: self.loss,
            duplicate: self.duplicate,
            reorder: self.reorder,
            corrupt: self.corrupt,
            bandwidth: self.bytes_per_second,
            queue: self.queue_bytes,
        }
    }
}

/// What a loss is; engines differ in what they can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossGranularity {
    /// The link breaks for a moment and loses everything in flight.
    #[default]
    Link,
    /// Single packets are lost beneath TCP.
    Packet,
}

/// The backend restarts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendRestart {
    /// The backend, such as `etcd`, of whose members one is drawn, or a member, such as `etcd-2`.
    pub backend: String,
    /// How it goes down.
    #[serde(default, skip_serializing_if = "HowDown::is_default")]
    pub how: HowDown,
}

/// How a backend goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HowDown {
    /// It is killed.
    #[default]
    Kill,
    /// It is asked to end, and ends in order.
    Term,
}

impl HowDown {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A fault of a backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnBackend {
    /// The backend, such as `etcd`; of its members one is drawn where it is done to one, or a member is named, such as
    /// `etcd-2`.
    pub backend: String,
}

/// The member that leads goes down, whichever it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaderLost {
    /// The backend, such as `etcd`.
    pub backend: String,
}
