//! A registry behind an adapter.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use shaketable_proto::subject::v1::registry_client::RegistryClient;
use shaketable_proto::subject::v1::{self as wire, Handle};
use shaketable_stack::env::Env;
use shaketable_stack::plugin::Settings;
use shaketable_stack::registry::{
    Action, DeregisterOptions, Endpoint, Event, GetOptions, ListOptions, Node, RegisterOptions, Registry,
    RegistryOptions, Service, Services, Value, WatchOptions, Watcher,
};
use shaketable_stack::{Error, ErrorKind, Result};
use tonic::Streaming;
use tonic::transport::Channel;

use super::adapter::{Adapter, client};
use super::{SubjectCommand, adapter, open_request};

/// Opens an instance.
pub(super) async fn open(env: Env, command: SubjectCommand, settings: Settings) -> Result<Arc<dyn Registry>> {
    let adapter = adapter(&env, &command)?;
    let request = open_request(&env, settings)?;
    let options = RegistryOptions { addresses: request.addresses.clone(), ..RegistryOptions::default() };
    let mut client = client!(RegistryClient, adapter);
    let instance = adapter.call("open", async move { client.open(request).await }).await?.id;
    Ok(Arc::new(SubjectRegistry { adapter, instance, options: Mutex::new(options) }))
}

#[derive(Debug)]
struct SubjectRegistry {
    adapter: Arc<Adapter>,
    instance: u64,
    options: Mutex<RegistryOptions>,
}

impl SubjectRegistry {
    fn client(&self) -> RegistryClient<Channel> {
        client!(RegistryClient, self.adapter)
    }
}

impl Drop for SubjectRegistry {
    fn drop(&mut self) {
        let mut client = self.client();
        let request = Handle { id: self.instance };
        self.adapter.begin(async move { client.close(request).await });
    }
}

#[async_trait]
impl Registry for SubjectRegistry {
    fn init(&self, options: RegistryOptions) -> Result<()> {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
        Ok(())
    }

    fn options(&self) -> RegistryOptions {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        let mut client = self.client();
        let ttl_ns = options.ttl.map_or(0, |ttl| u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX));
        let request = wire::RegisterRequest { instance: self.instance, service: Some(to_wire(service)), ttl_ns };
        self.adapter.call("register", async move { client.register(request).await }).await.map(drop)
    }

    async fn deregister(&self, service: &Service, _options: DeregisterOptions) -> Result<()> {
        let mut client = self.client();
        let request = wire::DeregisterRequest { instance: self.instance, service: Some(to_wire(service)) };
        self.adapter.call("deregister", async move { client.deregister(request).await }).await.map(drop)
    }

    async fn get_service(&self, name: &str, _options: GetOptions) -> Result<Services> {
        let mut client = self.client();
        let request = wire::GetServiceRequest { instance: self.instance, name: name.to_owned() };
        let found = self.adapter.call("get service", async move { client.get_service(request).await }).await?;
        Ok(from_wire_all(found))
    }

    async fn list_services(&self, _options: ListOptions) -> Result<Services> {
        let mut client = self.client();
        let request = Handle { id: self.instance };
        let found = self.adapter.call("list services", async move { client.list_services(request).await }).await?;
        Ok(from_wire_all(found))
    }

    async fn watch(&self, options: WatchOptions) -> Result<Arc<dyn Watcher>> {
        let mut client = self.client();
        let request = wire::WatchRequest { instance: self.instance, service: options.service.unwrap_or_default() };
        let mut events = self.adapter.call("watch", async move { client.watch(request).await }).await?;
        let first = next(&self.adapter, &mut events).await?;
        if first.watch == 0 {
            return Err(Error::new(ErrorKind::Internal, "watch")
                .detail("the adapter's first message of a watch does not name it"));
        }
        let adapter = self.adapter.clone();
        let heard = Heard { events, ended: None };
        Ok(Arc::new(SubjectWatcher { adapter, watch: first.watch, heard: tokio::sync::Mutex::new(heard) }))
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
struct SubjectWatcher {
    adapter: Arc<Adapter>,
    watch: u64,
    heard: tokio::sync::Mutex<Heard>,
}

#[derive(Debug)]
struct Heard {
    events: Streaming<wire::WatchEvent>,
    /// How the plugin's watcher ended, in the words of its error. The protocol says it once; who asks again is told again.
    ended: Option<(ErrorKind, String)>,
}

async fn next(adapter: &Adapter, events: &mut Streaming<wire::WatchEvent>) -> Result<wire::WatchEvent> {
    match events.message().await {
        Ok(Some(event)) => Ok(event),
        Ok(None) => Err(Error::new(ErrorKind::Backend, "watch").detail("the watch ended without an error")),
        Err(status) => Err(adapter.error("watch", &status, ErrorKind::WatcherStopped)),
    }
}

#[async_trait]
impl Watcher for SubjectWatcher {
    async fn next(&self) -> Result<Event> {
        let mut heard = self.heard.lock().await;
        if let Some((kind, words)) = &heard.ended {
            return Err(Error::new(*kind, "watch").detail(words.clone()));
        }
        let event = match next(&self.adapter, &mut heard.events).await {
            Ok(event) => event,
            Err(error) => {
                heard.ended = Some((error.kind(), error.to_string()));
                return Err(error);
            }
        };
        let action = ACTIONS.into_iter().find(|action| action_to_wire(*action) == event.action).ok_or_else(|| {
            Error::new(ErrorKind::InvalidMessage, "watch")
                .detail(format!("the action '{}' is none of create, update and delete", event.action))
        })?;
        Ok(Event { action, service: event.service.map(from_wire).unwrap_or_default() })
    }

    fn stop(&self) {
        let mut client = client!(RegistryClient, self.adapter);
        let request = Handle { id: self.watch };
        // Waited for, so that what happens afterwards happens to a watcher that was stopped. Nobody hears of a failure.
        let _ = self.adapter.call_now("stop", async move { client.stop_watch(request).await });
    }
}

impl Drop for SubjectWatcher {
    fn drop(&mut self) {
        let mut client = client!(RegistryClient, self.adapter);
        let request = Handle { id: self.watch };
        self.adapter.begin(async move { client.stop_watch(request).await });
    }
}

const ACTIONS: [Action; 3] = [Action::Create, Action::Update, Action::Delete];

/// `action` as go-micro writes it.
pub(super) fn action_to_wire(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Delete => "delete",
    }
}

