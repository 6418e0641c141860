//! What a scenario file says, as values. Parsing and checking live beside it; nothing here knows engines or plugins.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{distribution, duration};
use crate::world::{Distribution, LinkQuality};

mod expect;
mod fault;
mod live;
mod load;
mod runs;
mod toxic;

pub use expect::*;
pub use fault::*;
pub use live::*;
pub use load::*;
pub use runs::*;
pub use toxic::*;

/// A scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Short name in kebab-case.
    pub name: String,
    /// What it cannot do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Needs>,
    /// The plugins.
    #[serde(default)]
    pub stack: Stack,
    /// Runs the file once for each combination: interface (`registry`) to plugin names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matrix: BTreeMap<String, Vec<String>>,
    /// Services by name; each replica is a host, `<name>-1`, `<name>-2`, …
    pub services: BTreeMap<String, Service>,
    /// Hosts that only call, publish or watch: by name; `<name>-1`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clients: BTreeMap<String, Clients>,
    /// What the backends are like, by kind; what is not said of one is as its default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub backends: BTreeMap<String, BackendShape>,
    /// The network.
    #[serde(default)]
    pub network: Network,
    /// How long each phase takes.
    #[serde(default)]
    pub phases: Phases,
    /// What the hosts do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load: Vec<Load>,
    /// What is done to them, in the `shake` phase; times count from its start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// How many seeds a run takes when nobody says otherwise.
    #[serde(default = "seeds_default")]
    pub seeds: u32,
    /// What is different on real machines.
    #[serde(default, skip_serializing_if = "Live::is_default")]
    pub live: Live,
    /// What must hold.
    pub expect: Expect,
}

fn seeds_default() -> u32 {
    20
}

impl Scenario {
    /// How many members the backend `kind` has: hosts called `<kind>-1`, `<kind>-2`, …, or with one member `<kind>`.
    pub fn members_of(&self, kind: &str) -> u32 {
        self.backends.get(kind).map_or(1, |shape| shape.members.max(1))
    }
}

/// What a backend is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendShape {
    /// How many members it has.
    pub members: u32,
}

/// What a scenario cannot do without; on another engine it is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// The engine.
    pub engine: String,
    /// Why no other will do.
    pub because: String,
}

/// The plugins, by interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stack {
    /// Transport.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Choice>,
    /// Codec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<Choice>,
    /// Registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<Choice>,
    /// Selector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Choice>,
    /// Broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<Choice>,
    /// Client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Choice>,
    /// Server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Choice>,
    /// Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Choice>,
}

/// A plugin and its options: `{ plugin: etcd, options: { timeout: 2s } }`; the short form is the name alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Name of the plugin.
    pub plugin: String,
    /// Its options; texts that read as durations are durations.
    pub options: BTreeMap<String, OptionValue>,
}

/// Value of a plugin's option.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(String),
    /// A time span.
    Duration(Duration),
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// How many hosts run it.
    pub replicas: u32,
    /// Version.
    #[serde(default = "version_default")]
    pub version: String,
    /// Labels of its nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// How long a registration lives without renewal.
    #[serde(default = "register_ttl_default", with = "duration")]
    pub register_ttl: Duration,
    /// How often it is renewed.
    #[serde(default = "register_interval_default", with = "duration")]
    pub register_interval: Duration,
    /// How long a handler works, at most; each request draws from zero to this.
    #[serde(default, with = "duration")]
    pub work: Duration,
    /// It is the user's own, in the live world; without it the stack's own server serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
}

fn version_default() -> String {
    "latest".to_owned()
}

fn register_ttl_default() -> Duration {
    Duration::from_secs(90)
}

fn register_interval_default() -> Duration {
    Duration::from_secs(30)
}

/// Hosts that only call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    /// How many hosts.
    pub count: u32,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// How long a packet takes between any two hosts, one way.
    #[serde(with = "distribution")]
    pub latency: Distribution,
    /// The step of a tick-driven engine.
    #[serde(with = "duration")]
    pub tick: Duration,
    /// Probability that a packet is lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub loss: f64,
    /// Probability that a packet arrives twice.
    #[serde(skip_serializing_if = "is_zero")]
    pub duplicate: f64,
    /// Probability that a packet is overtaken by those behind it.
    #[serde(skip_serializing_if = "is_zero")]
    pub reorder: f64,
    /// Probability that bits of a packet flip, which its checksum notices: it is lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub corrupt: f64,
    /// What a link carries in each direction, in bytes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// How much waits where more is sent than a link carries, in bytes; what comes on top is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<u64>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Distribution::Uniform { min: Duration::from_millis(1), max: Duration::from_millis(10) },
            tick: Duration::from_millis(5),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            corrupt: 0.0,
            bytes_per_second: None,
            queue_bytes: None,
        }
    }
}

impl Network {
    /// What it says of the packets of each link.
    pub fn quality(&self) -> LinkQuality {
        LinkQuality {
            latency: Some(self.latency),
            loss: self.loss,
            duplicate: self.duplicate,
            reorder: self.reorder,
            corrupt: self.corrupt,
            bandwidth: self.bytes_per_second,
            queue: self.queue_bytes,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it a reference")]
fn is_zero(probability: &f64) -> bool {
    *probability == 0.0
}

/// How long each phase takes. `heal` undoes every fault; `settle` is watched without faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Phases {
    /// Everything starts, loads begin, no fault.
    #[serde(with = "duration")]
    pub warmup: Duration,
    /// Faults and churn.
    #[serde(with = "duration")]
    pub shake: Duration,
    /// No faults and no churn any more; loads go on.
    #[serde(with = "duration")]
    pub settle: Duration,
}

impl Default for Phases {
    fn default() -> Self {
        Self { warmup: Duration::from_secs(5), shake: Duration::from_secs(30), settle: Duration::from_secs(15) }
    }
}
