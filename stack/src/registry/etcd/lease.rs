//! What this process has registered, and the leases that carry it: written, renewed over one stream for all of them,
//! looked after, restored when lost, with the reason kept. It does not know what the values mean.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Client, DeleteOptions, GetOptions, KeyValue, LeaseTimeToLiveOptions, PutOptions};
use tokio::sync::Notify;

use super::super::losses::LossLog;
use super::channel::{Links, is_lease_not_found};
use super::config;
use crate::Result;
use crate::env::{Env, Instant};
use crate::registry::Loss;

/// Everything that this process has registered, by key.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) env: Env,
    pub(super) links: Arc<Links>,
    registrations: Mutex<BTreeMap<String, Arc<Registration>>>,
    losses: LossLog,
    /// Why the last renewal stream ended, while none has answered since.
    silence: Mutex<Option<String>>,
    /// There are other leases to renew.
    pub(super) leases_changed: Notify,
    /// There is something to restore.
    pub(super) lost: Notify,
}

/// One key of ours.
#[derive(Debug)]
pub(super) struct Registration {
    key: String,
    node_id: String,
    /// Held by whoever writes the key.
    writing: tokio::sync::Mutex<()>,
    facts: Mutex<Facts>,
}

/// What is known of a key.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// What the key holds; `None` until it was written.
    value: Option<Vec<u8>>,
    ttl: Option<Duration>,
    lease: Option<Lease>,
    /// When the key was last seen, or written.
    checked_at: Instant,
    /// It is gone, and the loss is noted.
    lost: bool,
    /// It was deregistered; whoever waited to write it must not.
    removed: bool,
}

/// A lease as this end knows it.
#[derive(Clone, Copy, Debug)]
struct Lease {
    id: i64,
    /// What etcd granted, which may be more than was asked for.
    ttl: Duration,
    /// When the last request was sent that etcd answered: it lives at least a TTL from then on.
    confirmed_at: Instant,
    /// When the request was sent that is not answered yet.
    asked_at: Option<Instant>,
}

/// What etcd has at a key of ours.
enum Seen {
    Ours,
    /// Somebody has written it under another lease.
    Foreign,
    Missing,
}

impl Keeper {
    pub(super) fn new(env: Env, links: Arc<Links>) -> Self {
        Self {
            env,
            links,
            registrations: Mutex::default(),
            losses: LossLog::default(),
            silence: Mutex::default(),
            leases_changed: Notify::new(),
            lost: Notify::new(),
        }
    }

    pub(super) fn losses(&self) -> Vec<Loss> {
        self.losses.to_vec()
    }

    /// Writes a key, or makes sure that it is still there as it was written; within the time-out, whatever that takes.
    pub(super) async fn register(&self, key: &str, node_id: &str, value: Vec<u8>, ttl: Option<Duration>) -> Result<()> {
        let deadline = self.links.deadline();
        loop {
            let registration = self.registration(key, node_id);
            let writing = self.env.timeout_at(deadline, registration.writing.lock()).await;
            let _writing = writing.map_err(|_| self.links.no_answer("register"))?;
            let facts = registration.facts().clone();
            if facts.removed {
                continue;
            }
            let unchanged = facts.value.as_ref() == Some(&value) && facts.ttl == ttl && !facts.lost;
            if unchanged && matches!(self.see(&registration, deadline).await?, Seen::Ours) {
                return Ok(());
            }
            return self.write(&registration, value, ttl, deadline).await;
        }
    }

    /// Deletes a key, ours or not, and revokes its lease, unless other keys hang on that too.
    pub(super) async fn deregister(&self, key: &str) -> Result<()> {
        let deadline = self.links.deadline();
        let ours = self.registrations().remove(key);
        let mut own_lease = None;
        if let Some(registration) = ours {
            // From now on nobody renews or restores it, whatever becomes of the rest.
            registration.facts().removed = true;
            let writing = self.env.timeout_at(deadline, registration.writing.lock()).await;
            let _writing = writing.map_err(|_| self.links.no_answer("deregister"))?;
            own_lease = registration.facts().lease.map(|lease| lease.id);
        }
        let options = DeleteOptions::new().with_prev_key();
        let delete = |client: &Client| {
            let (mut keys, options) = (client.kv_client(), options.clone());
            async move { keys.delete(key, Some(options)).await }
        };
        let answer = self.links.call_by(deadline, "deregister", delete).await?;
        let written_under = answer.prev_kvs().first().map(KeyValue::lease);
        let mut leases: Vec<i64> = own_lease.into_iter().chain(written_under).filter(|lease| *lease != 0).collect();
        leases.dedup();
        for lease in leases {
            // The key is gone, which is what was asked for; a lease that cannot be revoked ends by itself.
            let _ = self.revoke_if_empty(lease, deadline).await;
        }
        Ok(())
    }

