//! Registry: which services exist and at which nodes. It knows nothing of calls. Methods as in go-micro's
//! `registry/registry.go`. Where go-micro's implementations disagree, this interface decides: an unknown service is
//! `NotFound`, a first registration is a `Create` event, expiry is a `Delete` event, a service without nodes is absent.

pub mod cache;
#[cfg(feature = "etcd")]
pub mod etcd;
mod followed;
mod losses;
mod mailbox;
pub mod memory;
mod model;
mod records;
mod services;
pub mod shared;
pub mod table;
#[cfg(test)]
mod testing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Result;
use crate::env::Instant;

pub use followed::{Followed, Freshness};
pub use model::{Endpoint, Node, Service, Value};
pub use services::Services;

/// How a registry is set up. go-micro: `registry.Options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryOptions {
    /// Addresses of the backend.
    pub addresses: Vec<String>,
    /// Limit for a lookup, a list, or the registration or deregistration of one node, however many requests to the backend it
    /// takes; 5 s.
    pub timeout: Duration,
    /// Encrypt. Not supported yet: operations answer [`crate::ErrorKind::Unsupported`].
    pub secure: bool,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self { addresses: Vec::new(), timeout: Duration::from_secs(5), secure: false }
    }
}

/// How a service is registered. go-micro: `registry.RegisterOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterOptions {
    /// How long the registration lives without renewal; none lives until it is deregistered.
    pub ttl: Option<Duration>,
}

/// How a service is deregistered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeregisterOptions {}

/// How a service is looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {}

/// How services are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {}

/// What is watched. go-micro: `registry.WatchOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// The service; none watches all of them.
    pub service: Option<String>,
}

/// Registers, finds and watches services.
#[async_trait]
pub trait Registry: Send + Sync + fmt::Debug {
    /// Replaces the options.
    fn init(&self, options: RegistryOptions) -> Result<()>;

    /// The options in force.
    fn options(&self) -> RegistryOptions;

    /// Registers the nodes of `service`, or renews them: the same again refreshes the TTL, anything changed (metadata,
    /// endpoints, version) is written. A registration that the backend has lost is restored.
    ///
    /// # Errors
    /// `InvalidInput` for a service without name or nodes, `Backend`, `Timeout`.
    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()>;

    /// Removes the nodes of `service`, all that are given, by id. Unknown ones are no error.
    async fn deregister(&self, service: &Service, options: DeregisterOptions) -> Result<()>;

    /// The service called `name`: one value per version, in the order of versions, nodes in the order of ids.
    ///
    /// # Errors
    /// `NotFound` when no node of it is registered.
    async fn get_service(&self, name: &str, options: GetOptions) -> Result<Services>;

    /// All services, one value per name and version, in that order.
    async fn list_services(&self, options: ListOptions) -> Result<Services>;

    /// Watches changes from now on: what happens after this returns is seen.
    async fn watch(&self, options: WatchOptions) -> Result<Arc<dyn Watcher>>;

    /// What [`get_service`](Self::get_service) would answer without asking a backend; `None` when that is not known.
    /// Does not allocate.
    fn cached(&self, name: &str) -> Option<Services> {
        let _ = name;
        None
    }

    /// As [`cached`](Self::cached), with what tells whether it still is so; `None` where nobody tells.
    fn followed(&self, name: &str) -> Option<Followed> {
        let _ = name;
        None
    }

    /// Why registrations were lost and what was done about it, oldest first; bounded.
    fn losses(&self) -> Vec<Loss> {
        Vec::new()
    }

    /// Releases what the registry holds: watchers, connections, renewal. Registrations with a TTL then run out.
    async fn close(&self) -> Result<()>;

    /// The plugin's name.
    fn name(&self) -> &'static str;
}

/// What happened to a service. go-micro: `Result.Action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// A node was registered that was not there before.
    Create,
    /// A registered node was changed.
    Update,
    /// A node was deregistered, or its registration ran out.
    Delete,
}

impl Action {
    /// go-micro's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// One change. go-micro: `registry.Result`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub action: Action,
    /// The service with the nodes that it happened to; for a `Delete` as they were before.
    pub service: Service,
}

/// Delivers changes in order.
#[async_trait]
pub trait Watcher: Send + Sync + fmt::Debug {
    /// Waits for the next change.
    ///
    /// # Errors
    /// `WatcherStopped` after [`stop`](Self::stop), also for a call that was already waiting.
    async fn next(&self) -> Result<Event>;

    /// Ends the watch. A second call does nothing. Dropping the watcher does the same.
    fn stop(&self);
}

/// A registration that the backend no longer had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// When the registry noticed.
    pub noticed_at: Instant,
    /// The node.
    pub node_id: String,
    /// One sentence: why it was lost, as far as this end can know.
    pub reason: String,
    /// Whether it has been restored since.
    pub restored: bool,
}
