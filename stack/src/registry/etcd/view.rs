//! What a watch has seen so far, so that a gap in etcd's history (a compaction) can be closed by comparing. Pure: it is fed
//! with keys and values, and answers with events.

use std::collections::{BTreeMap, BTreeSet};

use super::encoding;
use crate::registry::{Action, Event, Service};

/// The records under a prefix, by key.
#[derive(Debug)]
pub(super) struct View {
    /// Another service may share the prefix: `a/b` and `a-b` have the same keys.
    service: Option<String>,
    records: BTreeMap<Vec<u8>, Service>,
}

impl View {
    /// Nothing seen yet.
    pub(super) fn new(service: Option<String>) -> Self {
        Self { service, records: BTreeMap::new() }
    }

    /// A key was written; `created` when it was not there before. `None` for what no registry writes.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8], created: bool) -> Option<Event> {
        let service = self.decode(value)?;
        self.records.insert(key.to_vec(), service.clone());
        Some(Event { action: if created { Action::Create } else { Action::Update }, service })
    }

    /// A key was deleted; `previous` is what it held, where etcd still knows.
    pub(super) fn delete(&mut self, key: &[u8], previous: Option<&[u8]>) -> Option<Event> {
        let known = self.records.remove(key);
        let service = previous.and_then(|value| self.decode(value)).or(known)?;
        Some(Event { action: Action::Delete, service })
    }

    /// The whole content as it is now: what must have happened since, deletes first.
    pub(super) fn replace(&mut self, content: &[(&[u8], &[u8])]) -> Vec<Event> {
        let present: BTreeSet<&[u8]> = content.iter().map(|(key, _)| *key).collect();
        let gone: Vec<_> = self.records.keys().filter(|key| !present.contains(key.as_slice())).cloned().collect();
        let mut events: Vec<_> = gone.iter().filter_map(|key| self.delete(key, None)).collect();
        for (key, value) in content {
            let known = self.records.get(*key);
            if known.is_some() && known == self.decode(value).as_ref() {
                continue;
            }
            let created = known.is_none();
            events.extend(self.put(key, value, created));
        }
        events
    }

    fn decode(&self, value: &[u8]) -> Option<Service> {
        encoding::decode(value).filter(|record| self.service.as_ref().is_none_or(|name| *name == record.name))
    }
}

#[cfg(test)]
mod tests {
    use super::View;
    use crate::registry::etcd::encoding::{encode, key};
    use crate::registry::testing::{created, deleted, service, updated};

    fn entry(name: &str, version: &str, node: &str) -> (Vec<u8>, Vec<u8>) {
        (key(name, node).into_bytes(), encode(&service(name, version, &[node])).unwrap())
    }

    #[test]
    fn a_gap_is_closed_by_the_difference() {
        let (a, b, b2, c) =
            (entry("user", "1", "a"), entry("user", "1", "b"), entry("user", "2", "b"), entry("user", "1", "c"));
        let mut view = View::new(None);
        assert_eq!(view.replace(&[(&a.0, &a.1), (&b.0, &b.1)]).len(), 2);
        assert!(view.replace(&[(&a.0, &a.1), (&b.0, &b.1)]).is_empty());
        assert_eq!(
            view.replace(&[(&b2.0, &b2.1), (&c.0, &c.1)]),
            [
                deleted(service("user", "1", &["a"])),
                updated(service("user", "2", &["b"])),
                created(service("user", "1", &["c"]))
            ]
        );
    }

    #[test]
    fn a_delete_tells_what_was_there() {
        let (a, b) = (entry("user", "1", "a"), entry("user", "1", "b"));
        let mut view = View::new(None);
        view.put(&a.0, &a.1, true);
        assert_eq!(view.delete(&a.0, None), Some(deleted(service("user", "1", &["a"]))));
        assert_eq!(view.delete(&a.0, None), None);
        assert_eq!(view.delete(&b.0, Some(&b.1)), Some(deleted(service("user", "1", &["b"]))));
    }

    #[test]
    fn foreign_values_and_services_of_the_same_prefix_are_not_seen() {
        let mut view = View::new(Some("a-b".to_owned()));
        let other = entry("a/b", "1", "x");
        assert_eq!(view.put(&other.0, &other.1, true), None);
        assert_eq!(view.put(b"/micro/registry/a-b/y", b"hello", true), None);
        let own = entry("a-b", "1", "x");
        assert_eq!(own.0, other.0);
        assert!(view.put(&own.0, &own.1, true).is_some());
    }
}