    /// Looks after every key whose time has come: restores what was lost, and looks whether the others are there.
    pub(super) async fn look_after_all(&self) -> bool {
        let mut all = true;
        let registrations: Vec<_> = self.registrations().values().cloned().collect();
        for registration in registrations {
            if registration.facts().due_at().is_some_and(|due_at| due_at <= self.env.now()) {
                // What fails stays due.
                all &= self.look_after(&registration).await.is_ok();
            }
        }
        all
    }

    /// When the next key is to be looked after.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.registrations().values().filter_map(|registration| registration.facts().due_at()).min()
    }

    async fn look_after(&self, registration: &Registration) -> Result<()> {
        let _writing = registration.writing.lock().await;
        let deadline = self.links.deadline();
        let facts = registration.facts().clone();
        let Some(value) = facts.value.filter(|_| !facts.removed) else { return Ok(()) };
        if facts.lost || matches!(self.see(registration, deadline).await?, Seen::Missing) {
            return self.write(registration, value, facts.ttl, deadline).await;
        }
        // What somebody else has written stays until this process registers again: two who restore would never end.
        registration.facts().checked_at = self.env.now();
        Ok(())
    }

    /// Looks at the key, by `deadline`. Notes the loss when it is not there.
    async fn see(&self, registration: &Registration, deadline: Instant) -> Result<Seen> {
        let key = registration.key.as_str();
        let answer = self
            .links
            .call_by(deadline, "look at registration", |client| {
                let mut keys = client.kv_client();
                async move { keys.get(key, Some(GetOptions::new().with_keys_only())).await }
            })
            .await?;
        let lease = registration.facts().lease;
        if let Some(found) = answer.kvs().first() {
            registration.facts().checked_at = self.env.now();
            let ours = found.lease() == lease.map_or(0, |lease| lease.id);
            return Ok(if ours { Seen::Ours } else { Seen::Foreign });
        }
        self.note_loss(registration, lease, "the key was gone");
        Ok(Seen::Missing)
    }

    /// Puts the value, under a lease that lives. Whoever calls holds `writing`.
    async fn write(
        &self,
        registration: &Registration,
        value: Vec<u8>,
        ttl: Option<Duration>,
        deadline: Instant,
    ) -> Result<()> {
        let old = registration.facts().clone();
        let mut kept = if old.ttl == ttl { old.lease } else { None };
        loop {
            let lease = match (kept, ttl) {
                (_, None) => None,
                (Some(kept), Some(_)) => Some(kept),
                (None, Some(ttl)) => Some(self.grant(ttl, deadline).await?),
            };
            let put = self.put(&registration.key, &value, lease.map_or(0, |lease| lease.id), deadline).await;
            let Err(error) = put else {
                let mut facts = registration.facts();
                // One that was kept may have been confirmed meanwhile.
                facts.lease = facts.lease.filter(|_| kept.is_some()).or(lease);
                (facts.value, facts.ttl, facts.checked_at) = (Some(value), ttl, self.env.now());
                if std::mem::take(&mut facts.lost) {
                    self.losses.restored(&registration.node_id);
                }
                break;
            };
            let Some(gone) = kept.take().filter(|_| is_lease_not_found(&error)) else { return Err(error) };
            registration.facts().lease = None;
            self.note_loss(registration, Some(gone), "the lease was gone");
        }
        self.leases_changed.notify_one();
        // Something to look after may be due earlier than all that was.
        self.lost.notify_one();
        if let Some(unused) = old.lease.filter(|_| kept.is_none()) {
            let _ = self.revoke_if_empty(unused.id, deadline).await;
        }
        Ok(())
    }

    async fn grant(&self, ttl: Duration, deadline: Instant) -> Result<Lease> {
        let asked_at = self.env.now();
        let granted = self
            .links
            .call_by(deadline, "grant lease", |client| {
                let mut leases = client.lease_client();
                async move { leases.grant(config::whole_seconds(ttl), None).await }
            })
            .await?;
        let ttl = Duration::from_secs(u64::try_from(granted.ttl()).unwrap_or_default());
        Ok(Lease { id: granted.id(), ttl, confirmed_at: asked_at, asked_at: None })
    }

    async fn put(&self, key: &str, value: &[u8], lease: i64, deadline: Instant) -> Result<()> {
        self.links
            .call_by(deadline, "register", |client| {
                let mut keys = client.kv_client();
                async move { keys.put(key, value, Some(PutOptions::new().with_lease(lease))).await }
            })
            .await
            .map(drop)
    }

    async fn revoke_if_empty(&self, lease: i64, deadline: Instant) -> Result<()> {
        let options = LeaseTimeToLiveOptions::new().with_keys();
        let look = |client: &Client| {
            let (mut leases, options) = (client.lease_client(), options.clone());
            async move { leases.time_to_live(lease, Some(options)).await }
        };
        // One that is gone has no keys either, and revoking it does nothing.
        if self.links.call_by(deadline, "look at lease", look).await?.keys().is_empty() {
            self.links
                .call_by(deadline, "revoke lease", |client| {
                    let mut leases = client.lease_client();
                    async move { leases.revoke(lease).await }
                })
                .await?;
        }
        Ok(())
    }

    /// The leases that are to be renewed now; they count as asked from now on.
    pub(super) fn take_due(&self) -> Vec<i64> {
        let now = self.env.now();
        let mut due = Vec::new();
        self.for_each_lease(|lease| {
            if lease.asked_at.is_none() && lease.renew_at() <= now {
                lease.asked_at = Some(now);
                due.push(lease.id);
            }
        });
        due
    }

    /// When something is to be done about a lease: renew it, or give up to wait for an answer.
    pub(super) fn next_renewal(&self) -> Option<Instant> {
        let timeout = self.links.options().timeout;
        let mut next: Option<Instant> = None;
        self.for_each_lease(|lease| {
            let at = lease.answer_by(timeout).unwrap_or_else(|| lease.renew_at());
            next = Some(next.map_or(at, |next| next.min(at)));
        });
        next
    }

    /// Whether an answer has not come in time.
    pub(super) fn is_overdue(&self) -> bool {
        let (now, timeout) = (self.env.now(), self.links.options().timeout);
        let mut overdue = false;
        self.for_each_lease(|lease| {
            if lease.answer_by(timeout).is_some_and(|by| by <= now) {
                overdue = true;
            }
        });
        overdue
    }

    /// The stream has ended with `reason`; what was asked on it will not be answered.
    pub(super) fn stream_ended(&self, reason: String) {
        *self.silence() = Some(reason);
        self.for_each_lease(|lease| lease.asked_at = None);
    }

    /// etcd has answered a renewal: it holds for `ttl_seconds` more, or, with 0, is gone.
    pub(super) fn answered(&self, lease_id: i64, ttl_seconds: i64) {
        let ttl = Duration::from_secs(u64::try_from(ttl_seconds).unwrap_or_default());
        let registrations: Vec<_> = self.registrations().values().cloned().collect();
        for registration in registrations {
            let mut facts = registration.facts();
            let Some(lease) = facts.lease.as_mut().filter(|lease| lease.id == lease_id) else { continue };
            if ttl.is_zero() {
                let gone = facts.lease.take();
                drop(facts);
                self.note_loss(&registration, gone, "the lease was gone");
                self.lost.notify_one();
            } else {
                lease.confirmed_at = lease.asked_at.take().unwrap_or(lease.confirmed_at);
                lease.ttl = ttl;
                *self.silence() = None;
            }
        }
    }

    /// Notes `what` is gone, with all that this end knows of why; `lease` is what the key hung on.
    fn note_loss(&self, registration: &Registration, lease: Option<Lease>, what: &str) {
        let now = self.env.now();
        let mut facts = registration.facts();
        if !facts.removed && !std::mem::replace(&mut facts.lost, true) {
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

    fn for_each_lease(&self, mut change: impl FnMut(&mut Lease)) {
        for registration in self.registrations().values() {
            if let Some(lease) = &mut registration.facts().lease {
                change(lease);
            }
        }
    }

    fn registration(&self, key: &str, node_id: &str) -> Arc<Registration> {
        let make = || Registration {
            key: key.to_owned(),
            node_id: node_id.to_owned(),
            writing: tokio::sync::Mutex::default(),
            facts: Mutex::default(),
        };
        self.registrations().entry(key.to_owned()).or_insert_with(|| Arc::new(make())).clone()
    }

    fn registrations(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Registration>>> {
        self.registrations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silence(&self) -> MutexGuard<'_, Option<String>> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    /// When the key is to be looked after; `None` for one that was never written.
    fn due_at(&self) -> Option<Instant> {
        self.value.as_ref()?;
        if self.lost {
            return Some(Instant::default());
        }
        let interval = self.lease.map_or(config::LEASELESS_CHECK, |lease| config::renewal_interval(lease.ttl));
        Some(self.checked_at + interval)
    }
}

impl Lease {
    fn renew_at(&self) -> Instant {
        self.confirmed_at + config::renewal_interval(self.ttl)
    }

    fn answer_by(&self, timeout: Duration) -> Option<Instant> {
        self.asked_at.map(|asked_at| asked_at + config::renewal_limit(self.ttl, timeout))
    }
}
