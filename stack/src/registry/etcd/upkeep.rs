//! Looks after what is registered: sees whether it is there, all keys of a lease by one request, restores what was lost, and
//! deletes what was to go and did not. When, the background tasks decide.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use super::config;
use super::keeper::Keeper;
use super::registration::{Facts, Registration};
use crate::env::Instant;
use crate::{ErrorKind, Result};

/// What etcd has at a key of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Ours,
    /// Somebody has written it under another lease.
    Foreign,
    Missing,
    /// It was written while somebody looked.
    Changed,
}

/// What is to be done about a key.
enum Task {
    Write(Arc<[u8]>, Option<i64>),
    /// It hangs on this lease.
    Delete(i64),
    Nothing,
}

impl Keeper {
    /// Looks after every key whose time has come. Says whether all of that is done.
    pub(super) async fn look_after_all(&self) -> bool {
        let looked = self.look_at_due().await.is_ok();
        let mut all = true;
        for registration in self.all() {
            let is_due = registration.facts().due_at().is_some_and(|due_at| due_at <= self.env.now());
            // What fails stays due, and so does what somebody else is busy with.
            if let Err(kind) = self.mend(&registration).await {
                all = false;
                // Who did not answer will not answer the next request either.
                if kind != ErrorKind::Backend {
                    break;
                }
            } else if is_due && registration.facts().due_at() == Some(Instant::default()) {
                all = false;
            }
        }
        self.revoke_unused(self.links.deadline()).await;
        looked && all
    }

    /// When the next key is to be looked after; it is remembered that somebody waits for that.
    pub(super) fn next_look(&self) -> Option<Instant> {
        // Held meanwhile, so that a key which is written now is either seen here or compared with what was told.
        let mut told = self.next_look.lock().unwrap_or_else(PoisonError::into_inner);
        *told = self.registrations().values().filter_map(|registration| registration.facts().due_at()).min();
        *told
    }

    /// A key is to be looked at then; whoever waits for a later one is told, and nobody else: there may be many keys.
    pub(super) fn look_by(&self, at: Option<Instant>) {
        let told = *self.next_look.lock().unwrap_or_else(PoisonError::into_inner);
        if at.is_some_and(|at| told.is_none_or(|told| at < told)) {
            self.lost.notify_one();
        }
    }

    /// Looks at each key whose time has come, and with it at all that hang on the same lease: so their times stay the same.
    async fn look_at_due(&self) -> Result<()> {
        let (now, all) = (self.env.now(), self.all());
        let due = |facts: &Facts| facts.look_at().is_some_and(|at| at <= now);
        let due: BTreeSet<i64> = all
            .iter()
            .filter_map(|registration| {
                let facts = registration.facts();
                due(&facts).then(|| facts.companions())
            })
            .collect();
        for lease in due {
            let is_among = |registration: &&Arc<Registration>| {
                let facts = registration.facts();
                facts.look_at().is_some() && facts.companions() == lease
            };
            let together: Vec<_> = all.iter().filter(is_among).cloned().collect();
            self.look(&together, self.links.deadline()).await?;
        }
        Ok(())
    }

    /// Looks at keys, which come in order, by `deadline`, and tells of each. Notes the loss of those that are not there.
    pub(super) async fn look(&self, registrations: &[Arc<Registration>], deadline: Instant) -> Result<Vec<Seen>> {
        let before = registrations.iter().map(|registration| {
            let facts = registration.facts();
            (facts.writes, facts.companions())
        });
        let (writes, leases): (Vec<u64>, Vec<i64>) = before.unzip();
        let mut seen = vec![Seen::Missing; registrations.len()];
        // What does not hang on the lease of most may hang elsewhere, and is asked for one by one.
        let mut others: Vec<usize> = (0..registrations.len()).collect();
        if let Some(lease) = self.common_lease(&leases) {
            let hanging = self.hanging(registrations, lease, deadline).await?;
            let now = self.env.now();
            others.retain(|&index| {
                if hanging[index] {
                    seen[index] = self.saw(now, &registrations[index], writes[index], Some(lease));
                }
                !hanging[index]
            });
        }
        for some in others.chunks(config::OPERATIONS_MAX) {
            let keys: Vec<&str> = some.iter().map(|&index| registrations[index].key.as_str()).collect();
            let found = self.links.leases_of(&keys, deadline).await?;
            let now = self.env.now();
            for (&index, found) in some.iter().zip(found) {
                seen[index] = self.saw(now, &registrations[index], writes[index], found);
            }
        }
        Ok(seen)
    }

