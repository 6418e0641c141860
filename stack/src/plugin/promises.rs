//! What a plugin promises, as data. What is `None` is not promised, and nothing is judged on it.

use std::time::Duration;

/// What a plugin promises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// How often a message arrives.
    pub delivery: Option<Delivery>,
    /// In which order messages arrive.
    pub order: Option<Order>,
    /// What happens to who does not keep up.
    pub slow_consumer: Option<SlowConsumer>,
    /// Largest message, or largest record of a registry with all that is written around it, in bytes. What is larger is
    /// refused.
    pub message_bytes_max: Option<usize>,
    /// The unit to which a TTL is rounded up.
    pub ttl_granularity: Option<Duration>,
    /// How late an expired registration may still be seen, beyond the TTL and its granularity.
    pub expiry_slack: Option<Duration>,
    /// Whether it may run in the simulator.
    pub simulatable: Simulatable,
    /// Its state belongs to the world and no network fault touches it.
    pub shared_state: bool,
    /// The kind of backend that it needs, such as `etcd`; the world supplies the address.
    pub backend: Option<&'static str>,
    /// What it is without. It must refuse to do that with [`crate::ErrorKind::Unsupported`], and is not judged on it.
    pub lacks: &'static [Ability],
}

/// Something that plugins of an interface have, and one may be without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Ability {
    /// A registry's registrations run out.
    Ttl,
    /// A registry tells of changes.
    Watch,
    /// A registry tells of changes of all services to one watcher.
    WatchAll,
    /// A registry lists its services.
    List,
    /// A broker's subscribers may share messages in queue groups.
    QueueGroups,
    /// Clients and servers have streams.
    Streams,
    /// Clients and servers carry events.
    Events,
}

impl Ability {
    /// What people write: `ttl`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Watch => "watch",
            Self::WatchAll => "watch_all",
            Self::List => "list",
            Self::QueueGroups => "queue_groups",
            Self::Streams => "streams",
            Self::Events => "events",
        }
    }
}

/// How often a message arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Never twice, perhaps never.
    AtMostOnce,
    /// Never lost, perhaps twice.
    AtLeastOnce,
    /// Once while nothing is broken.
    ExactlyOnce,
}

/// In which order messages arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In none.
    Unordered,
    /// As each publisher sent them.
    PerPublisher,
    /// The same for everyone.
    Total,
}

/// What happens to a consumer that does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowConsumer {
    /// The sender waits.
    Blocks,
    /// It loses messages beyond `buffered`.
    Drops {
        /// Messages that are kept.
        buffered: usize,
    },
    /// It is cut off beyond `buffered`.
    Disconnects {
        /// Messages that are kept.
        buffered: usize,
    },
}

/// Whether a plugin may run in the simulator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Simulatable {
    /// It reaches the outside through its `Env` alone.
    #[default]
    Yes,
    /// Its client library opens sockets or threads by itself; the reason, for people.
    No(&'static str),
}
