//! Who subscribed to what, for all memory brokers of one world. It knows queues of messages, not handlers or hosts.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::broker::inbox::Inbox;

/// All subscriptions of one world.
#[derive(Debug, Default)]
pub(super) struct Topics {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    subscribed: u64,
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, Default)]
struct Topic {
    each: BTreeMap<u64, Inbox>,
    groups: BTreeMap<String, Group>,
    /// Where messages go, as long as nobody comes or goes.
    route: Option<Arc<Route>>,
}

/// The members of one queue.
#[derive(Debug, Default)]
struct Group {
    members: BTreeMap<u64, Inbox>,
    last: u64,
}

/// Where a message goes.
#[derive(Debug, Default)]
pub(super) struct Route {
    /// Each of these gets it.
    pub(super) each: Vec<(u64, Inbox)>,
    /// One member of each of these queues gets it.
    pub(super) groups: Vec<String>,
}

impl Topics {
    /// Adds a subscriber; its entry takes it away again, or whoever finds that its inbox is closed.
    pub(super) fn add(self: &Arc<Self>, topic: &str, group: Option<&str>, inbox: Inbox) -> Entry {
        let mut state = self.state();
        state.subscribed += 1;
        let id = state.subscribed;
        let topic_state = state.topics.entry(topic.to_owned()).or_default();
        topic_state.route = None;
        match group {
            Some(group) => topic_state.groups.entry(group.to_owned()).or_default().members.insert(id, inbox),
            None => topic_state.each.insert(id, inbox),
        };
        Entry { topics: self.clone(), topic: topic.to_owned(), group: group.map(str::to_owned), id }
    }

    /// Where a message of `topic` goes now.
    pub(super) fn route(&self, topic: &str) -> Option<Arc<Route>> {
        let mut state = self.state();
        let Topic { each, groups, route } = state.topics.get_mut(topic)?;
        let known = route.get_or_insert_with(|| {
            let each = each.iter().map(|(id, inbox)| (*id, inbox.clone())).collect();
            Arc::new(Route { each, groups: groups.keys().cloned().collect() })
        });
        Some(known.clone())
    }

    /// The members of a queue, the one whose turn it is first.
    pub(super) fn members(&self, topic: &str, group: &str) -> Vec<(u64, Inbox)> {
        let mut state = self.state();
        let Some(group) = state.topics.get_mut(topic).and_then(|topic| topic.groups.get_mut(group)) else {
            return Vec::new();
        };
        let after = group.members.range((Bound::Excluded(group.last), Bound::Unbounded));
        let members: Vec<_> =
            after.chain(group.members.range(..=group.last)).map(|(id, inbox)| (*id, inbox.clone())).collect();
        if let Some((first, _)) = members.first() {
            group.last = *first;
        }
        members
    }

    /// Takes a subscriber away. A second call does nothing.
    pub(super) fn remove(&self, topic_name: &str, group_name: Option<&str>, id: u64) {
        let mut state = self.state();
        let Some(topic) = state.topics.get_mut(topic_name) else { return };
        topic.route = None;
        topic.each.remove(&id);
        if let Some(name) = group_name
            && let Some(group) = topic.groups.get_mut(name)
        {
            group.members.remove(&id);
            if group.members.is_empty() {
                topic.groups.remove(name);
            }
        }
        if topic.each.is_empty() && topic.groups.is_empty() {
            state.topics.remove(topic_name);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topics that somebody subscribed to.
    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<String> {
        self.state().topics.keys().cloned().collect()
    }
}

/// A subscriber's place among the topics.
#[derive(Debug)]
pub(super) struct Entry {
    topics: Arc<Topics>,
    topic: String,
    group: Option<String>,
    id: u64,
}

impl Entry {
    /// Takes the subscriber away: nothing more is put into its inbox. A second call does nothing.
    pub(super) fn remove(&self) {
        self.topics.remove(&self.topic, self.group.as_deref(), self.id);
    }
}
