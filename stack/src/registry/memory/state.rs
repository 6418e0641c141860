//! What the `memory` registries of one world share: registrations, their deadlines, and who watches. A state machine with
//! time passed in: it neither waits nor asks a clock. It also keeps the truth about what happened, for whoever asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::super::mailbox::Mailbox;
use super::super::records;
use crate::env::Instant;
use crate::registry::shared::{SharedBackend, Truth, TruthKind};
use crate::registry::{Action, Event, Service, Services};

/// The registrations of a world. The monotonic clocks of the world's hosts must have one origin; a host whose clock lags
/// does not turn time back.
#[derive(Debug, Default)]
pub struct State {
    parts: Mutex<Parts>,
    deadlines_changed: Notify,
}

/// What a registration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registered {
    Created,
    Changed,
    Renewed,
}

#[derive(Debug, Default)]
struct Parts {
    /// The latest time that anyone has passed in.
    now: Instant,
    services: BTreeMap<String, Entry>,
    /// Which registration ends next; a number tells two of one moment apart.
    deadlines: BTreeMap<(Instant, u64), (String, String)>,
    numbers: u64,
    watchers: BTreeMap<u64, Watching>,
    /// `None` while nobody records.
    truth: Option<Vec<Truth>>,
}

#[derive(Debug, Default)]
struct Entry {
    nodes: BTreeMap<String, Registration>,
    /// The answer to a lookup, made by the first one after a change.
    answer: Option<Services>,
}

#[derive(Debug)]
struct Registration {
    record: Service,
    ttl: Option<Duration>,
    number: u64,
    expires_at: Option<Instant>,
}

#[derive(Debug)]
struct Watching {
    service: Option<String>,
    mailbox: Arc<Mailbox>,
}

impl SharedBackend for State {
    fn record_truth(&self, record: bool) {
        let mut parts = self.lock();
        if record {
            parts.truth.get_or_insert_default();
        } else {
            parts.truth = None;
        }
    }

    fn take_truth(&self, now: Instant) -> Vec<Truth> {
        let mut parts = self.advance(now);
        parts.truth.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn lose(&self, now: Instant, node_id: &str) -> usize {
        let mut parts = self.advance(now);
        let now = parts.now;
        let holders: Vec<_> = parts
            .services
            .iter()
            .filter(|(_, entry)| entry.nodes.contains_key(node_id))
            .map(|(name, _)| name.clone())
            .collect();
        for service in &holders {
            if parts.remove(service, node_id) {
                let kind = TruthKind::Lost { service: service.clone(), node: node_id.to_owned() };
                parts.note(now, kind);
            }
        }
        holders.len()
    }

    fn restart(&self, now: Instant) {
        let mut parts = self.advance(now);
        let now = parts.now;
        let Parts { services, deadlines, .. } = &mut *parts;
        deadlines.clear();
        for (service, entry) in services.iter_mut() {
            for (node, registration) in &mut entry.nodes {
                registration.expires_at = registration.ttl.map(|ttl| now + ttl);
                if let Some(at) = registration.expires_at {
                    deadlines.insert((at, registration.number), (service.clone(), node.clone()));
                }
            }
        }
        parts.note(now, TruthKind::Restarted);
    }
}

impl State {
    /// Registers or renews one record.
    pub(super) fn register(&self, now: Instant, record: Service, ttl: Option<Duration>) -> Registered {
        let mut parts = self.advance(now);
        let first = parts.deadlines.keys().next().copied();
        let done = parts.register(record, ttl);
        // Each host of the world waits for the first deadline; a later one is no news to them.
        if first.is_none_or(|first| parts.deadlines.keys().next().is_some_and(|now_first| *now_first < first)) {
            self.deadlines_changed.notify_waiters();
        }
        done
    }

    /// Removes a node; answers whether it was there.
    pub(super) fn deregister(&self, now: Instant, service: &str, node: &str) -> bool {
        let mut parts = self.advance(now);
        let now = parts.now;
        let removed = parts.remove(service, node);
        if removed {
            let kind = TruthKind::Deregistered { service: service.to_owned(), node: node.to_owned() };
            parts.note(now, kind);
        }
        removed
    }

    /// The service called `name`, one value per version.
    pub(super) fn get(&self, now: Instant, name: &str) -> Option<Services> {
        self.advance(now).services.get_mut(name).map(Entry::answer)
    }

    /// All services.
    pub(super) fn list(&self, now: Instant) -> Services {
        let parts = self.advance(now);
        records::group(parts.services.values().flat_map(Entry::records))
    }

