//! What checks of services have in common: a service on this host whose hooks write down what they saw.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shaketable_stack::client::Client;
use shaketable_stack::server::Server;
use shaketable_stack::service::{Hook, Service, ServiceOptions};
use shaketable_stack::{Error, ErrorKind};

use crate::client::stage::{Caller, lock};
use crate::server::tools::Stage;
use crate::{Finding, Outcome, Site};

/// A service on this host; the server has the probe.
#[derive(Debug)]
pub(super) struct Setup {
    /// Its server, and what that is made of.
    pub(super) stage: Stage,
    /// The service.
    pub(super) service: Arc<dyn Service>,
    /// What its hooks wrote: their names, and how many nodes were in the registry then.
    pub(super) log: Log,
}

/// How soon the registry shows what has become of the server.
pub(super) const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// What hooks wrote.
pub(super) type Log = Arc<Mutex<Vec<(&'static str, usize)>>>;

/// The hooks of a service, two at each point.
pub(super) const HOOKS: [&str; 8] = [
    "first before start",
    "second before start",
    "first after start",
    "second after start",
    "first before stop",
    "second before stop",
    "first after stop",
    "second after stop",
];

impl Setup {
    /// A service whose hooks all succeed.
    pub(super) async fn new(site: &Site) -> Result<Self, Finding> {
        Self::failing(site, "").await
    }

    /// A service whose hook `fails` fails.
    pub(super) async fn failing(site: &Site, fails: &'static str) -> Result<Self, Finding> {
        let stage = Stage::new(site).await?;
        let log = Log::default();
        let client = site.client(&stage.parts).await?;
        let options = options(&stage, client, stage.server.clone(), &log, fails);
        let service = site.service(options).await?;
        Ok(Self { stage, service, log })
    }

    /// The names of the hooks that ran, in order.
    pub(super) fn ran(&self) -> Vec<&'static str> {
        lock(&self.log).iter().map(|(name, _)| *name).collect()
    }

    /// Starts the service.
    pub(super) async fn start(&self) -> Outcome {
        self.stage.site.ask("start the service", self.service.start()).await
    }

    /// Stops the service.
    pub(super) async fn stop(&self) -> Outcome {
        self.stage.site.ask("stop the service", self.service.stop()).await
    }

    /// A client of the service on another host.
    pub(super) async fn caller(&self) -> Result<Caller, Finding> {
        self.stage.caller().await
    }

    /// Waits until the service has that many nodes.
    pub(super) async fn until_nodes(&self, count: usize) -> Outcome {
        self.stage.until_nodes(count, SHOWN_WITHIN).await
    }
}

/// Options with all hooks.
pub(super) fn options(
    stage: &Stage,
    client: Arc<dyn Client>,
    server: Arc<dyn Server>,
    log: &Log,
    fails: &'static str,
) -> ServiceOptions {
    let hook = |name: &'static str| {
        let (log, registry, service) = (log.clone(), stage.parts.registry.clone(), stage.service.clone());
        Hook::new(move || {
            let (log, registry, service) = (log.clone(), registry.clone(), service.clone());
            async move {
                let found = registry.get_service(&service, Default::default()).await;
                let nodes = found.map(|records| records.iter().map(|record| record.nodes.len()).sum()).unwrap_or(0);
                lock(&log).push((name, nodes));
                if name == fails { Err(Error::new(ErrorKind::Backend, "hook").detail(name)) } else { Ok(()) }
            }
        })
    };
    let [first_before_start, second_before_start, first_after_start, second_after_start, rest @ ..] = HOOKS;
    let [first_before_stop, second_before_stop, first_after_stop, second_after_stop] = rest;
    let mut options = ServiceOptions::new(client, server);
    options.before_start = vec![hook(first_before_start), hook(second_before_start)];
    options.after_start = vec![hook(first_after_start), hook(second_after_start)];
    options.before_stop = vec![hook(first_before_stop), hook(second_before_stop)];
    options.after_stop = vec![hook(first_after_stop), hook(second_after_stop)];
    options
}