    /// Whether each key hangs on `lease`; the keys come in order.
    async fn hanging(&self, registrations: &[Arc<Registration>], lease: i64, deadline: Instant) -> Result<Vec<bool>> {
        let answer = self.links.keys_on(lease, deadline).await?;
        let mut keys: Vec<&[u8]> = answer.keys().iter().map(Vec::as_slice).collect();
        keys.sort_unstable();
        let mut keys = keys.into_iter().peekable();
        let hangs = |registration: &Arc<Registration>| {
            let key = registration.key.as_bytes();
            while keys.next_if(|other| *other < key).is_some() {}
            keys.peek() == Some(&key)
        };
        Ok(registrations.iter().map(hangs).collect())
    }

    /// The lease to ask for all its keys: that of the first, where not many others hang on it.
    fn common_lease(&self, leases: &[i64]) -> Option<i64> {
        let lease = *leases.first()?;
        let hang = leases.iter().filter(|other| **other == lease).count();
        (lease != 0 && config::asks_for_all(hang, self.leases.users(lease))).then_some(lease)
    }

    /// Draws the conclusion of a look at a key that had been written so often when it began; `found` is the lease it hangs on.
    fn saw(&self, now: Instant, registration: &Registration, writes: u64, found: Option<i64>) -> Seen {
        let mut facts = registration.facts();
        if facts.writes != writes {
            return Seen::Changed;
        }
        match found {
            Some(lease) => {
                facts.checked_at = now;
                // What somebody else has written stays until this process registers again: two who restore would never end.
                if !facts.is_wanted() && facts.doubts.contains(&lease) {
                    facts.stray = Some(lease);
                }
                if lease == facts.lease_id() { Seen::Ours } else { Seen::Foreign }
            }
            None if facts.is_wanted() => {
                let lease = self.leases.get(facts.lease_id());
                drop(facts);
                self.note_loss(registration, lease, "the key was gone");
                Seen::Missing
            }
            None => {
                facts.checked_at = now;
                Seen::Missing
            }
        }
    }

    /// Restores a key that is lost, deletes one that should be gone, and forgets one that is. Leaves it to who is busy with it.
    async fn mend(&self, registration: &Registration) -> Result<(), ErrorKind> {
        let Ok(_writing) = registration.writing.try_lock() else { return Ok(()) };
        let (task, hold) = {
            let mut facts = registration.facts();
            match &facts.value {
                _ if facts.removed => (Task::Nothing, None),
                Some(value) if !facts.leaving && facts.lost => (Task::Write(value.clone(), facts.seconds), None),
                _ if facts.is_wanted() => (Task::Nothing, None),
                _ => {
                    let hold = facts.abandon();
                    let lease = hold.as_ref().map(|hold| hold.id).or(facts.stray.take());
                    (lease.map_or(Task::Nothing, Task::Delete), hold)
                }
            }
        };
        let deadline = self.links.deadline();
        let done = match task {
            Task::Write(value, seconds) => self.write(registration, value, seconds, deadline).await,
            Task::Delete(lease) => {
                let deleted = self.links.delete_under(&registration.key, lease, deadline).await;
                let mut facts = registration.facts();
                match &deleted {
                    Ok(()) => drop(facts.doubts.remove(&lease)),
                    Err(_) => facts.stray = Some(lease),
                }
                deleted
            }
            Task::Nothing => Ok(()),
        };
        drop(hold);
        self.remove_if_gone(registration);
        done.map_err(|error| error.kind())
    }
}
