//! What checks of servers have in common: a server on this host that a check starts and stops itself, and a registry that
//! tells what was asked of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shaketable_stack::registry::{
    DeregisterOptions, GetOptions, ListOptions, Node, RegisterOptions, Registry, RegistryOptions, Service as Record,
    Services, WatchOptions, Watcher,
};
use shaketable_stack::server::{Server, ServerOptions};
use shaketable_stack::{Error, ErrorKind, Result as StackResult};

use crate::client::stage::{Caller, Seen, lock, probe, server_options};
use crate::{Finding, Host, Outcome, Parts, Site};

/// A server on this host, with its probe.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Where.
    pub(crate) site: Site,
    /// What the server is made of.
    pub(crate) parts: Parts,
    /// The server; nobody has started it.
    pub(crate) server: Arc<dyn Server>,
    /// The service.
    pub(crate) service: String,
    /// What its handlers saw.
    pub(crate) seen: Arc<Seen>,
}

impl Stage {
    /// A server of parts of its own.
    pub(crate) async fn new(site: &Site) -> Result<Self, Finding> {
        Self::of(site, site.parts().await?, "one").await
    }

    /// A server of `parts`; its label is `label`.
    pub(crate) async fn of(site: &Site, parts: Parts, label: &str) -> Result<Self, Finding> {
        let server = site.server(&parts).await?;
        let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
        let stage = Self { site: site.clone(), parts, server, service, seen };
        stage.set(|options| options.name.clone_from(&stage.service))?;
        let handled = stage.server.handle(probe(site.env(), &stage.seen, label));
        handled.map_err(|error| Finding::violated("a handler to be taken", format!("`{error}`")))?;
        Ok(stage)
    }

    /// A server whose registry tells what was asked of it.
    pub(crate) async fn spied(site: &Site) -> Result<(Self, Arc<Spy>), Finding> {
        let mut parts = site.parts().await?;
        let spy = Arc::new(Spy::new(parts.registry.clone()));
        parts.registry = spy.clone();
        Ok((Self::of(site, parts, "one").await?, spy))
    }

    /// Changes the server's options.
    pub(crate) fn set(&self, change: impl FnOnce(&mut ServerOptions)) -> Outcome {
        server_options(&self.server, change)
    }

    /// Starts the server.
    pub(crate) async fn start(&self) -> Outcome {
        self.site.ask("start the server", self.server.start()).await
    }

    /// Stops the server.
    pub(crate) async fn stop(&self) -> Outcome {
        self.site.ask("stop the server", self.server.stop()).await
    }

    /// What the server says that it registers.
    pub(crate) fn record(&self) -> Result<Record, Finding> {
        self.server.record().ok_or_else(|| Finding::violated("a record while the server runs", "none"))
    }

    /// Where the server says that it is reached.
    pub(crate) fn address(&self) -> Result<String, Finding> {
        Ok(self.record()?.nodes.first().map(|node| node.address.clone()).unwrap_or_default())
    }

    /// The records of the service in the registry; none when it knows none.
    pub(crate) async fn registered(&self) -> Result<Vec<Record>, Finding> {
        let get = self.parts.registry.get_service(&self.service, GetOptions::default());
        match self.site.ends("look the service up", get).await? {
            Ok(records) => Ok(records.to_vec()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Finding::Broke(format!("failed to look the service up: {error}"))),
        }
    }

    /// The nodes of the service in the registry.
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, Finding> {
        Ok(self.registered().await?.into_iter().flat_map(|record| record.nodes).collect())
    }

    /// Waits until `count` nodes are registered.
    pub(crate) async fn until_nodes(&self, count: usize, limit: Duration) -> Outcome {
        self.site
            .eventually(&format!("{count} nodes of the service in the registry"), limit, || async {
                let nodes = self.nodes().await.map_err(|finding| finding.to_string())?;
                if nodes.len() == count { Ok(()) } else { Err(format!("{}", nodes.len())) }
            })
            .await
    }

    /// A client on another host.
    pub(crate) async fn caller(&self) -> Result<Caller, Finding> {
        Caller::new(&self.site, Host::Second, &self.service).await
    }
}

/// A registry that counts, and that fails when it is told to.
#[derive(Debug)]
pub(crate) struct Spy {
    inner: Arc<dyn Registry>,
    /// Registrations fail while this holds.
    pub(crate) failing: AtomicBool,
    registered: AtomicUsize,
    /// The options of the last registration.
    pub(crate) options: Mutex<Option<RegisterOptions>>,
}

impl Spy {
    fn new(inner: Arc<dyn Registry>) -> Self {
        Self { inner, failing: AtomicBool::new(false), registered: AtomicUsize::new(0), options: Mutex::default() }
    }

    /// How many registrations were asked for.
    pub(crate) fn registrations(&self) -> usize {
        self.registered.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Registry for Spy {
    fn init(&self, options: RegistryOptions) -> StackResult<()> {
        self.inner.init(options)
    }

    fn options(&self) -> RegistryOptions {
        self.inner.options()
    }

    async fn register(&self, service: &Record, options: RegisterOptions) -> StackResult<()> {
        self.registered.fetch_add(1, Ordering::Relaxed);
        *lock(&self.options) = Some(options.clone());
        if self.failing.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Backend, "register").detail("the check makes it fail"));
        }
        self.inner.register(service, options).await
    }

    async fn deregister(&self, service: &Record, options: DeregisterOptions) -> StackResult<()> {
        self.inner.deregister(service, options).await
    }

    async fn get_service(&self, name: &str, options: GetOptions) -> StackResult<Services> {
        self.inner.get_service(name, options).await
    }

    async fn list_services(&self, options: ListOptions) -> StackResult<Services> {
        self.inner.list_services(options).await
    }

    async fn watch(&self, options: WatchOptions) -> StackResult<Arc<dyn Watcher>> {
        self.inner.watch(options).await
    }

    async fn close(&self) -> StackResult<()> {
        self.inner.close().await
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}
