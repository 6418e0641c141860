//! Publishing over HTTP: finds the subscribers of a topic in the registry and sends the message to each of them, and to one
//! member of each queue. It knows nothing of this broker's own subscriptions; they are reached like any other.
//!
//! How fresh is the view? Every publish looks the subscribers up (`Registry::get_service`), because whoever subscribed
//! before must get the message; where the given registry is a cache, its freshness is the broker's. While the registry
//! cannot be asked, the last view serves.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use rand::Rng;

use super::connection::{Connections, Sent};
use super::{BROADCAST, BROKER, SERVICE, encoding};
use crate::broker::Message;
use crate::env::{Env, Random};
use crate::registry::{GetOptions, Node, Services};
use crate::{Error, ErrorKind, Result};

/// Limit for one lookup, whatever the registry's own.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Publishes for one broker.
#[derive(Debug)]
pub(super) struct Publisher {
    env: Env,
    registry: std::sync::Arc<dyn crate::registry::Registry>,
    connections: Connections,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    view: Option<Services>,
    /// The node that was last chosen, by topic and queue.
    turns: BTreeMap<String, BTreeMap<String, String>>,
    random: Random,
}

/// The subscribers of one topic.
#[derive(Debug, Default)]
struct Route<'a> {
    each: Vec<&'a Node>,
    queues: BTreeMap<&'a str, Vec<&'a Node>>,
}

impl Publisher {
    /// Publishes over `connections` to those that `registry` knows.
    pub(super) fn new(
        env: Env,
        registry: std::sync::Arc<dyn crate::registry::Registry>,
        connections: Connections,
    ) -> Self {
        let random = env.random("broker.http queue");
        let state = Mutex::new(State { view: None, turns: BTreeMap::new(), random });
        Self { env, registry, connections, state }
    }

    /// Sends `message` to everyone who subscribed to `topic`; waits until each has accepted or failed to. Delivery is at
    /// most once, so a subscriber that fails is not tried again; a queue's next member is, when certainly nothing was
    /// delivered to the one before.
    ///
    /// # Errors
    /// The first failure when there were subscribers and none has accepted; `TooLarge`; what the registry answers while
    /// there is no earlier view.
    pub(super) async fn publish(&self, topic: &str, message: &Message) -> Result<()> {
        let text = encoding::encode(topic, message)?;
        let services = self.look_up().await?;
        self.connections.keep(&services);
        let mut route = Route::of(&services, topic);
        self.take_turns(topic, &mut route);
        let each = route.each.iter().map(|node| self.connections.post(node, &text));
        let queues = route.queues.values().map(|members| self.post_to_one(members, &text));
        let (each, queues) = join(join_all(each), join_all(queues)).await;
        let mut failure = None;
        for sent in each.into_iter().chain(queues) {
            match sent {
                Sent::Accepted => return Ok(()),
                Sent::Gone => {}
                Sent::NotDelivered(error) | Sent::Unknown(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn post_to_one(&self, members: &[&Node], text: &Bytes) -> Sent {
        let mut last = Sent::Gone;
        for node in members {
            match self.connections.post(node, text).await {
                Sent::Gone => {}
                failed @ Sent::NotDelivered(_) => last = failed,
                // Who may have it must remain the only one.
                done @ (Sent::Accepted | Sent::Unknown(_)) => return done,
            }
        }
        last
    }

    async fn look_up(&self) -> Result<Services> {
        let asked = self.env.timeout(LOOKUP_TIMEOUT, self.registry.get_service(SERVICE, GetOptions::default())).await;
        let answer = asked
            .unwrap_or_else(|elapsed| Err(Error::new(ErrorKind::Timeout, "look up subscribers").caused_by(elapsed)));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(services) => {
                state.view = Some(services.clone());
                Ok(services)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let nobody = Services::default();
                state.view = Some(nobody.clone());
                Ok(nobody)
            }
            Err(error) => state.view.clone().ok_or(error),
        }
    }

    /// Puts first in each queue the member after the one that was last chosen.
    fn take_turns(&self, topic: &str, route: &mut Route<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { turns, random, .. } = &mut *state;
        if route.queues.is_empty() {
            turns.remove(topic);
            return;
        }
        let turns = turns.entry(topic.to_owned()).or_default();
        turns.retain(|queue, _| route.queues.contains_key(queue.as_str()));
        for (queue, members) in &mut route.queues {
            members.sort_by(|one, other| one.id.cmp(&other.id));
            let first = match turns.get(*queue) {
                Some(last) => members.iter().position(|node| node.id > *last).unwrap_or(0),
                // Publishers that publish once do not all choose the same member.
                None => random.random_range(0..members.len() as u64) as usize,
            };
            members.rotate_left(first);
            turns.insert((*queue).to_owned(), members[0].id.clone());
        }
    }
}

impl<'a> Route<'a> {
    fn of(services: &'a [crate::registry::Service], topic: &str) -> Self {
        let mut route = Self::default();
        for service in services {
            let is_subscriber = |node: &&Node| {
                let wanted = [("broker", BROKER), ("topic", topic)];
                wanted.iter().all(|(key, value)| node.metadata.get(*key).is_some_and(|text| text == value))
            };
            let nodes = service.nodes.iter().filter(is_subscriber);
            if service.version == BROADCAST {
                route.each.extend(nodes);
            } else {
                let mut nodes = nodes.peekable();
                if nodes.peek().is_some() {
                    route.queues.entry(&service.version).or_default().extend(nodes);
                }
            }
        }
        route
    }
}
