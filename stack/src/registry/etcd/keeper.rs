//! What this process has registered: written under the lease that all keys of one TTL share, and deleted; the last key to go
//! takes the lease with it. It does not know what the values mean.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::super::losses::LossLog;
use super::channel::{Links, is_lease_not_found};
use super::config;
use super::lease::{Hold, Lease, Leases};
use super::registration::{Batch, Changes, Reading, Record, Registration, Sight, Whole};
use super::upkeep::{self, Seen};
use crate::env::{Env, Instant};
use crate::registry::Loss;
use crate::{Error, ErrorKind, Result};

/// Everything that this process has registered, by key.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) env: Env,
    pub(super) links: Arc<Links>,
    pub(super) leases: Arc<Leases>,
    registrations: Mutex<BTreeMap<String, Arc<Registration>>>,
    changes: Changes,
    /// Held by whoever asks for a lease, so that all who need one get the same.
    granting: tokio::sync::Mutex<()>,
    losses: LossLog,
    /// Why the last renewal stream ended, while none has answered since.
    silence: Mutex<Option<String>>,
    /// There are other leases to renew.
    pub(super) leases_changed: Notify,
    /// There is something to restore.
    pub(super) lost: Notify,
    /// When somebody looks after keys next, as the background task was told.
    pub(super) next_look: Mutex<Option<Instant>>,
}

/// Records, by whether they were written before as they are.
#[derive(Default)]
struct Sorted<'a> {
    known: Vec<Sight>,
    /// The records of the known ones.
    known_records: Vec<&'a Record>,
    others: Vec<&'a Record>,
}

impl Keeper {
    pub(super) fn new(env: Env, links: Arc<Links>) -> Self {
        Self {
            env,
            links,
            leases: Arc::default(),
            registrations: Mutex::default(),
            changes: Changes::default(),
            granting: tokio::sync::Mutex::default(),
            losses: LossLog::default(),
            silence: Mutex::default(),
            leases_changed: Notify::new(),
            lost: Notify::new(),
            next_look: Mutex::default(),
        }
    }

    pub(super) fn losses(&self) -> Vec<Loss> {
        self.losses.to_vec()
    }

    /// Writes keys, or makes sure that they are still there as they were written; each within the time-out, whatever that
    /// takes.
    pub(super) async fn register(&self, batch: &Batch, ttl: Option<Duration>) -> Result<()> {
        let (seconds, deadline) = (ttl.map(config::whole_seconds), self.links.deadline());
        let known = (self.changes.count(), seconds);
        let known = batch.whole().filter(|whole| (whole.changes, whole.seconds) == known);
        if let Some(whole) = known
            && self.is_still_whole(batch, whole, deadline).await?
        {
            return Ok(());
        }
        let changes = self.changes.count();
        let sorted = self.sort(&batch.records, seconds);
        // One look at all that were written so before.
        let seen = self.look(&sorted.known, deadline).await?;
        if sorted.others.is_empty()
            && seen.iter().all(|seen| *seen == Seen::Ours)
            && let Some(lease) = self.common_lease(&sorted.known)
            && sorted.known.iter().all(|sight| sight.companions == lease)
        {
            batch.remember(Whole { changes, lease, seconds }, &sorted.known);
            return Ok(());
        }
        let gone = sorted.known_records.iter().zip(seen).filter(|(_, seen)| *seen != Seen::Ours);
        for record in gone.map(|(record, _)| *record).chain(sorted.others) {
            let deadline = if batch.records.len() == 1 { deadline } else { self.links.deadline() };
            self.register_one(record, seconds, deadline).await?;
        }
        Ok(())
    }

    /// Whether all keys of a batch hang where they did, and nobody has touched any key of this registry meanwhile.
    async fn is_still_whole(&self, batch: &Batch, whole: Whole, deadline: Instant) -> Result<bool> {
        let answer = self.links.keys_on(whole.lease, deadline).await?;
        let keys: Vec<&[u8]> = batch.records.iter().map(|record| record.key.as_bytes()).collect();
        let is_whole = upkeep::are_among(&keys, answer.keys()).all(|is_there| is_there);
        if is_whole && self.changes.count() == whole.changes {
            batch.seen(self.env.now());
            return Ok(true);
        }
        Ok(false)
    }

