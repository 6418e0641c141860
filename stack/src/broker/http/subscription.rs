//! The subscriptions of one http broker: each is a node of its own in the registry, renewed while it lives and taken out
//! when it ends. (go-micro gives all subscriptions of one topic and broker the same node id; two members of one queue then
//! both get the message.) It knows nothing of HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::{BROADCAST, BROKER, SERVICE};
use crate::broker::delivery::Delivery;
use crate::broker::inbox::Inbox;
use crate::broker::{SubscribeOptions, Subscriber};
use crate::env::{Env, Task};
use crate::registry::{DeregisterOptions, Node, RegisterOptions, Registry, Service};
use crate::{Error, ErrorKind, Result};

/// Limit for one request to the registry, whatever the registry's own.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(10);

/// How soon a renewal that failed is tried again, at the latest.
const RETRY: Duration = Duration::from_secs(5);

/// How registrations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// How long a registration lives without renewal.
    pub(super) ttl: Duration,
    /// How often it is renewed.
    pub(super) interval: Duration,
}

/// The living subscriptions of one broker, by node id.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ended: bool,
    live: BTreeMap<String, Live>,
}

#[derive(Debug)]
struct Live {
    subscription: Arc<Subscription>,
    door: Arc<Door>,
}

/// Where messages for one subscription come in. Its delivery goes on until the last copy is gone.
#[derive(Debug)]
pub(super) struct Door {
    /// Messages are put here.
    pub(super) queue: Inbox,
    /// The highest number that came of each publisher; see [`super::connection`].
    pub(super) newest: Mutex<BTreeMap<String, u64>>,
}

impl Subscriptions {
    /// Where messages for the subscription `id` to `topic` come in.
    pub(super) fn door(&self, id: &str, topic: &str) -> Option<Arc<Door>> {
        let state = self.state();
        let live = state.live.get(id).filter(|live| live.subscription.topic == topic)?;
        Some(live.door.clone())
    }

    /// Takes all subscriptions and admits no further one.
    pub(super) fn end(&self) -> Vec<Arc<Subscription>> {
        let mut state = self.state();
        state.ended = true;
        std::mem::take(&mut state.live).into_values().map(|live| live.subscription).collect()
    }

