//! Broker over HTTP, on go-micro's wire (v2 to v6, `broker/http.go`): every broker listens, every subscription is a node of
//! the service `micro.http.broker` in the registry, and a publisher posts to each of them. No server stands between.
//!
//! Delivery is at most once, in each publisher's order. Messages for one subscription are sent one at a time. A slow
//! consumer blocks: beyond 1024 waiting messages the publisher waits for room, at most 4 s, and then loses that message for
//! that subscriber; whoever publishes beside it waits up to 5 s more for its turn.

mod connection;
mod encoding;
mod publish;
mod receive;
mod subscription;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::delivery::{Delivery, Destination};
use super::{Broker, BrokerOptions, ErrorHandler, Handler, Message, PublishOptions, SubscribeOptions, Subscriber};
use crate::env::{Env, Random, Task, split_host_port};
use crate::opaque::opaque;
use crate::registry::Registry;
use crate::{Error, ErrorKind, Result};
use connection::Connections;
use publish::Publisher;
use subscription::{Lease, Subscription, SubscriptionParts, Subscriptions};

/// The service that subscriptions are registered as.
const SERVICE: &str = "micro.http.broker";

/// Version of a subscription without a queue; any other version is a queue's name.
const BROADCAST: &str = "ff.http.broadcast";

/// What a subscription's node says under `broker`.
const BROKER: &str = "http";

/// Limit for opening the port.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest body of a message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = encoding::MESSAGE_BYTES_MAX;

/// What go-micro has as constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpBrokerConfig {
    /// How long a subscription's registration lives without renewal; 60 s.
    pub register_ttl: Duration,
    /// How often it is renewed; 30 s.
    pub register_interval: Duration,
    /// Limit for handing a message to one subscriber, and for waiting until those before it are handed over; 5 s.
    pub request_timeout: Duration,
}

impl Default for HttpBrokerConfig {
    fn default() -> Self {
        Self {
            register_ttl: Duration::from_secs(60),
            register_interval: Duration::from_secs(30),
            request_timeout: Duration::from_secs(5),
        }
    }
}

/// A broker that posts messages to other brokers and is posted to.
pub struct HttpBroker {
    env: Env,
    config: HttpBrokerConfig,
    /// Serves where the options name no registry.
    registry: Arc<dyn Registry>,
    state: Mutex<State>,
    /// Held while it connects or disconnects.
    lifecycle: tokio::sync::Mutex<()>,
}

struct State {
    options: BrokerOptions,
    session: Option<Arc<Session>>,
    random: Random,
}

/// What lives from `connect` to `disconnect`.
struct Session {
    address: String,
    registry: Arc<dyn Registry>,
    error_handler: Option<Arc<dyn ErrorHandler>>,
    subscriptions: Arc<Subscriptions>,
    publisher: Publisher,
    accepting: Mutex<Option<Task>>,
    renewing: Mutex<Option<Task>>,
}

