//! What every server of the stack does in the same way, whatever carries its requests: handlers, options, registration,
//! subscriptions, and the order of start and stop. What carries requests is a [`Front`]; this module knows none.

mod events;
mod group;
mod registration;
mod router;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::Notify;

use super::{Handler, Server, ServerOptions, Subscription};
use crate::env::{Env, Task};
use crate::registry::{Node, Service};
use crate::{Error, ErrorKind, Result};
use events::UnderWay;
use registration::Registration;

pub(crate) use group::Group;
pub(crate) use router::{NoRoute, Router, encode_by, run_stream, run_unary, status_of};

/// The codec of what says nothing of its own; go-micro's servers, all lines.
pub(crate) const FALLBACK_CONTENT_TYPE: &str = "application/protobuf";

/// Carries requests of one protocol.
#[async_trait]
pub(crate) trait Front: Send + Sync + fmt::Debug {
    /// The plugin's name.
    fn name(&self) -> &'static str;

    /// `protocol` in the node's metadata.
    fn protocol(&self) -> &'static str;

    /// `transport` in the node's metadata.
    fn transport(&self, options: &ServerOptions) -> String;

    /// Listens, and gives requests to `router` from now on.
    async fn open(&self, env: &Env, options: &ServerOptions, router: Arc<Router>) -> Result<Arc<dyn Door>>;
}

/// An open front. Dropping it ends its tasks.
#[async_trait]
pub(crate) trait Door: Send + Sync + fmt::Debug {
    /// Where it listens.
    fn address(&self) -> String;

    /// Accepts no further connection; those that are open go on.
    async fn stop_accepting(&self);

    /// Waits until no request is under way.
    async fn drained(&self);

    /// Closes connections and ends all tasks.
    async fn close(&self);
}

/// A server over a front.
#[derive(Debug)]
pub(crate) struct FrontServer {
    env: Env,
    front: Arc<dyn Front>,
    options: Mutex<ServerOptions>,
    shared: Arc<Shared>,
    /// Held while starting, stopping, or changing the registration by hand.
    run: tokio::sync::Mutex<Option<Run>>,
    node: Mutex<Option<(ServerOptions, Node)>>,
}

/// What a run shares with the server's methods.
#[derive(Debug, Default)]
struct Shared {
    router: Arc<Router>,
    subscriptions: Mutex<Vec<Subscription>>,
    /// Handlers or subscriptions have changed while the server runs.
    changed: Notify,
}

impl Shared {
    fn subscriptions(&self) -> Vec<Subscription> {
        lock(&self.subscriptions).clone()
    }
}

/// From `start` to `stop`.
#[derive(Debug)]
struct Run {
    options: ServerOptions,
    door: Arc<dyn Door>,
    registration: Arc<tokio::sync::Mutex<Registration>>,
    under_way: Arc<UnderWay>,
    heartbeat: Task,
}

impl FrontServer {
    pub(crate) fn new(env: Env, front: Arc<dyn Front>, options: ServerOptions) -> Self {
        Self {
            env,
            front,
            options: Mutex::new(options),
            shared: Arc::default(),
            run: tokio::sync::Mutex::new(None),
            node: Mutex::new(None),
        }
    }

    async fn registration(&self, operation: &'static str) -> Result<Arc<tokio::sync::Mutex<Registration>>> {
        match &*self.run.lock().await {
            Some(run) => Ok(run.registration.clone()),
            None => Err(Error::new(ErrorKind::NotConnected, operation).detail("the server is not started")),
        }
    }

    async fn bounded<T>(&self, operation: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        bounded(&self.env, operation, work).await
    }
}

#[async_trait]
impl Server for FrontServer {
    fn init(&self, options: ServerOptions) -> Result<()> {
        *lock(&self.options) = options;
        Ok(())
    }

    fn options(&self) -> ServerOptions {
        lock(&self.options).clone()
    }

    fn handle(&self, handler: Handler) -> Result<()> {
        let name = handler.name().to_owned();
        let wrapped = self.options().wrappers.iter().rev().fold(handler, |handler, wrapper| wrapper(handler));
        if wrapped.name() != name {
            return Err(Error::new(ErrorKind::InvalidInput, "add handler")
                .detail(format!("a wrapper has renamed it to '{}'", wrapped.name()))
                .with("handler", name));
        }
        self.shared.router.add(wrapped)?;
        self.shared.changed.notify_one();
        Ok(())
    }

