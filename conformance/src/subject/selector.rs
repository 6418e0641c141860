//! A selector behind an adapter, over a registry that the harness serves to it.

use std::sync::Arc;

use async_trait::async_trait;
use shaketable_proto::subject::v1::filter::Kind;
use shaketable_proto::subject::v1::selector_client::SelectorClient;
use shaketable_proto::subject::v1::{self as wire, Handle};
use shaketable_stack::env::Env;
use shaketable_stack::plugin::Settings;
use shaketable_stack::registry::{Node, Registry};
use shaketable_stack::selector::{
    Criterion, Filter, Next, NodeSet, NodeSource, Outcome, SelectOptions, Selection, Selector, SelectorOptions,
    Strategy, StrategyState,
};
use shaketable_stack::{Error, ErrorKind, Result};
use tonic::transport::Channel;

use super::adapter::{Adapter, client};
use super::registry::{node_from_wire, node_to_wire};
use super::served::Lent;
use super::{SubjectCommand, adapter};

/// The strategies that the protocol names.
const STRATEGIES: [&str; 2] = ["random", "round_robin"];

/// Opens an instance that selects from `registry`.
pub(super) async fn open(
    env: Env,
    command: SubjectCommand,
    registry: Arc<dyn Registry>,
    settings: Settings,
) -> Result<Arc<dyn Selector>> {
    settings.finish()?;
    let adapter = adapter(&env, &command)?;
    let served = adapter.served()?;
    let lent = served.lend(registry.clone());
    let request =
        wire::OpenSelectorRequest { registry_address: served.address().to_owned(), registry_scope: lent.scope() };
    let mut client = client!(SelectorClient, adapter);
    let instance = adapter.call("open", async move { client.open(request).await }).await?.id;
    Ok(Arc::new(SubjectSelector { adapter, instance, registry, _lent: lent }))
}

#[derive(Debug)]
struct SubjectSelector {
    adapter: Arc<Adapter>,
    instance: u64,
    registry: Arc<dyn Registry>,
    _lent: Lent,
}

impl SubjectSelector {
    fn client(&self) -> SelectorClient<Channel> {
        client!(SelectorClient, self.adapter)
    }

    fn request(&self, service: &str, options: &SelectOptions) -> Result<wire::SelectRequest> {
        let strategy = options.strategy.as_ref().map(|strategy| strategy.name()).unwrap_or_default();
        if !strategy.is_empty() && !STRATEGIES.contains(&strategy) {
            return Err(Error::new(ErrorKind::Unsupported, "select")
                .detail(format!("no adapter can run the caller's strategy '{strategy}'")));
        }
        let filters = options.filters.iter().map(|filter| to_wire(&**filter)).collect::<Result<_>>()?;
        Ok(wire::SelectRequest {
            instance: self.instance,
            service: service.to_owned(),
            strategy: strategy.to_owned(),
            filters,
        })
    }
}

fn to_wire(filter: &dyn Filter) -> Result<wire::Filter> {
    let kind = match filter.criterion() {
        Some(Criterion::Version(version)) => Kind::Version(version.to_owned()),
        Some(Criterion::Endpoint(endpoint)) => Kind::Endpoint(endpoint.to_owned()),
        Some(Criterion::Label { key, value }) => {
            Kind::Label(wire::Label { key: key.to_owned(), value: value.to_owned() })
        }
        None => {
            return Err(Error::new(ErrorKind::Unsupported, "select")
                .detail(format!("no adapter can run the caller's filter {filter:?}")));
        }
    };
    Ok(wire::Filter { kind: Some(kind) })
}

impl Drop for SubjectSelector {
    fn drop(&mut self) {
        let mut client = self.client();
        let request = Handle { id: self.instance };
        self.adapter.begin(async move { client.close(request).await });
    }
}

#[async_trait]
impl Selector for SubjectSelector {
    fn init(&self, _options: SelectorOptions) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "init").detail("the protocol of adapters has no init"))
    }

    fn options(&self) -> SelectorOptions {
        SelectorOptions { registry: self.registry.clone(), strategy: Arc::new(Its) }
    }

    /// Selects there; a selector that has to look the service up does so meanwhile.
    fn select(&self, service: &str, options: &SelectOptions) -> Result<Selection> {
        let mut client = self.client();
        let request = self.request(service, options)?;
        let selection = self.adapter.call_now("select", async move { client.select(request).await })?.id;
        Ok(Selection::Ready(Next::elsewhere(Arc::new(Selected { adapter: self.adapter.clone(), selection }))))
    }

    /// A selection that nobody takes a node of: the protocol has no other lookup.
    async fn load(&self, service: &str) -> Result<()> {
        let mut client = self.client();
        let request = self.request(service, &SelectOptions::default())?;
        self.adapter.call("select", async move { client.select(request).await }).await.map(drop)
    }

    /// Waits, so that what is selected next is selected after it. go-micro's `Mark` answers nothing.
    fn mark(&self, service: &str, node: &Node, outcome: Outcome) {
        let mut client = self.client();
        let error = if outcome == Outcome::Failed { "the request failed" } else { "" };
        let request = wire::MarkRequest {
            instance: self.instance,
            service: service.to_owned(),
            node: Some(node_to_wire(node)),
            error: error.to_owned(),
        };
        let _ = self.adapter.call_now("mark", async move { client.mark(request).await });
    }

    /// As [`mark`](Self::mark).
    fn reset(&self, service: &str) {
        let mut client = self.client();
        let request = wire::ResetRequest { instance: self.instance, service: service.to_owned() };
        let _ = self.adapter.call_now("reset", async move { client.reset(request).await });
    }

    async fn close(&self) -> Result<()> {
        let mut client = self.client();
        let request = Handle { id: self.instance };
        self.adapter.call("close", async move { client.close(request).await }).await.map(drop)
    }

    fn name(&self) -> &'static str {
        super::PLUGIN
    }
}

#[derive(Debug)]
struct Selected {
    adapter: Arc<Adapter>,
    selection: u64,
}

impl NodeSource for Selected {
    fn node(&self) -> Result<Arc<Node>> {
        let mut client = client!(SelectorClient, self.adapter);
        let request = Handle { id: self.selection };
        let node = self.adapter.call_now("select", async move { client.next(request).await })?;
        Ok(Arc::new(node_from_wire(node)))
    }
}

/// Stands for the selector's own strategy, which picks where this process sees nothing of it.
#[derive(Debug)]
struct Its;

impl Strategy for Its {
    fn pick(&self, _set: &NodeSet, _state: &StrategyState) -> usize {
        0
    }

    fn name(&self) -> &'static str {
        "its own"
    }
}