/// `service` in the protocol's words.
pub(super) fn to_wire(service: &Service) -> wire::Service {
    wire::Service {
        name: service.name.clone(),
        version: service.version.clone(),
        metadata: service.metadata.clone(),
        endpoints: service
            .endpoints
            .iter()
            .map(|endpoint| wire::Endpoint {
                name: endpoint.name.clone(),
                metadata: endpoint.metadata.clone(),
                request: endpoint.request.as_ref().map(value_to_wire),
                response: endpoint.response.as_ref().map(value_to_wire),
            })
            .collect(),
        nodes: service.nodes.iter().map(node_to_wire).collect(),
    }
}

fn value_to_wire(value: &Value) -> wire::Value {
    let values = value.values.iter().map(value_to_wire).collect();
    wire::Value { name: value.name.clone(), r#type: value.kind.clone(), values }
}

fn value_from_wire(value: wire::Value) -> Value {
    let values = value.values.into_iter().map(value_from_wire).collect();
    Value { name: value.name, kind: value.r#type, values }
}

pub(super) fn node_to_wire(node: &Node) -> wire::Node {
    wire::Node { id: node.id.clone(), address: node.address.clone(), metadata: node.metadata.clone() }
}

pub(super) fn node_from_wire(node: wire::Node) -> Node {
    Node { id: node.id, address: node.address, metadata: node.metadata }
}

/// What the protocol's words mean.
pub(super) fn from_wire(service: wire::Service) -> Service {
    let endpoint = |endpoint: wire::Endpoint| Endpoint {
        name: endpoint.name,
        metadata: endpoint.metadata,
        request: endpoint.request.map(value_from_wire),
        response: endpoint.response.map(value_from_wire),
    };
    Service {
        name: service.name,
        version: service.version,
        metadata: service.metadata,
        endpoints: service.endpoints.into_iter().map(endpoint).collect(),
        nodes: service.nodes.into_iter().map(node_from_wire).collect(),
    }
}

/// In the order of versions and nodes: that of a Go map says nothing, and is nobody's promise.
fn from_wire_all(found: wire::Services) -> Services {
    let mut services: Vec<Service> = found.services.into_iter().map(from_wire).collect();
    for service in &mut services {
        service.nodes.sort_by(|one, other| one.id.cmp(&other.id));
    }
    services.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    services.into()
}
