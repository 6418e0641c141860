//! The leases of this process: one for each TTL, shared by every key that is to live so long, and gone with the last of them.
//! It asks nobody: what etcd has granted and answered is told to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::config;
use crate::env::Instant;

/// All leases that are in use.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// By the whole seconds that were asked for: whoever asks for as many shares it.
    shared: BTreeMap<i64, Shared>,
    /// Their last user has gone, and nobody takes them up again.
    unused: Vec<i64>,
}

#[derive(Debug)]
struct Shared {
    lease: Lease,
    users: usize,
}

/// A lease as this end knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) id: i64,
    /// What etcd granted, which may be more than was asked for.
    pub(super) ttl: Duration,
    /// When the last request was sent that etcd answered: it lives at least a TTL from then on.
    pub(super) confirmed_at: Instant,
    /// When the request was sent that is not answered yet.
    asked_at: Option<Instant>,
}

/// The use of a lease, by a key that hangs on it or is about to. The last one that is dropped takes the lease out of use.
#[derive(Debug)]
pub(super) struct Hold {
    leases: Arc<Leases>,
    seconds: i64,
    pub(super) id: i64,
    /// What etcd granted.
    pub(super) ttl: Duration,
}

impl Leases {
    /// The lease that was asked for with so many seconds, if one is in use.
    pub(super) fn hold(self: &Arc<Self>, seconds: i64) -> Option<Hold> {
        let mut table = self.lock();
        let shared = table.shared.get_mut(&seconds)?;
        shared.users += 1;
        let Lease { id, ttl, .. } = shared.lease;
        Some(Hold { leases: self.clone(), seconds, id, ttl })
    }

    /// etcd has granted `lease` to who asked for so many seconds. One that is in use already stays the only one.
    pub(super) fn add(self: &Arc<Self>, seconds: i64, lease: Lease) -> Hold {
        if let Some(other) = self.hold(seconds) {
            self.lock().unused.push(lease.id);
            return other;
        }
        self.lock().shared.insert(seconds, Shared { lease, users: 1 });
        Hold { leases: self.clone(), seconds, id: lease.id, ttl: lease.ttl }
    }

    /// It is gone at etcd. `None` when it was out of use, or its loss is known.
    pub(super) fn remove(&self, id: i64) -> Option<Lease> {
        let mut table = self.lock();
        let (&seconds, _) = table.shared.iter().find(|(_, shared)| shared.lease.id == id)?;
        table.shared.remove(&seconds).map(|shared| shared.lease)
    }

    /// One that is in use.
    pub(super) fn get(&self, id: i64) -> Option<Lease> {
        self.lock().shared.values().map(|shared| shared.lease).find(|lease| lease.id == id)
    }

    /// How many use it.
    pub(super) fn users(&self, id: i64) -> usize {
        self.lock().shared.values().find(|shared| shared.lease.id == id).map_or(0, |shared| shared.users)
    }

    /// Those that are out of use since the last call; whoever takes them is to revoke them.
    pub(super) fn take_unused(&self) -> Vec<i64> {
        std::mem::take(&mut self.lock().unused)
    }

    /// etcd has renewed it for so long. Says whether it is in use.
    pub(super) fn confirm(&self, id: i64, ttl: Duration) -> bool {
        let mut table = self.lock();
        let Some(lease) = table.leases().find(|lease| lease.id == id) else { return false };
        lease.confirmed_at = lease.asked_at.take().unwrap_or(lease.confirmed_at);
        lease.ttl = ttl;
        true
    }

    /// The leases that are to be renewed now; they count as asked from now on.
    pub(super) fn take_due(&self, now: Instant) -> Vec<i64> {
        let mut table = self.lock();
        let due = table.leases().filter(|lease| lease.asked_at.is_none() && lease.renew_at() <= now);
        let asked = due.map(|lease| {
            lease.asked_at = Some(now);
            lease.id
        });
        asked.collect()
    }

    /// When something is to be done about a lease: renew it, or give up to wait for an answer, of which the latter comes no
    /// later than `timeout` after the question.
    pub(super) fn next_renewal(&self, timeout: Duration) -> Option<Instant> {
        let mut table = self.lock();
        table.leases().map(|lease| lease.answer_by(timeout).unwrap_or_else(|| lease.renew_at())).min()
    }

    /// Whether an answer has not come in time.
    pub(super) fn is_overdue(&self, now: Instant, timeout: Duration) -> bool {
        self.lock().leases().any(|lease| lease.answer_by(timeout).is_some_and(|by| by <= now))
    }