impl HttpBroker {
    /// A broker that listens at the first of `addresses` (a free port when there is none) and finds subscribers in
    /// `registry`.
    pub fn new(env: Env, registry: Arc<dyn Registry>, addresses: Vec<String>, config: HttpBrokerConfig) -> Self {
        let options = BrokerOptions { addresses, registry: Some(registry.clone()), ..BrokerOptions::default() };
        let random = env.random("broker.http id");
        let state = Mutex::new(State { options, session: None, random });
        Self { env, config, registry, state, lifecycle: tokio::sync::Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, operation: &'static str) -> Result<Arc<Session>> {
        self.state().session.clone().ok_or_else(|| Error::new(ErrorKind::NotConnected, operation))
    }

    async fn open(&self, options: BrokerOptions) -> Result<Session> {
        if options.secure {
            return Err(Error::new(ErrorKind::Unsupported, "connect").detail("encryption"));
        }
        let wanted = options.addresses.first().map_or(":0", String::as_str);
        let failed = |kind| Error::new(kind, "listen").with("address", wanted);
        split_host_port(wanted).map_err(|error| failed(ErrorKind::InvalidInput).caused_by(error))?;
        let listening = self.env.timeout(LISTEN_TIMEOUT, self.env.network().listen(wanted)).await;
        let listening = listening.map_err(|elapsed| failed(ErrorKind::Timeout).caused_by(elapsed))?;
        let listener = listening.map_err(|error| failed(ErrorKind::Backend).caused_by(error))?;
        let mut address = listener.local_address();
        if address.ip().is_unspecified() {
            address = SocketAddr::new(self.env.host().address, address.port());
        }
        let registry = options.registry.unwrap_or_else(|| self.registry.clone());
        let name = self.state().random.uuid();
        let connections = Connections::new(self.env.clone(), name, self.config.request_timeout);
        let subscriptions = Arc::<Subscriptions>::default();
        Ok(Session {
            address: address.to_string(),
            publisher: Publisher::new(self.env.clone(), registry.clone(), connections),
            registry,
            error_handler: options.error_handler,
            accepting: Mutex::new(Some(receive::serve(&self.env, listener, subscriptions.clone()))),
            renewing: Mutex::new(Some(subscriptions.keep_registered(&self.env, self.lease()))),
            subscriptions,
        })
    }

    fn lease(&self) -> Lease {
        Lease { ttl: self.config.register_ttl, interval: self.config.register_interval }
    }
}

#[async_trait]
impl Broker for HttpBroker {
    fn init(&self, options: BrokerOptions) -> Result<()> {
        self.state().options = options;
        Ok(())
    }

    fn options(&self) -> BrokerOptions {
        self.state().options.clone()
    }

    fn address(&self) -> String {
        self.state().session.as_ref().map_or_else(String::new, |session| session.address.clone())
    }

    async fn connect(&self) -> Result<()> {
        let _lifecycle = self.lifecycle.lock().await;
        let options = {
            let state = self.state();
            if state.session.is_some() {
                return Ok(());
            }
            state.options.clone()
        };
        let session = self.open(options).await?;
        self.state().session = Some(Arc::new(session));
        Ok(())
    }

    async fn disconnect(&self) -> Result<()> {
        let _lifecycle = self.lifecycle.lock().await;
        let session = self.state().session.take();
        match session {
            Some(session) => session.end().await,
            None => Ok(()),
        }
    }

    async fn publish(&self, topic: &str, message: &Message, _options: PublishOptions) -> Result<()> {
        self.session("publish")?.publisher.publish(topic, message).await
    }

    async fn subscribe(
        &self,
        topic: &str,
        handler: Arc<dyn Handler>,
        options: SubscribeOptions,
    ) -> Result<Arc<dyn Subscriber>> {
        let session = self.session("subscribe")?;
        let error_handler = session.error_handler.clone();
        let destination = Destination { topic: topic.to_owned(), handler, error_handler };
        let (delivery, queue) = Delivery::start(&self.env, "broker.http.delivery", destination);
        let parts = SubscriptionParts {
            env: self.env.clone(),
            registry: session.registry.clone(),
            lease: self.lease(),
            id: format!("{topic}-{}", self.state().random.uuid()),
            topic: topic.to_owned(),
            address: session.address.clone(),
            options,
            delivery,
            queue,
        };
        Ok(Subscription::begin(parts, &session.subscriptions).await?)
    }

    fn name(&self) -> &'static str {
        "http"
    }
}

impl Drop for HttpBroker {
    fn drop(&mut self) {
        let session = self.state().session.take();
        for subscription in session.iter().flat_map(|session| session.subscriptions.end()) {
            subscription.abort();
        }
    }
}

opaque!(HttpBroker);

impl Session {
    /// Ends all subscriptions, then closes the port. The port stays open until then, so that a publisher who still knows a
    /// subscription is told that it is gone and can turn to the queue's next member.
    async fn end(&self) -> Result<()> {
        let ended = self.subscriptions.end();
        let ended = join_all(ended.iter().map(|subscription| subscription.end())).await;
        for task in [&self.renewing, &self.accepting] {
            let task = task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task {
                task.abort();
                task.join().await;
            }
        }
        ended.into_iter().collect()
    }
}
