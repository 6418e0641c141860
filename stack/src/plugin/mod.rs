//! Plugins as values in tables, ours and a stranger's alike: a name, what the plugin promises as data, and a factory. A
//! plugin is added by adding its folder and one line here.

mod builder;
mod promises;
mod settings;
mod table;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::broker::Broker;
use crate::client::{Client, ClientParts};
use crate::codec::CodecFactory;
use crate::env::Env;
use crate::registry::Registry;
use crate::selector::Selector;
use crate::server::{Server, ServerParts};
use crate::service::{Service, ServiceOptions};
use crate::transport::Transport;
use crate::{Error, Result};

pub use promises::{Ability, Delivery, Order, Promises, Simulatable, SlowConsumer};
pub use settings::{Setting, Settings};
pub use table::{Table, nearest};

/// A boxed future of a factory.
pub type Made<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// A named implementation of one interface.
pub struct Plugin<Factory: ?Sized> {
    /// What people write in a scenario file.
    pub name: String,
    /// One line for listings.
    pub summary: String,
    /// What it promises; oracles and checks read only this.
    pub promises: Promises,
    /// Makes one.
    pub factory: Arc<Factory>,
}

impl<Factory: ?Sized> Clone for Plugin<Factory> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            summary: self.summary.clone(),
            promises: self.promises.clone(),
            factory: self.factory.clone(),
        }
    }
}

impl<Factory: ?Sized> fmt::Debug for Plugin<Factory> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Plugin").field("name", &self.name).field("promises", &self.promises).finish()
    }
}

/// Makes a transport.
pub type TransportFactory = dyn Fn(Env, Settings) -> Made<Arc<dyn Transport>> + Send + Sync;
/// Makes a codec.
pub type CodecMaker = dyn Fn(Env, Settings) -> Made<Arc<dyn CodecFactory>> + Send + Sync;
/// Makes a registry.
pub type RegistryFactory = dyn Fn(Env, Settings) -> Made<Arc<dyn Registry>> + Send + Sync;
/// Makes a selector over a registry.
pub type SelectorFactory = dyn Fn(Env, Arc<dyn Registry>, Settings) -> Made<Arc<dyn Selector>> + Send + Sync;
/// Makes a broker; an http broker finds its subscribers in the registry.
pub type BrokerFactory = dyn Fn(Env, Arc<dyn Registry>, Settings) -> Made<Arc<dyn Broker>> + Send + Sync;
/// Makes a client of its parts.
pub type ClientFactory = dyn Fn(Env, ClientParts, Settings) -> Made<Arc<dyn Client>> + Send + Sync;
/// Makes a server of its parts.
pub type ServerFactory = dyn Fn(Env, ServerParts, Settings) -> Made<Arc<dyn Server>> + Send + Sync;
/// Makes a service of a client and a server.
pub type ServiceFactory = dyn Fn(Env, ServiceOptions, Settings) -> Made<Arc<dyn Service>> + Send + Sync;

/// All plugins that a program knows, by interface.
#[derive(Clone, Debug)]
pub struct Plugins {
    /// Transports.
    pub transports: Table<TransportFactory>,
    /// Codecs.
    pub codecs: Table<CodecMaker>,
    /// Registries.
    pub registries: Table<RegistryFactory>,
    /// Selectors.
    pub selectors: Table<SelectorFactory>,
    /// Brokers.
    pub brokers: Table<BrokerFactory>,
    /// Clients.
    pub clients: Table<ClientFactory>,
    /// Servers.
    pub servers: Table<ServerFactory>,
    /// Services.
    pub services: Table<ServiceFactory>,
}

impl Plugins {
    /// The reference implementations.
    pub fn reference() -> Self {
        Self {
            transports: crate::transport::table::reference(),
            codecs: crate::codec::table::reference(),
            registries: crate::registry::table::reference(),
            selectors: crate::selector::table::reference(),
            brokers: crate::broker::table::reference(),
            clients: crate::client::table::reference(),
            servers: crate::server::table::reference(),
            services: crate::service::table::reference(),
        }
    }

    /// Tables without plugins.
    pub fn empty() -> Self {
        Self {
            transports: Table::new("transport"),
            codecs: Table::new("codec"),
            registries: Table::new("registry"),
            selectors: Table::new("selector"),
            brokers: Table::new("broker"),
            clients: Table::new("client"),
            servers: Table::new("server"),
            services: Table::new("service"),
        }
    }
}

/// The names that apply when nobody says otherwise; the registry is `etcd` where an address is given.
pub mod defaults {
    /// Transport.
    pub const TRANSPORT: &str = "http";
    /// Codec.
    pub const CODEC: &str = "protobuf";
    /// Registry without an address.
    pub const REGISTRY: &str = "memory";
    /// Registry with an address.
    pub const REGISTRY_WITH_ADDRESS: &str = "etcd";
    /// Selector: over the registry cache.
    pub const SELECTOR: &str = "random";
    /// Broker.
    pub const BROKER: &str = "http";
    /// Client.
    pub const CLIENT: &str = "rpc";
    /// Server.
    pub const SERVER: &str = "rpc";
    /// Service.
    pub const SERVICE: &str = "service";
}

/// For factories that cannot fail and need not wait.
pub fn ready<T: Send + 'static>(value: T) -> Made<T> {
    Box::pin(std::future::ready(Ok::<T, Error>(value)))
}