    fn subscribe(&self, subscription: Subscription) -> Result<()> {
        if subscription.topic.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "subscribe").detail("the topic is empty"));
        }
        lock(&self.shared.subscriptions).push(subscription);
        self.shared.changed.notify_one();
        Ok(())
    }

    async fn register(&self) -> Result<()> {
        let registration = self.registration("register").await?;
        let mut registration = registration.lock().await;
        registration.wanted = true;
        registration.adopt(&self.options());
        *lock(&self.node) = Some(registration.current());
        registration.register(&self.shared).await
    }

    async fn deregister(&self) -> Result<()> {
        let registration = self.registration("deregister").await?;
        let mut registration = registration.lock().await;
        registration.wanted = false;
        registration.deregister().await
    }

    async fn start(&self) -> Result<()> {
        let mut run = self.run.lock().await;
        if run.is_some() {
            return Ok(());
        }
        let options = self.options();
        let door = self.front.open(&self.env, &options, self.shared.router.clone()).await?;
        if let Err(error) = self.bounded("connect broker", options.parts.broker.connect()).await {
            door.stop_accepting().await;
            door.close().await;
            return Err(error);
        }
        let transport = self.front.transport(&options);
        let (name, protocol) = (self.front.name(), self.front.protocol());
        let node = registration::node(&self.env, &options, &door.address(), &transport, name, protocol);
        *lock(&self.node) = Some((options.clone(), node.clone()));
        let under_way = Arc::new(UnderWay::default());
        let mut registration = Registration::new(self.env.clone(), options.clone(), node, under_way.clone());
        // What changed before the start is in this registration; only later changes wake the heartbeat.
        let _ = self.shared.changed.notified().now_or_never();
        // Not fatal: the heartbeat tries again.
        let _ = registration.register(&self.shared).await;
        let registration = Arc::new(tokio::sync::Mutex::new(registration));
        let beat = heartbeat(self.env.clone(), options.register_interval, registration.clone(), self.shared.clone());
        let heartbeat = self.env.spawn("server heartbeat", beat);
        *run = Some(Run { options, door, registration, under_way, heartbeat });
        Ok(())
    }

    async fn stop(&self) -> Result<()> {
        let mut run = self.run.lock().await;
        let Some(run) = run.take() else { return Ok(()) };
        let deregistered = {
            // A renewal that is under way ends first, so that none arrives after the deregistration.
            let mut registration = run.registration.lock().await;
            run.heartbeat.abort();
            registration.deregister().await
        };
        run.heartbeat.join().await;
        *lock(&self.node) = None;
        run.door.stop_accepting().await;
        let drained = async {
            run.door.drained().await;
            run.under_way.idle().await;
        };
        // What is still under way when the time is up is ended.
        let _ = self.env.timeout(run.options.drain_timeout, drained).await;
        run.door.close().await;
        let disconnected = self.bounded("disconnect broker", run.options.parts.broker.disconnect()).await;
        deregistered.and(disconnected)
    }

    fn record(&self) -> Option<Service> {
        let node = lock(&self.node);
        let (options, node) = node.as_ref()?;
        Some(registration::record(options, node, &self.shared))
    }

    fn node_id(&self) -> Option<String> {
        lock(&self.node).as_ref().map(|(_, node)| node.id.clone())
    }

    fn name(&self) -> &'static str {
        self.front.name()
    }
}

/// Limit for one request to registry or broker, beside their own.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

async fn bounded<T>(env: &Env, operation: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    env.timeout(OPERATION_TIMEOUT, work).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, operation).detail(format!("not done within {OPERATION_TIMEOUT:?}")))
    })
}

/// Renews every `interval`, and at once when handlers or subscriptions have changed.
async fn heartbeat(
    env: Env,
    interval: Duration,
    registration: Arc<tokio::sync::Mutex<Registration>>,
    shared: Arc<Shared>,
) {
    loop {
        if interval.is_zero() {
            shared.changed.notified().await;
        } else {
            let _ = env.timeout(interval, shared.changed.notified()).await;
        }
        let mut registration = registration.lock().await;
        if registration.wanted {
            // An error is tried again at the next interval.
            let _ = registration.register(&shared).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
