//! Options of servers, with go-micro's defaults.

use std::sync::Arc;
use std::time::Duration;

use super::{HandlerWrapper, Reply};
use crate::Result;
use crate::broker::Broker;
use crate::codec::Codecs;
use crate::metadata::Metadata;
use crate::opaque::opaque;
use crate::registry::Registry;
use crate::transport::Transport;

/// What a server is made of.
#[derive(Clone, Debug)]
pub struct ServerParts {
    /// Carries requests of the `rpc` server; `grpc` brings its own.
    pub transport: Arc<dyn Transport>,
    /// Codecs by content type.
    pub codecs: Codecs,
    /// Where it registers itself.
    pub registry: Arc<dyn Registry>,
    /// Carries events.
    pub broker: Arc<dyn Broker>,
}

/// How a server is set up. go-micro: `server.Options`.
#[derive(Clone)]
pub struct ServerOptions {
    /// What it is made of.
    pub parts: ServerParts,
    /// Name of the service; `go.micro.server`.
    pub name: String,
    /// Version of the service; `latest`.
    pub version: String,
    /// Second part of the node's id; a random UUID by default.
    pub id: String,
    /// Where it listens; `:0`.
    pub address: String,
    /// The address that is registered, where it is not the one it listens at.
    pub advertise: Option<String>,
    /// Registered with the node.
    pub metadata: Metadata,
    /// How long a registration lives without renewal; 90 s.
    pub register_ttl: Duration,
    /// How often it is renewed; 30 s. Zero: never.
    pub register_interval: Duration,
    /// Asked before each registration; an error deregisters the server until it passes again.
    pub register_check: Option<RegisterCheck>,
    /// How long `stop` waits for requests under way; 10 s.
    pub drain_timeout: Duration,
    /// Wrap every handler.
    pub wrappers: Vec<HandlerWrapper>,
}

impl ServerOptions {
    /// The defaults, with `parts`; `id` is the node's unique part.
    pub fn new(parts: ServerParts, id: String) -> Self {
        Self {
            parts,
            name: "go.micro.server".to_owned(),
            version: "latest".to_owned(),
            id,
            address: ":0".to_owned(),
            advertise: None,
            metadata: Metadata::new(),
            register_ttl: Duration::from_secs(90),
            register_interval: Duration::from_secs(30),
            register_check: None,
            drain_timeout: Duration::from_secs(10),
            wrappers: Vec::new(),
        }
    }
}

opaque!(ServerOptions { name, version, id, address });

/// Asked before each registration: an error means that the server must not be found. go-micro: `server.RegisterCheck`.
#[derive(Clone)]
pub struct RegisterCheck(Arc<dyn Fn() -> Reply<()> + Send + Sync>);

impl RegisterCheck {
    /// Checks as `check` does.
    pub fn new<Answer>(check: impl Fn() -> Answer + Send + Sync + 'static) -> Self
    where
        Answer: Future<Output = Result<()>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(check())))
    }

    /// Runs the check.
    pub async fn run(&self) -> Result<()> {
        (self.0)().await
    }
}

opaque!(RegisterCheck);