    /// Delivers what happens from now on to `mailbox`, until [`unwatch`](Self::unwatch) is called with the answer.
    pub(super) fn watch(&self, now: Instant, service: Option<String>, mailbox: Arc<Mailbox>) -> u64 {
        let mut parts = self.advance(now);
        let number = parts.next_number();
        parts.watchers.insert(number, Watching { service, mailbox });
        number
    }

    /// Ends a watch.
    pub(super) fn unwatch(&self, watcher: u64) {
        self.lock().watchers.remove(&watcher);
    }

    /// Removes what has expired. Any call does that; this one is for who waits.
    pub(super) fn expire(&self, now: Instant) {
        drop(self.advance(now));
    }

    /// When the next registration expires.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.lock().deadlines.keys().next().map(|(at, _)| *at)
    }

    /// Completes when [`next_deadline`](Self::next_deadline) may have come nearer since this was called.
    pub(super) fn deadlines_changed(&self) -> Notified<'_> {
        self.deadlines_changed.notified()
    }

    #[cfg(test)]
    pub(in crate::registry) fn watchers(&self) -> usize {
        self.lock().watchers.len()
    }

    /// Every access starts here, so that nobody ever sees what has expired.
    fn advance(&self, now: Instant) -> MutexGuard<'_, Parts> {
        let mut parts = self.lock();
        parts.now = parts.now.max(now);
        parts.expire();
        parts
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    fn register(&mut self, record: Service, ttl: Option<Duration>) -> Registered {
        let now = self.now;
        let number = self.next_number();
        let (service, version, node) = (record.name.clone(), record.version.clone(), record.nodes[0].id.clone());
        let expires_at = ttl.map(|ttl| now + ttl);
        let entry = self.services.entry(service.clone()).or_default();
        let registration = Registration { record, ttl, number, expires_at };
        let record = registration.record.clone();
        let old = entry.nodes.insert(node.clone(), registration);
        if old.as_ref().is_none_or(|old| old.record != record) {
            entry.answer = None;
        }
        if let Some(at) = old.as_ref().and_then(|old| old.expires_at.map(|at| (at, old.number))) {
            self.deadlines.remove(&at);
        }
        if let Some(at) = expires_at {
            self.deadlines.insert((at, number), (service.clone(), node.clone()));
        }
        match old {
            None => {
                let (ttl_requested, ttl_granted) = (ttl, ttl);
                self.note(now, TruthKind::Registered { service, node, version, ttl_requested, ttl_granted });
                self.emit(Action::Create, record);
                Registered::Created
            }
            Some(old) if old.record != record => {
                self.note(now, TruthKind::Changed { service, node, version, ttl_granted: ttl });
                self.emit(Action::Update, record);
                Registered::Changed
            }
            Some(_) => {
                self.note(now, TruthKind::Renewed { service, node, ttl_granted: ttl });
                Registered::Renewed
            }
        }
    }

    fn expire(&mut self) {
        while let Some(first) = self.deadlines.first_entry()
            && first.key().0 <= self.now
        {
            let ((at, _), (service, node)) = first.remove_entry();
            self.remove(&service, &node);
            self.note(at, TruthKind::Expired { service, node });
        }
    }

    fn remove(&mut self, service: &str, node: &str) -> bool {
        let Some(entry) = self.services.get_mut(service) else { return false };
        let Some(registration) = entry.nodes.remove(node) else { return false };
        entry.answer = None;
        if entry.nodes.is_empty() {
            self.services.remove(service);
        }
        if let Some(at) = registration.expires_at {
            self.deadlines.remove(&(at, registration.number));
        }
        self.emit(Action::Delete, registration.record);
        true
    }

    /// Tells those who watch. Whoever does not want more is forgotten.
    fn emit(&mut self, action: Action, service: Service) {
        let event = Event { action, service };
        self.watchers.retain(|_, watching| {
            watching.service.as_ref().is_some_and(|name| *name != event.service.name)
                || watching.mailbox.deliver(event.clone())
        });
    }

    fn note(&mut self, at: Instant, kind: TruthKind) {
        if let Some(truth) = &mut self.truth {
            truth.push(Truth { at, kind });
        }
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

impl Entry {
    fn answer(&mut self) -> Services {
        let nodes = &self.nodes;
        self.answer.get_or_insert_with(|| records::group(nodes.values().map(|node| &node.record))).clone()
    }

    fn records(&self) -> impl Iterator<Item = &Service> {
        self.nodes.values().map(|node| &node.record)
    }
}
