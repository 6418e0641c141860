//! Broker in memory: its topics belong to the world (all hosts of a simulation, or the process), so no network fault
//! touches it. It differs from go-micro's memory broker where that one is at odds with the interface: queues are honoured,
//! and a message is queued per subscriber, so that a handler that fails or dawdles does not keep others from it.
//!
//! A slow consumer blocks: beyond 1024 waiting messages `publish` waits for room, at most 5 s, and then answers `Timeout`;
//! everyone else has the message by then. A handler that publishes to its own full queue runs into that limit, too.

#[cfg(test)]
mod tests;
mod topics;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::delivery::{Delivery, Destination};
use super::inbox::{Inbox, Refused};
use super::{Broker, BrokerOptions, ErrorHandler, Handler, Message, PublishOptions, SubscribeOptions, Subscriber};
use crate::env::{Env, Instant};
use crate::opaque::opaque;
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use futures_util::future::{join, join_all};
use topics::{Entry, Topics};

/// How long `publish` waits for subscribers that do not keep up.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// A broker whose topics are shared by all memory brokers of one world.
pub struct MemoryBroker {
    env: Env,
    topics: Arc<Topics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    options: BrokerOptions,
    session: Option<Arc<Session>>,
}

/// What lives from `connect` to `disconnect`.
#[derive(Debug)]
struct Session {
    error_handler: Option<Arc<dyn ErrorHandler>>,
    subscriptions: Mutex<Subscriptions>,
}

#[derive(Debug, Default)]
struct Subscriptions {
    ended: bool,
    made: u64,
    live: BTreeMap<u64, Arc<Subscription>>,
}

