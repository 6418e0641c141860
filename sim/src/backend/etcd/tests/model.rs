//! Random operations on the state machine and on a model that keeps one whole map of keys per revision: slow, and so
//! simple that it can be believed.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use shaketable_proto::etcd::v3::kv::{KeyValue, event::EventType};
use shaketable_proto::etcd::v3::rpc::{
    CompactionRequest, LeaseRevokeRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest, WatchRequest,
    request_op::Request, watch_request::RequestUnion,
};

use super::super::{Etcd, Refusal};
use super::{at, bytes, delete, etcd, get, grant, put};

#[derive(Clone, Debug)]
enum Operation {
    Put { key: usize, value: u8, lease: i64 },
    Delete { from: usize, to: usize },
    PutTwo { first: usize, second: usize, value: u8 },
    Grant { lease: i64, ttl: i64 },
    Revoke { lease: i64 },
    Compact { back: i64 },
    Wait { ms: u64 },
    Read { from: usize, to: usize, back: i64, limit: i64 },
}

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn operation() -> impl Strategy<Value = Operation> {
    let key = 0..KEYS.len();
    let lease = 0..3_i64;
    prop_oneof![
        4 => (key.clone(), any::<u8>(), lease.clone()).prop_map(|(key, value, lease)| Operation::Put { key, value, lease }),
        2 => (key.clone(), key.clone()).prop_map(|(from, to)| Operation::Delete { from, to }),
        1 => (key.clone(), key.clone(), any::<u8>())
            .prop_map(|(first, second, value)| Operation::PutTwo { first, second, value }),
        1 => (1..3_i64, 1..5_i64).prop_map(|(lease, ttl)| Operation::Grant { lease, ttl }),
        1 => lease.prop_map(|lease| Operation::Revoke { lease }),
        1 => (0..6_i64).prop_map(|back| Operation::Compact { back }),
        2 => (0..3000_u64).prop_map(|ms| Operation::Wait { ms }),
        3 => (key.clone(), key, -1..8_i64, 0..4_i64)
            .prop_map(|(from, to, back, limit)| Operation::Read { from, to, back, limit }),
    ]
}

/// Every revision as a whole map of keys. Leases are pairs of expiry and keys' names found by search.
struct Model {
    revisions: BTreeMap<i64, BTreeMap<Bytes, KeyValue>>,
    compacted: i64,
    leases: BTreeMap<i64, (u64, i64)>,
    now_ms: u64,
}

impl Model {
    fn new() -> Self {
        Self { revisions: BTreeMap::from([(1, BTreeMap::new())]), compacted: -1, leases: BTreeMap::new(), now_ms: 0 }
    }

    fn revision(&self) -> i64 {
        self.revisions.keys().next_back().copied().unwrap_or(1)
    }

    fn newest(&self) -> BTreeMap<Bytes, KeyValue> {
        self.revisions[&self.revision()].clone()
    }

    fn put(&mut self, changes: &[(Bytes, Bytes, i64)]) {
        let mut keys = self.newest();
        let mod_revision = self.revision() + 1;
        for (key, value, lease) in changes {
            let before = keys.get(key).map(|kv| (kv.create_revision, kv.version));
            let (create_revision, version) = before.unwrap_or((mod_revision, 0));
            let (key, value, lease, version) = (key.clone(), value.clone(), *lease, version + 1);
            keys.insert(key.clone(), KeyValue { key, value, lease, create_revision, mod_revision, version });
        }
        self.revisions.insert(mod_revision, keys);
    }

    fn delete(&mut self, doomed: impl Fn(&KeyValue) -> bool) -> usize {
        let mut keys = self.newest();
        let before = keys.len();
        keys.retain(|_, kv| !doomed(kv));
        let deleted = before - keys.len();
        if deleted > 0 {
            self.revisions.insert(self.revision() + 1, keys);
        }
        deleted
    }

    /// Lets time pass in steps of one lease check.
    fn wait(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        for check in (self.now_ms / 500 + 1)..=(end / 500) {
            let expired: Vec<_> = self.leases.iter().filter(|(_, (expiry, _))| *expiry <= check * 500).collect();
            let mut expired: Vec<(u64, i64)> = expired.into_iter().map(|(id, (expiry, _))| (*expiry, *id)).collect();
            expired.sort_unstable();
            for (_, id) in expired {
                self.leases.remove(&id);
                self.delete(|kv| kv.lease == id);
            }
        }
        self.now_ms = end;
    }
}

fn range_of(from: usize, to: usize) -> (&'static str, &'static str) {
    if from == to { (KEYS[from], "") } else { (KEYS[from], KEYS[to]) }
}

fn in_range(key: &[u8], from: usize, to: usize) -> bool {
    if from == to { key == KEYS[from].as_bytes() } else { key >= KEYS[from].as_bytes() && key < KEYS[to].as_bytes() }
}

