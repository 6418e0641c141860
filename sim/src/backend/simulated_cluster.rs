//! A simulated etcd of several members as a backend of a world: hosts named `etcd-1`, `etcd-2`, …, each of which serves the v3
//! API at port 2379 and listens to the others at port 2380.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shaketable_proto::etcd::v3::rpc::PutRequest;
use shaketable_stack::Env;

use super::etcd::server::run_member;
use super::etcd::{Etcd, EtcdCluster, EtcdConfig, Line};
use super::simulated_etcd::{keys_of, text, truth};
use super::{SimulatedBackend, SimulatedEtcd};
use crate::history::{Moment, Truth};
use crate::world::Program;

/// A simulated etcd of several members.
#[derive(Clone, Debug)]
pub struct SimulatedEtcdCluster {
    cluster: EtcdCluster,
}

impl SimulatedEtcdCluster {
    /// An empty one of `members`; `seed` decides who leads at first, the time-outs of elections and the ids of leases.
    ///
    /// # Panics
    /// When there are fewer than two members.
    pub fn new(seed: u64, members: u32) -> Self {
        Self::of_line(seed, members, Line::default())
    }

    /// The same, as etcds of a line behave.
    ///
    /// # Panics
    /// When there are fewer than two members.
    pub fn of_line(seed: u64, members: u32, line: Line) -> Self {
        let hosts: Vec<String> = (1..=members).map(|member| format!("{}-{member}", SimulatedEtcd::KIND)).collect();
        let config = EtcdConfig { lease_id_seed: seed, line, ..EtcdConfig::default() };
        Self { cluster: EtcdCluster::new(&hosts, &config, Duration::ZERO) }
    }

    /// The members, for tests that look at them.
    pub fn cluster(&self) -> &EtcdCluster {
        &self.cluster
    }
}

impl SimulatedBackend for SimulatedEtcdCluster {
    fn kind(&self) -> &'static str {
        SimulatedEtcd::KIND
    }

    fn address(&self) -> Option<String> {
        self.addresses().into_iter().next()
    }

    fn program(&self) -> Option<Program> {
        None
    }

    fn hosts(&self) -> Vec<(String, Program)> {
        let hosts = self.cluster.members().into_iter().map(|member| {
            let name = member.host().to_owned();
            let program: Program = Arc::new(move |env: Env| {
                let member = member.clone();
                Box::pin(async move {
                    // It ends with the listeners only; peers then see connections refused, as with a real one.
                    let _ = run_member(env, ":2379", member).await;
                })
            });
            (name, program)
        });
        hosts.collect()
    }

    fn addresses(&self) -> Vec<String> {
        self.cluster.hosts().iter().map(|host| format!("{host}:2379")).collect()
    }

    fn leader(&self) -> Option<String> {
        self.cluster.leader().map(|leader| self.cluster.hosts()[leader].clone())
    }

    fn take_truths(&self, _now: Moment) -> Vec<(Moment, Truth)> {
        let occurrences = self.cluster.take_events().into_iter();
        let truths = occurrences
            .filter_map(|occurrence| truth(occurrence.event).map(|truth| (Moment::after(occurrence.at), truth)));
        truths.collect()
    }

    fn lose(&self, now: Moment, nodes: &[String]) -> usize {
        let (keys, leases) = self.cluster.look(|etcd| {
            let keys = keys_of(etcd, nodes);
            let leases: BTreeSet<i64> = keys.iter().filter_map(|key| etcd.lease_of(key)).collect();
            (keys, leases)
        });
        self.cluster.inflict(now.since_start(), move |etcd, now| {
            for key in &keys {
                etcd.lose_lease_of(now, key);
            }
        });
        leases.len()
    }

    fn delete(&self, now: Moment, nodes: &[String]) -> usize {
        let keys = self.cluster.look(|etcd| keys_of(etcd, nodes));
        let deleted = keys.len();
        self.cluster.inflict(now.since_start(), move |etcd, now| {
            etcd.delete_keys(now, &keys);
        });
        deleted
    }

    fn litter(&self, now: Moment, node: &str, values: &[String]) {
        let entries = self.cluster.look(|etcd| litter(etcd, node, values));
        self.cluster.inflict(now.since_start(), move |etcd, now| {
            for (key, value) in entries.clone() {
                // etcd refuses nothing of that size under no lease.
                let _ = etcd.put(now, PutRequest { key, value, ..PutRequest::default() });
            }
        });
    }

    fn compact(&self, now: Moment) {
        self.cluster.inflict(now.since_start(), |etcd, now| {
            etcd.compact_now(now);
        });
    }

    fn requests(&self) -> Option<u64> {
        Some(self.cluster.members().iter().map(|member| member.handle().requests()).sum())
    }

    fn held(&self) -> Option<u64> {
        u64::try_from(self.cluster.look(|etcd| etcd.keys().count() + etcd.leases())).ok()
    }
}

/// What another program writes beside the entries that name `node`, and a copy of each elsewhere.
pub(super) fn litter(etcd: &Etcd, node: &str, values: &[String]) -> Vec<(Bytes, Bytes)> {
    let mut entries = Vec::new();
    for key in keys_of(etcd, &[node.to_owned()]) {
        entries.extend(etcd.peek(&key).map(|kv| (format!("/elsewhere{}", text(&key)).into(), kv.value.clone())));
        let beside = values.iter().enumerate();
        entries.extend(
            beside.map(|(index, value)| (format!("{}-{index}", text(&key)).into(), Bytes::from(value.clone()))),
        );
    }
    entries
}
