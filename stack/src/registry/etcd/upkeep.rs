//! Looks after what is registered: sees whether it is there, all keys of a lease by one request, restores what was lost, and
//! deletes what was to go and did not. When, the background tasks decide.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use super::config;
use super::keeper::Keeper;
use super::registration::{Facts, Registration, Sight};
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
            let is_among = |facts: &Facts| facts.look_at().is_some() && facts.companions() == lease;
            let together: Vec<_> = all.iter().filter_map(|registration| registration.sight_if(is_among)).collect();
            self.look(&together, self.links.deadline()).await?;
        }
        Ok(())
    }

    /// Looks at keys, which come in order, by `deadline`, and tells of each. Notes the loss of those that are not there.
    pub(super) async fn look(&self, sights: &[Sight], deadline: Instant) -> Result<Vec<Seen>> {
        let mut seen = vec![Seen::Missing; sights.len()];
        // What does not hang on the lease of most may hang elsewhere, and is asked for one by one.
        let mut others: Vec<usize> = (0..sights.len()).collect();
        if let Some(lease) = self.common_lease(sights) {
            let answer = self.links.keys_on(lease, deadline).await?;
            let keys: Vec<&[u8]> = sights.iter().map(|sight| sight.registration.key.as_bytes()).collect();
            let hanging: Vec<bool> = are_among(&keys, answer.keys()).collect();
            let now = self.env.now();
            others.retain(|&index| {
                if hanging[index] {
                    seen[index] = self.saw(now, &sights[index], Some(lease));
                }
                !hanging[index]
            });
        }
        for some in others.chunks(config::OPERATIONS_MAX) {
            let keys: Vec<&str> = some.iter().map(|&index| sights[index].registration.key.as_str()).collect();
            let found = self.links.leases_of(&keys, deadline).await?;
            let now = self.env.now();
            for (&index, found) in some.iter().zip(found) {
                seen[index] = self.saw(now, &sights[index], found);
            }
        }
        Ok(seen)
    }

    /// The lease to ask for all its keys: that of the first, where not many others hang on it.
    pub(super) fn common_lease(&self, sights: &[Sight]) -> Option<i64> {
        let lease = sights.first()?.companions;
        let hang = sights.iter().filter(|sight| sight.companions == lease).count();
        (lease != 0 && config::asks_for_all(hang, self.leases.users(lease))).then_some(lease)
    }

    /// Draws the conclusion of a look at a key; `found` is the lease it hangs on.
    fn saw(&self, now: Instant, sight: &Sight, found: Option<i64>) -> Seen {
        let mut facts = sight.registration.facts();
        if facts.writes != sight.writes {
            return Seen::Changed;
        }
        match found {
            Some(lease) => {
                facts.seen(now);
                let seen = if lease == facts.lease_id() { Seen::Ours } else { Seen::Foreign };
                // What somebody else has written stays until this process registers again: two who restore would never end.
                if !facts.is_wanted() && facts.doubts.contains(&lease) {
                    facts.change().stray = Some(lease);
                }
                seen
            }
            None if facts.is_wanted() => {
                let lease = self.leases.get(facts.lease_id());
                self.note_loss(&sight.registration, facts, lease, "the key was gone");
                Seen::Missing
            }
            None => {
                facts.seen(now);
                Seen::Missing
            }
        }
    }

    /// Restores a key that is lost, deletes one that should be gone, and forgets one that is. Leaves it to who is busy with it.
    async fn mend(&self, registration: &Registration) -> Result<(), ErrorKind> {
        let Ok(_writing) = registration.writing.try_lock() else { return Ok(()) };
        let (task, hold) = {
            let facts = registration.facts();
            match &facts.value {
                _ if facts.removed => (Task::Nothing, None),
                Some(value) if !facts.leaving && facts.lost => (Task::Write(value.clone(), facts.seconds), None),
                _ if facts.is_wanted() => (Task::Nothing, None),
                _ => {
                    let mut facts = facts.change();
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
                let mut facts = registration.change();
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

/// Whether each of `keys`, which come in order, is among `found`, which do not.
pub(super) fn are_among<'a>(keys: &[&'a [u8]], found: &'a [Vec<u8>]) -> impl Iterator<Item = bool> {
    let (first, last) = (keys.first().copied().unwrap_or_default(), keys.last().copied().unwrap_or_default());
    // What the first and the last begin with, all do: it tells none from another, and what follows mostly does within a word.
    let shared = first.iter().zip(last).take_while(|(one, other)| one == other).count();
    let rest = move |key: &'a [u8]| key.strip_prefix(&first[..shared]).map(|rest| (leading(rest), rest));
    let mut found: Vec<_> = found.iter().filter_map(|key| rest(key)).collect();
    found.sort_unstable();
    let mut found = found.into_iter().peekable();
    keys.iter().map(move |key| {
        let wanted = rest(key);
        while found.next_if(|other| Some(other) < wanted.as_ref()).is_some() {}
        wanted.is_some() && found.peek() == wanted.as_ref()
    })
}

/// The first eight bytes as a number, which is in the order of the bytes, or equal.
fn leading(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let length = bytes.len().min(word.len());
    word[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::are_among;

    fn assert_found(wanted: &[&str], found: &[&str]) {
        let expected: Vec<bool> = wanted.iter().map(|key| found.contains(key)).collect();
        let keys: Vec<_> = wanted.iter().map(|key| key.as_bytes()).collect();
        let found: Vec<_> = found.iter().map(|key| key.as_bytes().to_vec()).collect();
        assert_eq!(are_among(&keys, &found).collect::<Vec<_>>(), expected, "{wanted:?} among {found:?}");
    }

    #[test]
    fn keys_are_found_among_others_in_whatever_order_they_come() {
        let keys =
            ["/m/a", "/m/a\0", "/m/a\0\0b", "/m/aa", "/m/aaaaaaaa", "/m/aaaaaaaa1", "/m/aaaaaaaa2", "/m/b", "/n"];
        for wanted in 0..1_usize << keys.len() {
            let of = |set: usize| (0..keys.len()).filter(move |at| set >> at & 1 == 1).map(|at| keys[at]);
            let wanted: Vec<_> = of(wanted).collect();
            for found in [0, 0b1_0101_0101, 0b0_1010_1010, 0b1_1111_1111] {
                let mut found: Vec<_> = of(found).collect();
                assert_found(&wanted, &found);
                found.reverse();
                found.insert(found.len() / 2, "/elsewhere");
                assert_found(&wanted, &found);
            }
        }
    }
}
