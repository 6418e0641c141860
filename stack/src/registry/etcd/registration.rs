//! What is known of one key of this process: what it is to hold, which lease it hangs on, and when it is to be looked after. It
//! asks nobody.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::config;
use super::lease::Hold;
use crate::env::Instant;

/// A key, its node, and what it is to hold.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) key: String,
    pub(super) node_id: String,
    pub(super) value: Arc<[u8]>,
    /// What is known of the key, so that it is looked for once; it may be removed by now, and then nobody wants it.
    pub(super) registration: OnceLock<Arc<Registration>>,
}

/// One key of ours.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) key: String,
    pub(super) node_id: String,
    /// Held by whoever writes or deletes the key.
    pub(super) writing: tokio::sync::Mutex<()>,
    facts: Mutex<Facts>,
}

/// What is known of a key.
#[derive(Debug)]
pub(super) struct Facts {
    /// What the key is to hold; `None` until it was written.
    pub(super) value: Option<Arc<[u8]>>,
    /// The TTL that was asked for.
    pub(super) seconds: Option<i64>,
    pub(super) lease: Option<Hold>,
    /// When the key was last seen, or written.
    pub(super) checked_at: Instant,
    /// How often it is looked at.
    pub(super) look_every: Duration,
    /// How often it was written.
    pub(super) writes: u64,
    /// It is gone, and the loss is noted.
    pub(super) lost: bool,
    /// It is to be deleted: nobody restores it.
    pub(super) leaving: bool,
    /// It is in the table of registrations no more; whoever waited to write it takes another.
    pub(super) removed: bool,
    /// Leases on which it may hang although nobody wants it, because a request was not answered: where others keep the lease
    /// alive, it would live as long as they do.
    pub(super) doubts: BTreeSet<i64>,
    /// The one of them on which it was found.
    pub(super) stray: Option<i64>,
}

impl Registration {
    /// Nothing is written yet.
    pub(super) fn new(key: &str, node_id: &str) -> Self {
        let facts = Facts {
            value: None,
            seconds: None,
            lease: None,
            checked_at: Instant::default(),
            look_every: config::LEASELESS_CHECK,
            writes: 0,
            lost: false,
            leaving: false,
            removed: false,
            doubts: BTreeSet::new(),
            stray: None,
        };
        Self {
            key: key.to_owned(),
            node_id: node_id.to_owned(),
            writing: tokio::sync::Mutex::default(),
            facts: Mutex::new(facts),
        }
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    /// Whether the key is to be there.
    pub(super) fn is_wanted(&self) -> bool {
        self.value.is_some() && !self.leaving
    }

    /// Whether it was written so and is there, as far as is known.
    pub(super) fn is_as(&self, value: &[u8], seconds: Option<i64>) -> bool {
        self.is_wanted() && !self.lost && self.value.as_deref() == Some(value) && self.seconds == seconds
    }

    /// The id of the lease that it hangs on; 0 for none, as in etcd.
    pub(super) fn lease_id(&self) -> i64 {
        self.lease.as_ref().map_or(0, |hold| hold.id)
    }

    /// It is to be there no more. It may hang on its lease until somebody has made sure; what held that is returned.
    pub(super) fn abandon(&mut self) -> Option<Hold> {
        (self.value, self.lost) = (None, false);
        let hold = self.lease.take();
        self.doubts.extend(hold.as_ref().map(|hold| hold.id));
        hold
    }

    /// It is about to be written under `lease`, at `now`; until that is answered it may hang there.
    pub(super) fn begin_write(&mut self, lease: Option<&Hold>, now: Instant) {
        self.look_every = lease.map_or(config::LEASELESS_CHECK, |lease| config::renewal_interval(lease.ttl));
        if self.value.is_none() {
            self.checked_at = now;
        }
        self.doubts.extend(lease.map(|lease| lease.id));
    }

    /// When something is to be done about it; `None` while there is nothing.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let at_once = if self.is_wanted() { self.lost } else { self.lease.is_some() || self.stray.is_some() };
        if at_once { Some(Instant::default()) } else { self.look_at() }
    }

    /// When it is to be looked at; `None` when there is no reason to.
    pub(super) fn look_at(&self) -> Option<Instant> {
        let to_be_seen = if self.is_wanted() { !self.lost } else { !self.doubts.is_empty() };
        to_be_seen.then(|| self.checked_at + self.look_every)
    }

    /// Those are looked at together that hang on the same lease.
    pub(super) fn companions(&self) -> i64 {
        if self.is_wanted() { self.lease_id() } else { self.doubts.first().copied().unwrap_or_default() }
    }
}
