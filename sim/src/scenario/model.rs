//! What a scenario file says, as values. Parsing and checking live beside it; nothing here knows engines or plugins.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

/// A scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Short name in kebab-case.
    pub name: String,
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
    /// What must hold.
    pub expect: Expect,
}

fn seeds_default() -> u32 {
    20
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
    /// One-way latency between any two hosts.
    pub latency: Latency,
    /// The step of a tick-driven engine.
    #[serde(with = "duration")]
    pub tick: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Latency { min: Duration::from_millis(1), max: Duration::from_millis(10) },
            tick: Duration::from_millis(5),
        }
    }
}

/// A range of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The smallest.
    #[serde(with = "duration")]
    pub min: Duration,
    /// The largest.
    #[serde(with = "duration")]
    pub max: Duration,
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
    /// The backend loses a host's leases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_lost: Option<OnHost>,
    /// The backend restarts; `for` is how long it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_restart: Option<BackendRestart>,
    /// A host stops executing, and goes on when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<OnHost>,
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
    /// The backend, such as `etcd`.
    pub backend: String,
}

/// What must hold; what is absent is not judged. In the order of the oracles, causes before what they lead to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// A registration is seen by whoever can reach the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_visible: Option<Within>,
    /// A lease expires neither early nor late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_expiry: Option<LeaseExpiry>,
    /// Watchers see every change once and in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch_order: Option<WatchOrder>,
    /// No call goes to a node that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_stale_calls: Option<Within>,
    /// After the heal all hosts see the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub views_converge: Option<Within>,
    /// Selection is fair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector_fairness: Option<Fairness>,
    /// Each answer is for what was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers_match: Option<AnswersMatch>,
    /// Events are delivered as the broker promises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryExpectation>,
    /// Every operation ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nothing_hangs: Option<Within>,
    /// Calls succeed, by phase.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub success_rate: Vec<SuccessRate>,
    /// Calls are quick, by phase, in simulated time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<LatencyBound>,
}

/// A bound in time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Within {
    /// The bound.
    #[serde(with = "duration")]
    pub within: Duration,
}

/// How exact expiry must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseExpiry {
    /// An expiry later than the granted TTL plus this is late.
    #[serde(with = "duration")]
    pub late: Duration,
    /// At least so many expiries must have been seen over the sweep, or there is too little evidence.
    #[serde(default)]
    pub at_least: u32,
}

/// How strictly watchers are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchOrder {
    /// How long a change may take to reach a watcher that can reach the registry.
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// How fair selection must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fairness {
    /// Probability of a false alarm over the whole sweep, at most.
    #[serde(default = "alpha_default")]
    pub false_alarm: f64,
    /// Largest ratio between the most and the least used node, pooled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_min_ratio: Option<f64>,
}

fn alpha_default() -> f64 {
    1e-6
}

/// That each answer is for the request that was asked, and that streams give everything back once and in order. There is
/// nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswersMatch {}

/// What is expected of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryExpectation {
    /// How long a delivery may take.
    #[serde(with = "duration")]
    pub within: Duration,
    /// Judge only messages published while no fault or churn was under way and that long after; none judges all of them.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub calm: Option<Duration>,
}

/// A share of successful calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuccessRate {
    /// `warmup`, `shake` or `settle`.
    pub phase: String,
    /// The smallest share, 0 to 1.
    pub at_least: f64,
}

/// A bound for a quantile of the latency of successful calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyBound {
    /// `warmup`, `shake` or `settle`.
    pub phase: String,
    /// The quantile, such as 0.99.
    pub quantile: f64,
    /// The bound.
    #[serde(with = "duration")]
    pub at_most: Duration,
}