    /// Renews the registrations of what is in here until the task is dropped.
    pub(super) fn keep_registered(self: &Arc<Self>, env: &Env, lease: Lease) -> Task {
        let (subscriptions, clock) = (self.clone(), env.clone());
        env.spawn("broker.http.renew", async move {
            let mut pause = lease.interval;
            loop {
                clock.sleep(pause).await;
                let live: Vec<_> = subscriptions.state().live.values().map(|live| live.subscription.clone()).collect();
                let renewed = join_all(live.iter().map(|subscription| subscription.register())).await;
                let held = renewed.iter().all(Result::is_ok);
                pause = if held { lease.interval } else { lease.interval.min(RETRY) };
            }
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subscription to one topic.
#[derive(Debug)]
pub(super) struct Subscription {
    env: Env,
    registry: Arc<dyn Registry>,
    lease: Lease,
    topic: String,
    options: SubscribeOptions,
    record: Service,
    delivery: Delivery,
    registration: tokio::sync::Mutex<Registration>,
    siblings: Weak<Subscriptions>,
}

/// What the registry may hold. Locked over each request, so that no late renewal brings back what was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registration {
    Wanted,
    Ending,
    Gone,
}

/// What a subscription is made of.
pub(super) struct SubscriptionParts {
    pub(super) env: Env,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) lease: Lease,
    /// Unique among all subscriptions.
    pub(super) id: String,
    pub(super) topic: String,
    /// Where this broker receives.
    pub(super) address: String,
    pub(super) options: SubscribeOptions,
    pub(super) delivery: Delivery,
    /// Where the delivery takes its messages from.
    pub(super) queue: Inbox,
}

impl Subscription {
    /// Adds a subscription and registers it. When that fails, or is given up, nothing of it is left here.
    pub(super) async fn begin(parts: SubscriptionParts, siblings: &Arc<Subscriptions>) -> Result<Arc<Self>> {
        let subscription = Arc::new(Self {
            record: record(&parts),
            env: parts.env,
            registry: parts.registry,
            lease: parts.lease,
            topic: parts.topic,
            options: parts.options,
            delivery: parts.delivery,
            registration: tokio::sync::Mutex::new(Registration::Wanted),
            siblings: Arc::downgrade(siblings),
        });
        {
            let mut state = siblings.state();
            if state.ended {
                return Err(Error::new(ErrorKind::NotConnected, "subscribe"));
            }
            let door = Arc::new(Door { queue: parts.queue, newest: Mutex::default() });
            state.live.insert(subscription.id().to_owned(), Live { subscription: subscription.clone(), door });
        }
        let mut beginning = Beginning { subscription: &subscription, kept: false };
        if let Err(error) = subscription.register().await {
            // The registry may have done what it did not answer.
            let _ = subscription.end().await;
            return Err(error);
        }
        beginning.kept = true;
        drop(beginning);
        Ok(subscription)
    }

    fn id(&self) -> &str {
        self.record.nodes.first().map_or("", |node| &node.id)
    }

    async fn register(&self) -> Result<()> {
        let registration = self.registration.lock().await;
        if *registration != Registration::Wanted {
            return Err(Error::new(ErrorKind::NotConnected, "subscribe").with("topic", self.topic.clone()));
        }
        let options = RegisterOptions { ttl: Some(self.lease.ttl) };
        let asked = self.env.timeout(REGISTRY_TIMEOUT, self.registry.register(&self.record, options)).await;
        asked.unwrap_or_else(|elapsed| Err(Error::new(ErrorKind::Timeout, "register subscriber").caused_by(elapsed)))
    }

    /// Takes the subscription out of the registry, handles what was accepted, and lets no further delivery begin. A second
    /// call does nothing, unless the registry has failed: then it is asked again.
    ///
    /// # Errors
    /// What the registry answers; the subscription has ended even so, and its registration runs out.
    pub(super) async fn end(&self) -> Result<()> {
        self.leave();
        let taken_out = self.deregister().await;
        self.delivery.finish().await;
        taken_out
    }

    /// Ends the subscription here and now, without the registry.
    pub(super) fn abort(&self) {
        self.leave();
        self.delivery.abort();
    }

    async fn deregister(&self) -> Result<()> {
        let mut registration = self.registration.lock().await;
        if *registration == Registration::Gone {
            return Ok(());
        }
        *registration = Registration::Ending;
        let asked = self.registry.deregister(&self.record, DeregisterOptions::default());
        let asked = self.env.timeout(REGISTRY_TIMEOUT, asked).await;
        asked.unwrap_or_else(|elapsed| {
            Err(Error::new(ErrorKind::Timeout, "deregister subscriber").caused_by(elapsed))
        })?;
        *registration = Registration::Gone;
        Ok(())
    }

    fn leave(&self) {
        if let Some(siblings) = self.siblings.upgrade() {
            siblings.state().live.remove(self.id());
        }
    }
}

#[async_trait]
impl Subscriber for Subscription {
    fn options(&self) -> SubscribeOptions {
        self.options.clone()
    }

    fn topic(&self) -> &str {
        &self.topic
    }

    async fn unsubscribe(&self) -> Result<()> {
        self.end().await
    }
}

/// Undoes a subscription whose caller gave up before it was registered.
struct Beginning<'a> {
    subscription: &'a Subscription,
    kept: bool,
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.subscription.abort();
        }
    }
}

fn record(parts: &SubscriptionParts) -> Service {
    let queue = parts.options.queue.as_deref().filter(|queue| !queue.is_empty());
    let metadata = [("broker", BROKER), ("topic", &parts.topic), ("secure", "false")];
    Service {
        name: SERVICE.to_owned(),
        version: queue.unwrap_or(BROADCAST).to_owned(),
        nodes: vec![Node {
            id: parts.id.clone(),
            address: parts.address.clone(),
            metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        }],
        ..Service::default()
    }
}