impl MemoryBroker {
    /// A broker on the topics of `env`'s namespace.
    pub fn new(env: Env) -> Self {
        let topics = env.namespace().shared::<Topics>();
        Self { env, topics, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, operation: &'static str) -> Result<Arc<Session>> {
        self.state().session.clone().ok_or_else(|| Error::new(ErrorKind::NotConnected, operation))
    }

    /// Puts `message` where there was no room just now.
    async fn put_late(
        &self,
        topic: &str,
        id: u64,
        inbox: &Inbox,
        message: &Arc<Message>,
        deadline: Instant,
    ) -> Result<()> {
        match self.env.timeout_at(deadline, inbox.place()).await {
            Ok(place) => {
                if place.and_then(|place| place.put(message.clone())).is_err() {
                    self.topics.remove(topic, None, id);
                }
                Ok(())
            }
            Err(elapsed) => Err(Error::new(ErrorKind::Timeout, "publish")
                .detail("a subscriber does not keep up")
                .with("topic", topic)
                .caused_by(elapsed)),
        }
    }

    /// Puts `message` to the first member that has room, beginning with the one whose turn it is.
    async fn put_to_group(&self, topic: &str, group: &str, message: &Arc<Message>, deadline: Instant) -> Result<()> {
        loop {
            let mut full = None;
            for (id, inbox) in self.topics.members(topic, group) {
                match inbox.try_put(message) {
                    Ok(()) => return Ok(()),
                    Err(Refused::Full) => full = full.or(Some((id, inbox))),
                    Err(Refused::Closed) => self.topics.remove(topic, Some(group), id),
                }
            }
            let Some((id, inbox)) = full else { return Ok(()) };
            match self.env.timeout_at(deadline, inbox.place()).await {
                Ok(place) => match place.and_then(|place| place.put(message.clone())) {
                    Ok(()) => return Ok(()),
                    Err(_) => self.topics.remove(topic, Some(group), id),
                },
                Err(elapsed) => {
                    return Err(Error::new(ErrorKind::Timeout, "publish")
                        .detail("no member of the queue keeps up")
                        .with("topic", topic)
                        .with("queue", group)
                        .caused_by(elapsed));
                }
            }
        }
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn init(&self, options: BrokerOptions) -> Result<()> {
        self.state().options = options;
        Ok(())
    }

    fn options(&self) -> BrokerOptions {
        self.state().options.clone()
    }

    fn address(&self) -> String {
        self.state().session.as_ref().map_or_else(String::new, |_| "memory".to_owned())
    }

    async fn connect(&self) -> Result<()> {
        let mut state = self.state();
        if state.session.is_none() {
            if state.options.secure {
                return Err(Error::new(ErrorKind::Unsupported, "connect").detail("encryption"));
            }
            let error_handler = state.options.error_handler.clone();
            state.session = Some(Arc::new(Session { error_handler, subscriptions: Mutex::default() }));
        }
        Ok(())
    }

    async fn disconnect(&self) -> Result<()> {
        let session = self.state().session.take();
        let Some(session) = session else { return Ok(()) };
        let live = session.end();
        join_all(live.values().map(|subscription| subscription.end())).await;
        Ok(())
    }

    async fn publish(&self, topic: &str, message: &Message, _options: PublishOptions) -> Result<()> {
        self.session("publish")?;
        let Some(route) = self.topics.route(topic) else { return Ok(()) };
        let message = Arc::new(message.clone());
        let mut late = Vec::new();
        for (id, inbox) in &route.each {
            match inbox.try_put(&message) {
                Ok(()) => {}
                Err(Refused::Full) => late.push((*id, inbox)),
                // Who has just unsubscribed is owed nothing; nor is who died with its host and could not say so.
                Err(Refused::Closed) => self.topics.remove(topic, None, *id),
            }
        }
        if late.is_empty() && route.groups.is_empty() {
            return Ok(());
        }
        let deadline = self.env.now() + PUBLISH_TIMEOUT;
        let late = late.into_iter().map(|(id, inbox)| self.put_late(topic, id, inbox, &message, deadline));
        let groups = route.groups.iter().map(|group| self.put_to_group(topic, group, &message, deadline));
        let (late, groups) = join(join_all(late), join_all(groups)).await;
        late.into_iter().chain(groups).collect()
    }

    async fn subscribe(
        &self,
        topic: &str,
        handler: Arc<dyn Handler>,
        options: SubscribeOptions,
    ) -> Result<Arc<dyn Subscriber>> {
        let session = self.session("subscribe")?;
        let group = options.queue.clone().filter(|queue| !queue.is_empty());
        let error_handler = session.error_handler.clone();
        let destination = Destination { topic: topic.to_owned(), handler, error_handler };
        let mut subscriptions = session.subscriptions();
        if subscriptions.ended {
            return Err(Error::new(ErrorKind::NotConnected, "subscribe"));
        }
        let (delivery, inbox) = Delivery::start(&self.env, "broker.memory.delivery", destination);
        let entry = self.topics.add(topic, group.as_deref(), inbox);
        subscriptions.made += 1;
        let id = subscriptions.made;
        let topic = topic.to_owned();
        let subscription =
            Arc::new(Subscription { id, topic, options, entry, delivery, session: Arc::downgrade(&session) });
        subscriptions.live.insert(id, subscription.clone());
        Ok(subscription)
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

impl Drop for MemoryBroker {
    fn drop(&mut self) {
        let session = self.state().session.take();
        for subscription in session.iter().flat_map(|session| session.end().into_values()) {
            subscription.entry.remove();
            subscription.delivery.abort();
        }
    }
}

opaque!(MemoryBroker);

impl Session {
    fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all subscriptions and admits no further one.
    fn end(&self) -> BTreeMap<u64, Arc<Subscription>> {
        let mut subscriptions = self.subscriptions();
        subscriptions.ended = true;
        std::mem::take(&mut subscriptions.live)
    }
}

#[derive(Debug)]
struct Subscription {
    id: u64,
    topic: String,
    options: SubscribeOptions,
    entry: Entry,
    delivery: Delivery,
    session: Weak<Session>,
}

impl Subscription {
    async fn end(&self) {
        self.entry.remove();
        self.delivery.finish().await;
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
        if let Some(session) = self.session.upgrade() {
            session.subscriptions().live.remove(&self.id);
        }
        self.end().await;
        Ok(())
    }
}
