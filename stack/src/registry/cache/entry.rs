//! What the cache knows about one service: its nodes, when each was last confirmed, and the answer that they make. Time is
//! passed in; nothing here waits or asks a registry.

use std::collections::BTreeMap;

use super::super::records;
use crate::env::Instant;
use crate::registry::{Action, Event, Service, Services};

/// The nodes of one service.
#[derive(Debug)]
pub(super) struct Entry {
    nodes: BTreeMap<String, Held>,
    answer: Services,
    /// The oldest confirmation: a node that nobody confirms is not kept fresh by its siblings.
    confirmed_at: Instant,
}

#[derive(Debug)]
struct Held {
    record: Service,
    confirmed_at: Instant,
}

impl Entry {
    /// What a lookup that was started at `asked_at` has answered.
    pub(super) fn new(answer: Services, asked_at: Instant) -> Self {
        let nodes = answer
            .iter()
            .flat_map(records::split)
            .map(|record| (record.nodes[0].id.clone(), Held { record, confirmed_at: asked_at }))
            .collect();
        Self { nodes, answer, confirmed_at: asked_at }
    }

    /// The answer; shared, not copied.
    pub(super) fn answer(&self) -> &Services {
        &self.answer
    }

    /// Since when all of it is known to be true.
    pub(super) fn confirmed_at(&self) -> Instant {
        self.confirmed_at
    }

    /// Merges a change that was seen at `now`. Answers whether any node is left.
    pub(super) fn apply(&mut self, event: &Event, now: Instant) -> bool {
        let service = &event.service;
        match event.action {
            Action::Create | Action::Update => {
                for record in records::split(service) {
                    self.nodes.insert(record.nodes[0].id.clone(), Held { record, confirmed_at: now });
                }
            }
            Action::Delete if service.nodes.is_empty() => self.nodes.clear(),
            Action::Delete => {
                for node in &service.nodes {
                    // A node that has moved to another version is not the one that was deleted.
                    let same = |held: &Held| service.version.is_empty() || held.record.version == service.version;
                    if self.nodes.get(&node.id).is_some_and(same) {
                        self.nodes.remove(&node.id);
                    }
                }
            }
        }
        self.answer = records::group(self.nodes.values().map(|held| &held.record));
        let oldest = self.nodes.values().map(|held| held.confirmed_at).min();
        self.confirmed_at = oldest.unwrap_or(now);
        oldest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Entry;
    use crate::env::Instant;
    use crate::registry::testing::{created, deleted, service, updated};

    fn second(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn changes_are_merged_and_nodes_that_they_do_not_name_stay() {
        let mut entry = Entry::new(vec![service("user", "1", &["a"])].into(), second(0));
        assert!(entry.apply(&created(service("user", "1", &["b"])), second(1)));
        assert_eq!(&**entry.answer(), &[service("user", "1", &["a", "b"])]);
        assert!(entry.apply(&updated(service("user", "2", &["a"])), second(2)));
        assert_eq!(&**entry.answer(), &[service("user", "1", &["b"]), service("user", "2", &["a"])]);
        assert!(entry.apply(&deleted(service("user", "1", &["a"])), second(3)), "a moved to version 2 before");
        assert_eq!(entry.answer().len(), 2);
        assert!(entry.apply(&deleted(service("user", "1", &["b"])), second(3)));
        assert!(!entry.apply(&deleted(service("user", "2", &["a"])), second(3)));
        assert!(entry.answer().is_empty());
    }

    #[test]
    fn a_delete_without_nodes_drops_the_service() {
        let mut entry = Entry::new(vec![service("user", "1", &["a", "b"])].into(), second(0));
        assert!(!entry.apply(&deleted(service("user", "", &[])), second(1)));
    }

    #[test]
    fn one_live_node_does_not_keep_its_siblings_fresh() {
        let mut entry = Entry::new(vec![service("user", "1", &["a", "b"])].into(), second(0));
        entry.apply(&updated(service("user", "1", &["a"])), second(50));
        assert_eq!(entry.confirmed_at(), second(0));
        entry.apply(&deleted(service("user", "1", &["b"])), second(51));
        assert_eq!(entry.confirmed_at(), second(50));
    }
}