fn apply(etcd: &mut Etcd, model: &mut Model, operation: &Operation) {
    let now = at(model.now_ms);
    match *operation {
        Operation::Put { key, value, lease } => {
            let value = Bytes::from(vec![value]);
            let request =
                shaketable_proto::etcd::v3::rpc::PutRequest { value: value.clone(), ..put(KEYS[key], "", lease) };
            let answer = etcd.put(now, request);
            if lease != 0 && !model.leases.contains_key(&lease) {
                assert_eq!(answer, Err(Refusal::LeaseNotFound));
            } else {
                model.put(&[(bytes(KEYS[key]), value, lease)]);
                assert_eq!(answer.unwrap().header.unwrap().revision, model.revision());
            }
        }
        Operation::Delete { from, to } => {
            let (key, end) = range_of(from, to);
            let answer = etcd.delete_range(now, &delete(key, end)).unwrap();
            assert_eq!(answer.deleted as usize, model.delete(|kv| in_range(&kv.key, from, to)));
        }
        Operation::PutTwo { first, second, value } => {
            let value = Bytes::from(vec![value]);
            let success = [first, second].map(|key| RequestOp {
                request: Some(Request::RequestPut(shaketable_proto::etcd::v3::rpc::PutRequest {
                    value: value.clone(),
                    ..put(KEYS[key], "", 0)
                })),
            });
            let answer = etcd.txn(now, TxnRequest { success: success.to_vec(), ..TxnRequest::default() });
            if first == second {
                assert_eq!(answer, Err(Refusal::DuplicateKey));
            } else {
                model.put(&[(bytes(KEYS[first]), value.clone(), 0), (bytes(KEYS[second]), value, 0)]);
            }
        }
        Operation::Grant { lease, ttl } => {
            let answer = etcd.lease_grant(now, grant(lease, ttl));
            if model.leases.contains_key(&lease) {
                assert_eq!(answer, Err(Refusal::LeaseExists));
            } else {
                let granted = ttl.max(2);
                assert_eq!(answer.unwrap().ttl, granted);
                model.leases.insert(lease, (model.now_ms + granted as u64 * 1000, granted));
            }
        }
        Operation::Revoke { lease } => {
            let answer = etcd.lease_revoke(now, LeaseRevokeRequest { id: lease });
            assert_eq!(answer.is_ok(), model.leases.remove(&lease).is_some());
            if lease != 0 && answer.is_ok() {
                model.delete(|kv| kv.lease == lease);
            }
        }
        Operation::Compact { back } => {
            let revision = model.revision() - back;
            let answer = etcd.compact(now, CompactionRequest { revision, physical: true });
            assert_eq!(answer.is_ok(), revision > model.compacted);
            model.compacted = model.compacted.max(revision);
        }
        Operation::Wait { ms } => {
            model.wait(ms);
            etcd.advance(at(model.now_ms));
        }
        Operation::Read { from, to, back, limit } => {
            let (key, end) = range_of(from, to);
            let revision = (model.revision() - back).max(1);
            let answer = etcd.range(now, &RangeRequest { revision, limit, ..get(key, end) });
            if revision > model.revision() {
                assert_eq!(answer, Err(Refusal::FutureRevision));
            } else if revision < model.compacted {
                assert_eq!(answer, Err(Refusal::Compacted));
            } else {
                let keys = model.revisions[&revision].values();
                let all: Vec<_> = keys.filter(|kv| in_range(&kv.key, from, to)).cloned().collect();
                let shown = if limit == 0 { all.len() } else { all.len().min(limit as usize) };
                let answer = answer.unwrap();
                assert_eq!(answer.kvs, all[..shown]);
                assert_eq!((answer.count as usize, answer.more), (all.len(), shown < all.len()));
            }
        }
    }
    assert_eq!(etcd.revision(), model.revision());
    let found = etcd.range(at(model.now_ms), &get("a", "\0")).unwrap().kvs;
    assert_eq!(found, model.newest().into_values().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::with_cases(300)
    })]

    #[test]
    fn the_state_machine_agrees_with_the_model(operations in proptest::collection::vec(operation(), 1..60)) {
        let (mut etcd, mut model) = (etcd(), Model::new());
        for operation in &operations {
            apply(&mut etcd, &mut model, operation);
        }
    }

    #[test]
    fn replaying_a_watch_rebuilds_the_store(operations in proptest::collection::vec(operation(), 1..60)) {
        let (mut etcd, mut model) = (etcd(), Model::new());
        let stream = etcd.open_watch_stream(at(0));
        let create = WatchCreateRequest { key: bytes("a"), range_end: bytes("\0"), ..WatchCreateRequest::default() };
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        etcd.watch(at(0), stream, request).unwrap();
        let mut replayed: BTreeMap<Bytes, KeyValue> = BTreeMap::new();
        let mut revision = 1;
        for operation in &operations {
            apply(&mut etcd, &mut model, operation);
            while let Some(response) = etcd.next_watch_response(stream).unwrap() {
                for event in response.events {
                    let kv = event.kv.clone().unwrap();
                    prop_assert!(kv.mod_revision == revision || kv.mod_revision == revision + 1);
                    revision = kv.mod_revision;
                    match event.r#type() {
                        EventType::Put => replayed.insert(kv.key.clone(), kv),
                        EventType::Delete => replayed.remove(&kv.key),
                    };
                }
            }
            prop_assert_eq!(&replayed, &model.newest());
        }
    }
}
