//! What is known of one key of this process: what it is to hold, which lease it hangs on, and when it is to be looked after. It
//! asks nobody.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
}

/// The records of a service, in the order of their keys.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    whole: Mutex<Option<Whole>>,
    /// When all of them were last seen at once, where nothing had changed since each was seen.
    seen_at: Arc<Mutex<Instant>>,
}

/// What was known of a batch when all of it was seen under one lease. It holds as long as nothing changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    /// How many changes there had been.
    pub(super) changes: u64,
    pub(super) lease: i64,
    /// The TTL that was asked for.
    pub(super) seconds: Option<i64>,
}

impl Batch {
    /// Takes records in any order.
    pub(super) fn new(mut records: Vec<Record>) -> Self {
        // By the ids they are in order already, unless there are slashes in them.
        records.sort_by(|one, other| one.key.cmp(&other.key));
        Self { records, whole: Mutex::default(), seen_at: Arc::default() }
    }

    pub(super) fn whole(&self) -> Option<Whole> {
        *self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of `sights`, which are those of the batch, were seen.
    pub(super) fn remember(&self, whole: Whole, sights: &[Sight]) {
        for sight in sights {
            sight.registration.facts().guard.seen_with = Some(self.seen_at.clone());
        }
        *self.whole.lock().unwrap_or_else(PoisonError::into_inner) = Some(whole);
    }

    /// All were seen again, and nothing has changed.
    pub(super) fn seen(&self, now: Instant) {
        *self.seen_at.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

/// Rises whenever something may change of what is known of any key of a registry, but for when it was seen: while it is the
/// same number, nobody needs to look at each.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(Arc<AtomicU64>);

impl Changes {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// One key of ours.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) key: String,
    pub(super) node_id: String,
    /// Held by whoever writes or deletes the key.
    pub(super) writing: tokio::sync::Mutex<()>,
    facts: Mutex<Facts>,
    changes: Changes,
}

/// What is known of a key, to be read.
pub(super) struct Reading<'a> {
    guard: MutexGuard<'a, Facts>,
    changes: &'a Changes,
}

impl Deref for Reading<'_> {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.guard
    }
}

impl<'a> Reading<'a> {
    /// It was seen.
    pub(super) fn seen(&mut self, now: Instant) {
        self.guard.checked_at = now;
    }

    /// From here on it is changed, and whoever relies on what was known before finds out.
    pub(super) fn change(self) -> MutexGuard<'a, Facts> {
        self.changes.0.fetch_add(1, Ordering::SeqCst);
        self.guard
    }
}

/// A key as it was known when somebody began to look at it.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) registration: Arc<Registration>,
    /// How often it had been written.
    pub(super) writes: u64,
    /// What [`companions`](Facts::companions) it had.
    pub(super) companions: i64,
}

/// What is known of a key.
#[derive(Debug)]
pub(super) struct Facts {
    /// What the key is to hold; `None` until it was written.
    pub(super) value: Option<Arc<[u8]>>,
    /// The TTL that was asked for.
    pub(super) seconds: Option<i64>,
    pub(super) lease: Option<Hold>,
    /// When the key was last seen by who knows of each key, or written.
    pub(super) checked_at: Instant,
    /// When it was last seen with all others of its batch.
    seen_with: Option<Arc<Mutex<Instant>>>,
    /// How often it is looked at.
    pub(super) look_every: Duration,
    /// How often it was written.
    pub(super) writes: u64,
    /// Somebody has begun to write it, and whether that was done is not known: it may hold what he wanted, or `value`.
    unsure: bool,
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
    pub(super) fn new(key: &str, node_id: &str, changes: &Changes) -> Self {
        let facts = Facts {
            value: None,
            seconds: None,
            lease: None,
            checked_at: Instant::default(),
            seen_with: None,
            look_every: config::LEASELESS_CHECK,
            writes: 0,
            unsure: false,
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
            changes: changes.clone(),
        }
    }

    /// Begins a look at it, if it `is_so`.
    pub(super) fn sight_if(self: &Arc<Self>, is_so: impl FnOnce(&Facts) -> bool) -> Option<Sight> {
        let facts = self.facts();
        is_so(&facts).then(|| Sight {
            registration: self.clone(),
            writes: facts.writes,
            companions: facts.companions(),
        })
    }

    pub(super) fn facts(&self) -> Reading<'_> {
        Reading { guard: self.facts.lock().unwrap_or_else(PoisonError::into_inner), changes: &self.changes }
    }

    /// What is known of it, to be changed.
    pub(super) fn change(&self) -> MutexGuard<'_, Facts> {
        self.facts().change()
    }
}

impl Facts {
    /// Whether the key is to be there.
    pub(super) fn is_wanted(&self) -> bool {
        self.value.is_some() && !self.leaving
    }

    /// Whether it was written so and is there, as far as is known.
    pub(super) fn is_as(&self, value: &Arc<[u8]>, seconds: Option<i64>) -> bool {
        // Mostly it is the very same: what nobody reads costs nothing.
        let is_same = |own: &Arc<[u8]>| Arc::ptr_eq(own, value) || own == value;
        self.is_wanted()
            && !self.lost
            && !self.unsure
            && self.value.as_ref().is_some_and(is_same)
            && self.seconds == seconds
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
        self.unsure = true;
    }

    /// It was written.
    pub(super) fn end_write(&mut self, value: Arc<[u8]>, seconds: Option<i64>, lease: Option<Hold>, now: Instant) {
        if let Some(lease) = &lease {
            self.doubts.remove(&lease.id);
        }
        (self.value, self.seconds, self.lease) = (Some(value), seconds, lease);
        self.checked_at = now;
        self.writes += 1;
        self.unsure = false;
    }

    /// When something is to be done about it; `None` while there is nothing.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let at_once = if self.is_wanted() { self.lost } else { self.lease.is_some() || self.stray.is_some() };
        if at_once { Some(Instant::default()) } else { self.look_at() }
    }

    /// When it is to be looked at; `None` when there is no reason to.
    pub(super) fn look_at(&self) -> Option<Instant> {
        let to_be_seen = if self.is_wanted() { !self.lost } else { !self.doubts.is_empty() };
        let seen_with = |seen_at: &Arc<Mutex<Instant>>| *seen_at.lock().unwrap_or_else(PoisonError::into_inner);
        to_be_seen
            .then(|| self.checked_at.max(self.seen_with.as_ref().map(seen_with).unwrap_or_default()) + self.look_every)
    }

    /// Those are looked at together that hang on the same lease.
    pub(super) fn companions(&self) -> i64 {
        if self.is_wanted() { self.lease_id() } else { self.doubts.first().copied().unwrap_or_default() }
    }
}
