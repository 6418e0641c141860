//! What a running server has registered and subscribed to. It knows registry and broker and no request. go-micro:
//! `rpcServer.Register` and `Deregister` (server/rpc_server.go); unlike there, a failing register check keeps the server
//! deregistered until it passes, and each subscription is subscribed once, however often the registration is renewed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Shared;
use super::events::{EventHandler, UnderWay};
use crate::Result;
use crate::broker::Subscriber;
use crate::env::{Env, split_host_port};
use crate::registry::{DeregisterOptions, Endpoint, Node, RegisterOptions, Service};
use crate::server::{ServerOptions, Subscription};

/// The registration of one run, from `start` to `stop`.
#[derive(Debug)]
pub(super) struct Registration {
    env: Env,
    options: ServerOptions,
    node: Node,
    under_way: Arc<UnderWay>,
    /// What is registered; the last record that was sent.
    registered: Option<Service>,
    /// By the subscription's position in the server's list.
    subscribers: BTreeMap<usize, Arc<dyn Subscriber>>,
    /// Whether the server is meant to be found: `deregister` by hand holds until `register` by hand.
    pub(super) wanted: bool,
}

impl Registration {
    pub(super) fn new(env: Env, options: ServerOptions, node: Node, under_way: Arc<UnderWay>) -> Self {
        Self { env, options, node, under_way, registered: None, subscribers: BTreeMap::new(), wanted: true }
    }

    /// Takes over what may change while a server runs: its version, and metadata that are new or other. go-micro registers
    /// its first record again and again (`rsvc` in server/rpc_server.go), so that nobody ever learns of a change.
    pub(super) fn adopt(&mut self, options: &ServerOptions) {
        self.options.version.clone_from(&options.version);
        self.options.metadata.clone_from(&options.metadata);
        self.node.metadata.extend(options.metadata.clone());
    }

    /// What the next registration tells.
    pub(super) fn current(&self) -> (ServerOptions, Node) {
        (self.options.clone(), self.node.clone())
    }

    /// Registers or renews, and subscribes to what is not subscribed to yet.
    ///
    /// # Errors
    /// What the check said (the server is deregistered then), or the first error of registry and broker.
    pub(super) async fn register(&mut self, shared: &Shared) -> Result<()> {
        if let Some(check) = &self.options.register_check
            && let Err(error) = self.bounded("check", check.run()).await
        {
            self.deregister().await?;
            return Err(error);
        }
        let record = record(&self.options, &self.node, shared);
        let options =
            RegisterOptions { ttl: (!self.options.register_ttl.is_zero()).then_some(self.options.register_ttl) };
        let registered = self.bounded("register", self.options.parts.registry.register(&record, options)).await;
        // Also after an error: the backend may have done it, and `deregister` must undo it then.
        self.registered = Some(record);
        let subscribed = self.subscribe(shared).await;
        registered.and(subscribed)
    }

    async fn subscribe(&mut self, shared: &Shared) -> Result<()> {
        let mut first_error = Ok(());
        for (index, subscription) in shared.subscriptions().into_iter().enumerate() {
            if self.subscribers.contains_key(&index) {
                continue;
            }
            let topic = subscription.topic.clone();
            let handler = EventHandler {
                subscription,
                codecs: self.options.parts.codecs.clone(),
                server: self.options.name.as_str().into(),
                under_way: self.under_way.clone(),
            };
            let options = handler.options();
            let subscribe = self.options.parts.broker.subscribe(&topic, Arc::new(handler), options);
            match self.bounded("subscribe", subscribe).await {
                Ok(subscriber) => {
                    self.subscribers.insert(index, subscriber);
                }
                // One that fails must not keep the others from being tried.
                Err(error) => first_error = first_error.and(Err(error)),
            }
        }
        first_error
    }

    /// Deregisters, where registered, and ends all subscriptions.
    ///
    /// # Errors
    /// The first error; everything is tried.
    pub(super) async fn deregister(&mut self) -> Result<()> {
        let mut result = Ok(());
        if let Some(record) = self.registered.take() {
            let deregister = self.options.parts.registry.deregister(&record, DeregisterOptions::default());
            result = self.bounded("deregister", deregister).await;
            if result.is_err() {
                // Tried again by the next one.
                self.registered = Some(record);
            }
        }
        for (index, subscriber) in std::mem::take(&mut self.subscribers) {
            if let Err(error) = self.bounded("unsubscribe", subscriber.unsubscribe()).await {
                self.subscribers.insert(index, subscriber);
                result = result.and(Err(error));
            }
        }
        result
    }

    async fn bounded<T>(&self, operation: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        super::bounded(&self.env, operation, work).await
    }
}

/// The node of a server that listens at `listening`.
pub(super) fn node(
    env: &Env,
    options: &ServerOptions,
    listening: &str,
    transport: &str,
    server: &str,
    protocol: &str,
) -> Node {
    let address = options.advertise.clone().unwrap_or_else(|| reachable(env, listening));
    let mut metadata = options.metadata.clone();
    let parts = &options.parts;
    for (name, value) in [
        ("transport", transport),
        ("broker", parts.broker.name()),
        ("server", server),
        ("registry", parts.registry.name()),
        ("protocol", protocol),
    ] {
        metadata.insert(name.to_owned(), value.to_owned());
    }
    Node { id: format!("{}-{}", options.name, options.id), address, metadata }
}

/// `listening` with an unspecified host replaced by the address that other hosts reach this one by.
fn reachable(env: &Env, listening: &str) -> String {
    let Ok((host, port)) = split_host_port(listening) else { return listening.to_owned() };
    let unspecified = host.is_empty() || host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
    if unspecified { std::net::SocketAddr::new(env.host().address, port).to_string() } else { listening.to_owned() }
}

/// What is registered.
pub(super) fn record(options: &ServerOptions, node: &Node, shared: &Shared) -> Service {
    let mut endpoints = shared.router.records();
    let mut subscriptions = shared.subscriptions();
    subscriptions.sort_by(|one, other| (&one.topic, &one.queue).cmp(&(&other.topic, &other.queue)));
    endpoints.extend(subscriptions.iter().map(subscriber_record));
    Service {
        name: options.name.clone(),
        version: options.version.clone(),
        endpoints,
        nodes: vec![node.clone()],
        ..Service::default()
    }
}

/// go-micro names the endpoint of a subscriber after the Go function; here it has the topic's name.
fn subscriber_record(subscription: &Subscription) -> Endpoint {
    let metadata = [("subscriber", "true"), ("topic", subscription.topic.as_str())];
    Endpoint {
        name: subscription.topic.clone(),
        metadata: metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..Endpoint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::reachable;
    use crate::env::testing::env;

    #[test]
    fn an_unspecified_host_is_replaced_by_the_reachable_one() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let env = runtime.block_on(async { env() });
        for (listening, expected) in [
            ("0.0.0.0:80", "10.0.0.1:80"),
            ("[::]:80", "10.0.0.1:80"),
            (":80", "10.0.0.1:80"),
            ("10.9.9.9:80", "10.9.9.9:80"),
            ("inbox.7", "inbox.7"),
        ] {
            assert_eq!(reachable(&env, listening), expected);
        }
    }
}
