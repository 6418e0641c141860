//! The simulated etcd as a backend of a world: a host named `etcd` that serves the v3 API at port 2379.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shaketable_proto::etcd::v3::rpc::PutRequest;
use shaketable_stack::Env;

use super::SimulatedBackend;
use super::etcd::server::run;
use super::etcd::{DeletionCause, Etcd, EtcdConfig, EtcdEvent, EtcdHandle};
use super::simulated_cluster::litter;
use crate::history::{Moment, Truth};
use crate::world::Program;

/// A simulated etcd.
#[derive(Clone, Debug)]
pub struct SimulatedEtcd {
    handle: EtcdHandle,
}

impl SimulatedEtcd {
    /// What plugins call it.
    pub const KIND: &'static str = "etcd";

    /// An empty one; `seed` decides the ids of its leases.
    pub fn new(seed: u64) -> Self {
        let config = EtcdConfig {
            lease_id_seed: seed,
            client_urls: vec!["http://etcd:2379".to_owned()],
            ..EtcdConfig::default()
        };
        Self { handle: EtcdHandle::new(Etcd::new(config, Duration::ZERO)) }
    }

    /// The state machine, for tests that tamper with it.
    pub fn handle(&self) -> &EtcdHandle {
        &self.handle
    }
}

impl SimulatedBackend for SimulatedEtcd {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn address(&self) -> Option<String> {
        Some("etcd:2379".to_owned())
    }

    fn program(&self) -> Option<Program> {
        let handle = self.handle.clone();
        Some(Arc::new(move |env: Env| {
            let handle = handle.clone();
            Box::pin(async move {
                // It ends with the listener only; peers then see connections refused, as with the real one.
                let _ = run(env, ":2379", handle).await;
            })
        }))
    }

    fn take_truths(&self, _now: Moment) -> Vec<(Moment, Truth)> {
        let occurrences = self.handle.with(Etcd::take_events);
        let truths = occurrences
            .into_iter()
            .filter_map(|occurrence| truth(occurrence.event).map(|truth| (Moment::after(occurrence.at), truth)));
        truths.collect()
    }

    fn stand_still(&self, now: Moment, still: bool) {
        self.handle.with(|etcd| etcd.stand_still(now.since_start(), still));
    }

    fn lose(&self, now: Moment, nodes: &[String]) -> usize {
        self.handle.with(|etcd| {
            let keys = keys_of(etcd, nodes);
            keys.iter().filter(|key| etcd.lose_lease_of(now.since_start(), key).is_some()).count()
        })
    }

    fn delete(&self, now: Moment, nodes: &[String]) -> usize {
        self.handle.with(|etcd| {
            let keys = keys_of(etcd, nodes);
            etcd.delete_keys(now.since_start(), &keys)
        })
    }

    fn litter(&self, now: Moment, node: &str, values: &[String]) {
        self.handle.with(|etcd| {
            for (key, value) in litter(etcd, node, values) {
                // etcd refuses nothing of that size under no lease.
                let _ = etcd.put(now.since_start(), PutRequest { key, value, ..PutRequest::default() });
            }
        });
    }

    fn compact(&self, now: Moment) {
        self.handle.with(|etcd| etcd.compact_now(now.since_start()));
    }

    fn requests(&self) -> Option<u64> {
        Some(self.handle.requests())
    }

    fn held(&self) -> Option<u64> {
        let held = self.handle.with(|etcd| etcd.keys().count() + etcd.leases());
        u64::try_from(held).ok()
    }
}

/// The keys that name one of `nodes`.
pub(super) fn keys_of(etcd: &Etcd, nodes: &[String]) -> Vec<Bytes> {
    let names = |key: &Bytes| nodes.iter().any(|node| text(key).contains(node.as_str()));
    etcd.keys().filter(|key| names(key)).cloned().collect()
}

pub(super) fn truth(event: EtcdEvent) -> Option<Truth> {
    let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    Some(match event {
        EtcdEvent::LeaseGranted { lease, ttl_requested_s, ttl_granted_s } => Truth::Granted {
            lease: lease_name(lease),
            ttl_requested: seconds(ttl_requested_s),
            ttl_granted: seconds(ttl_granted_s),
        },
        EtcdEvent::LeaseKeptAlive { lease, .. } => Truth::Renewed { lease: lease_name(lease) },
        EtcdEvent::LeaseExpired { lease, keys } => Truth::Expired { lease: lease_name(lease), keys: texts(&keys) },
        EtcdEvent::LeaseRevoked { lease, keys } => Truth::Revoked { lease: lease_name(lease), keys: texts(&keys) },
        EtcdEvent::LeaseLost { lease, keys } => Truth::Lost { lease: lease_name(lease), keys: texts(&keys) },
        EtcdEvent::KeyPut { key, lease, created, altered, .. } => {
            Truth::Put { key: text(&key), lease: (lease != 0).then(|| lease_name(lease)), created, altered }
        }
        EtcdEvent::KeyDeleted { key, cause: DeletionCause::Request | DeletionCause::Fault, .. } => {
            Truth::Deleted { key: text(&key) }
        }
        // The lease's own event names the keys.
        EtcdEvent::KeyDeleted { .. } => return None,
        EtcdEvent::Compacted { revision } => Truth::Compacted { revision },
        // Those who judge leases and streams need to know no more: every lease has its full TTL anew.
        EtcdEvent::Restarted { .. } | EtcdEvent::LeaderElected { .. } => Truth::Restarted,
    })
}

/// etcdctl prints lease ids in hexadecimal.
fn lease_name(lease: i64) -> String {
    format!("{lease:x}")
}

pub(super) fn text(key: &Bytes) -> String {
    String::from_utf8_lossy(key).into_owned()
}

fn texts(keys: &[Bytes]) -> Vec<String> {
    keys.iter().map(text).collect()
}