    /// Tells those that were written so before from all others.
    fn sort<'a>(&self, records: &'a [Record], seconds: Option<i64>) -> Sorted<'a> {
        let (mut sorted, registrations) = (Sorted::default(), self.registrations());
        for record in records {
            let known = registrations.get(&record.key);
            match known.and_then(|known| known.sight_if(|facts| facts.is_as(&record.value, seconds))) {
                Some(sight) => {
                    sorted.known.push(sight);
                    sorted.known_records.push(record);
                }
                None => sorted.others.push(record),
            }
        }
        sorted
    }

    async fn register_one(&self, record: &Record, seconds: Option<i64>, deadline: Instant) -> Result<()> {
        loop {
            let registration = self.registration(record);
            let writing = self.env.timeout_at(deadline, registration.writing.lock()).await;
            let _writing = writing.map_err(|_| self.links.no_answer("register"))?;
            if registration.facts().removed {
                continue;
            }
            if let Some(sight) = registration.sight_if(|facts| facts.is_as(&record.value, seconds))
                && self.look(&[sight], deadline).await? == [Seen::Ours]
            {
                return Ok(());
            }
            return self.write(&registration, record.value.clone(), seconds, deadline).await;
        }
    }

    /// Puts the value, under a lease that lives. Whoever calls holds `writing`.
    pub(super) async fn write(
        &self,
        registration: &Registration,
        value: Arc<[u8]>,
        seconds: Option<i64>,
        deadline: Instant,
    ) -> Result<()> {
        {
            let mut facts = registration.change();
            if std::mem::take(&mut facts.leaving) {
                // It was deregistered, and whether it is gone is not known.
                facts.abandon();
            }
            facts.stray = None;
        }
        for _ in 0..config::WRITES_MAX {
            let hold = match seconds {
                Some(seconds) => Some(self.lease(seconds, deadline).await?),
                None => None,
            };
            let lease = hold.as_ref().map_or(0, |hold| hold.id);
            registration.change().begin_write(hold.as_ref(), self.env.now());
            match self.links.put(&registration.key, &value, lease, deadline).await {
                Ok(()) if self.written(registration, &value, seconds, hold) => {
                    let look_at = registration.facts().look_at();
                    self.look_by(look_at);
                    self.revoke_unused(deadline).await;
                    return Ok(());
                }
                Ok(()) => {}
                Err(error) if lease != 0 && is_lease_not_found(&error) => self.lease_is_gone(lease),
                Err(error) => return Err(error),
            }
            registration.change().doubts.remove(&lease);
        }
        Err(Error::new(ErrorKind::Backend, "register").detail("each lease that etcd granted was gone at once"))
    }

    /// Notes what etcd has put. Says no when the lease has ended since, and the key with it.
    fn written(
        &self,
        registration: &Registration,
        value: &Arc<[u8]>,
        seconds: Option<i64>,
        hold: Option<Hold>,
    ) -> bool {
        let mut facts = registration.change();
        // Asked while nobody else gets at the facts: whoever finds out later that the lease is gone finds this, too.
        if hold.as_ref().is_some_and(|hold| !hold.is_alive()) {
            return false;
        }
        facts.end_write(value.clone(), seconds, hold, self.env.now());
        if std::mem::take(&mut facts.lost) {
            self.losses.restored(&registration.node_id);
        }
        true
    }

    /// The lease that keys of so many seconds share; a new one when there is none.
    async fn lease(&self, seconds: i64, deadline: Instant) -> Result<Hold> {
        if let Some(hold) = self.leases.hold(seconds) {
            return Ok(hold);
        }
        let granting = self.env.timeout_at(deadline, self.granting.lock()).await;
        let _granting = granting.map_err(|_| self.links.no_answer("grant lease"))?;
        if let Some(hold) = self.leases.hold(seconds) {
            return Ok(hold);
        }
        let lease = self.links.grant(&self.env, seconds, deadline).await?;
        let hold = self.leases.add(seconds, lease);
        self.leases_changed.notify_one();
        Ok(hold)
    }

    /// Deletes a key, ours or not. Where that fails, ours is deleted in the background, or ends with its lease.
    pub(super) async fn deregister(&self, key: &str) -> Result<()> {
        let deadline = self.links.deadline();
        let ours = self.registrations().get(key).cloned();
        let Some(registration) = ours else { return self.links.delete(key, deadline).await };
        // From now on nobody restores it, whatever becomes of the rest.
        registration.change().leaving = true;
        let writing = self.env.timeout_at(deadline, registration.writing.lock()).await;
        let _writing = writing.map_err(|_| self.links.no_answer("deregister"))?;
        let (hold, doubted_before) = {
            let mut facts = registration.change();
            facts.leaving = true;
            let doubted_before = facts.doubts.contains(&facts.lease_id());
            (facts.abandon(), doubted_before)
        };
        self.links.delete(key, deadline).await?;
        if let Some(hold) = hold.as_ref().filter(|_| !doubted_before) {
            registration.change().doubts.remove(&hold.id);
        }
        drop(hold);
        self.remove_if_gone(&registration);
        // The key is gone, which is what was asked for; a lease that cannot be revoked ends by itself.
        self.revoke_unused(deadline).await;
        Ok(())
    }

    /// Forgets a key that is not wanted and hangs on none of the leases that live. Whoever calls holds `writing`.
    pub(super) fn remove_if_gone(&self, registration: &Registration) {
        let mut registrations = self.registrations();
        let facts = registration.facts();
        if facts.doubts.is_empty() && (facts.removed || facts.is_wanted()) {
            return;
        }
        let mut facts = facts.change();
        facts.doubts.retain(|lease| self.leases.get(*lease).is_some());
        if !facts.removed && !facts.is_wanted() && facts.doubts.is_empty() {
            facts.removed = true;
            registrations.remove(&registration.key);
        }
    }

    /// Revokes the leases that nothing of ours hangs on any more; those of which that fails end by themselves.
    pub(super) async fn revoke_unused(&self, deadline: Instant) {
        for lease in self.leases.take_unused() {
            let _ = self.links.revoke_if_empty(lease, deadline).await;
        }
    }

    /// The stream has ended with `reason`; what was asked on it will not be answered.
    pub(super) fn stream_ended(&self, reason: String) {
        *self.silence() = Some(reason);
        self.leases.forget_questions();
    }

    /// etcd has answered a renewal: it holds for `ttl_seconds` more, or, with 0, is gone.
    pub(super) fn answered(&self, lease: i64, ttl_seconds: i64) {
        let ttl = Duration::from_secs(u64::try_from(ttl_seconds).unwrap_or_default());
        if ttl.is_zero() {
            self.lease_is_gone(lease);
        } else if self.leases.confirm(lease, ttl) {
            *self.silence() = None;
        }
    }

    /// Notes the loss of every key that hangs on a lease which etcd does not know.
    fn lease_is_gone(&self, id: i64) {
        let Some(lease) = self.leases.remove(id) else { return };
        for registration in self.all() {
            let hold = {
                let facts = registration.facts();
                let hangs = facts.lease_id() == id;
                if hangs { facts.change().lease.take() } else { None }
            };
            if hold.is_some() {
                self.note_loss(&registration, registration.facts(), Some(lease), "the lease was gone");
            }
        }
        self.lost.notify_one();
    }

    /// Notes `what` is gone, with all that this end knows of why; `lease` is what the key hung on.
    pub(super) fn note_loss(&self, registration: &Registration, facts: Reading<'_>, lease: Option<Lease>, what: &str) {
        let now = self.env.now();
        if facts.is_wanted() && !facts.lost {
            // Held until the loss is noted: who writes the key meanwhile is to find it.
            let mut facts = facts.change();
            facts.lost = true;
            let lease = lease.map_or_else(String::new, |lease| {
                let why = self.silence().clone().map_or_else(String::new, |why| format!(" ({why})"));
                let silent = now - lease.confirmed_at;
                format!(
                    ", {silent:.1?} after the last keep-alive of its lease that was answered{why}; its TTL is {:?}",
                    lease.ttl
                )
            });
            self.losses.lost(now, &registration.node_id, format!("{what}{lease}"));
        }
    }

    fn registration(&self, record: &Record) -> Arc<Registration> {
        let make = || Arc::new(Registration::new(&record.key, &record.node_id, &self.changes));
        self.registrations().entry(record.key.clone()).or_insert_with(make).clone()
    }

    /// All keys, in order.
    pub(super) fn all(&self) -> Vec<Arc<Registration>> {
        self.registrations().values().cloned().collect()
    }

    pub(super) fn registrations(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Registration>>> {
        self.registrations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silence(&self) -> MutexGuard<'_, Option<String>> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