    /// What was asked will not be answered.
    pub(super) fn forget_questions(&self) {
        self.lock().leases().for_each(|lease| lease.asked_at = None);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn leases(&mut self) -> impl Iterator<Item = &mut Lease> {
        self.shared.values_mut().map(|shared| &mut shared.lease)
    }
}

impl Lease {
    /// One that etcd granted for `ttl` when it was asked at `asked_at`.
    pub(super) fn new(id: i64, ttl: Duration, asked_at: Instant) -> Self {
        Self { id, ttl, confirmed_at: asked_at, asked_at: None }
    }

    fn renew_at(&self) -> Instant {
        self.confirmed_at + config::renewal_interval(self.ttl)
    }

    fn answer_by(&self, timeout: Duration) -> Option<Instant> {
        self.asked_at.map(|asked_at| asked_at + config::renewal_limit(self.ttl, timeout))
    }
}

impl Hold {
    /// Whether the lease is still there, as far as is known.
    pub(super) fn is_alive(&self) -> bool {
        self.leases.get(self.id).is_some()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut table = self.leases.lock();
        // Another one may have taken the place of a lease that is gone.
        let Some(shared) = table.shared.get_mut(&self.seconds).filter(|shared| shared.lease.id == self.id) else {
            return;
        };
        shared.users -= 1;
        if shared.users == 0 {
            table.shared.remove(&self.seconds);
            table.unused.push(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Lease, Leases};
    use crate::env::Instant;

    const TTL: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    fn lease(id: i64) -> Lease {
        Lease::new(id, TTL, at(0))
    }

    #[test]
    fn a_lease_is_shared_by_all_who_ask_for_the_same_ttl_and_the_last_one_takes_it_out_of_use() {
        let leases = Arc::new(Leases::default());
        assert!(leases.hold(30).is_none());
        let first = leases.add(30, lease(7));
        let second = leases.hold(30).expect("it is in use");
        assert_eq!((second.id, second.ttl), (7, TTL));
        assert!(leases.hold(31).is_none(), "who asks for another TTL needs another lease");
        drop(first);
        assert!(second.is_alive() && leases.take_unused().is_empty());
        drop(second);
        assert!(leases.hold(30).is_none(), "one that is about to be revoked is not taken up again");
        assert_eq!((leases.take_unused(), leases.take_unused()), (vec![7], Vec::new()));
        assert_eq!(leases.next_renewal(TTL), None);
    }

    #[test]
    fn of_two_leases_for_one_ttl_the_second_is_not_used() {
        let leases = Arc::new(Leases::default());
        let (one, other) = (leases.add(30, lease(7)), leases.add(30, lease(8)));
        assert_eq!((one.id, other.id, leases.take_unused()), (7, 7, vec![8]));
    }

    #[test]
    fn who_holds_a_lease_that_is_gone_lets_the_next_one_be() {
        let leases = Arc::new(Leases::default());
        let gone = leases.add(30, lease(7));
        assert_eq!(leases.remove(7), Some(lease(7)));
        assert_eq!((leases.remove(7), gone.is_alive()), (None, false), "a loss is told once");
        let next = leases.add(30, lease(8));
        drop(gone);
        assert!(next.is_alive() && leases.take_unused().is_empty(), "nobody revokes what is gone, nor what is in use");
    }

    #[test]
    fn one_question_renews_for_all_and_is_asked_again_when_the_answer_does_not_come() {
        let leases = Arc::new(Leases::default());
        let _users = [leases.add(30, lease(7)), leases.hold(30).expect("it is in use")];
        let timeout = Duration::from_secs(2);
        assert_eq!((leases.next_renewal(timeout), leases.take_due(at(9))), (Some(at(10)), Vec::new()));
        assert_eq!((leases.take_due(at(10)), leases.take_due(at(10))), (vec![7], Vec::new()));
        assert_eq!(leases.next_renewal(timeout), Some(at(12)), "until then it is to be answered");
        assert!(!leases.is_overdue(at(11), timeout) && leases.is_overdue(at(12), timeout));
        leases.forget_questions();
        assert_eq!(leases.take_due(at(13)), [7]);
        assert!(leases.confirm(7, TTL) && !leases.confirm(8, TTL));
        assert_eq!(leases.next_renewal(timeout), Some(at(23)), "it lives from when it was asked for");
    }
}
