//! Service: client and server as one, with a lifecycle. Methods as in go-micro's `service/service.go`.

mod lifecycle;
pub mod table;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::Result;
use crate::client::Client;
use crate::opaque::opaque;
use crate::server::{Reply, Server};

pub use lifecycle::Lifecycle;

/// How a service is set up. go-micro: `service.Options`.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Calls others.
    pub client: Arc<dyn Client>,
    /// Serves others.
    pub server: Arc<dyn Server>,
    /// Run before the server starts; the first error aborts the start.
    pub before_start: Vec<Hook>,
    /// Run after the server has started; the first error stops the server and aborts the start.
    pub after_start: Vec<Hook>,
    /// Run before the server stops; an error does not keep it from stopping.
    pub before_stop: Vec<Hook>,
    /// Run after the server has stopped.
    pub after_stop: Vec<Hook>,
}

impl ServiceOptions {
    /// A service of `client` and `server` without hooks.
    pub fn new(client: Arc<dyn Client>, server: Arc<dyn Server>) -> Self {
        Self {
            client,
            server,
            before_start: Vec::new(),
            after_start: Vec::new(),
            before_stop: Vec::new(),
            after_stop: Vec::new(),
        }
    }
}

/// Something to do at a point of the lifecycle.
#[derive(Clone)]
pub struct Hook(Arc<dyn Fn() -> Reply<()> + Send + Sync>);

impl Hook {
    /// Does what `action` does.
    pub fn new<Answer>(action: impl Fn() -> Answer + Send + Sync + 'static) -> Self
    where
        Answer: Future<Output = Result<()>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(action())))
    }

    /// Runs the hook.
    pub async fn run(&self) -> Result<()> {
        (self.0)().await
    }
}

opaque!(Hook);

/// A client and a server with a lifecycle.
#[async_trait]
pub trait Service: Send + Sync + fmt::Debug {
    /// Replaces the options; not while it runs.
    fn init(&self, options: ServiceOptions) -> Result<()>;

    /// The options in force.
    fn options(&self) -> ServiceOptions;

    /// Calls others.
    fn client(&self) -> Arc<dyn Client>;

    /// Serves others.
    fn server(&self) -> Arc<dyn Server>;

    /// Runs the hooks and starts the server.
    async fn start(&self) -> Result<()>;

    /// Runs the hooks and stops the server, which drains. A second call does nothing.
    async fn stop(&self) -> Result<()>;

    /// Starts, waits until `shutdown` completes, stops.
    async fn run(&self, shutdown: Pin<Box<dyn Future<Output = ()> + Send>>) -> Result<()>;

    /// The plugin's name.
    fn name(&self) -> &'static str;
}
