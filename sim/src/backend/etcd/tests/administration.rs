//! What people ask who run an etcd, and what is done to one: alarms, the quota, throttling, leaders, hashes.

use shaketable_proto::etcd::v3::rpc::{
    AlarmRequest, AlarmType, CompactionRequest, HashKvRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, RequestOp,
    TxnRequest, alarm_request::AlarmAction, request_op::Request,
};

use super::super::{EtcdEvent, KeepAlive, Refusal, Throttle};
use super::{Duration, Etcd, EtcdConfig, at, delete, etcd, get, grant, put};

fn alarm(action: AlarmAction, alarm: AlarmType) -> AlarmRequest {
    AlarmRequest { action: action.into(), member_id: EtcdConfig::default().member_id, alarm: alarm.into() }
}

fn hash(etcd: &mut Etcd, revision: i64) -> u32 {
    etcd.hash_kv(at(0), HashKvRequest { revision }).expect("a revision that is kept").hash
}

#[test]
fn hashes_are_those_that_etcd_3_4_answers() {
    let mut etcd = etcd();
    // What `etcdctl endpoint hashkv` has printed for an empty etcd 3.4.23, and after these requests.
    assert_eq!(hash(&mut etcd, 0), 1_084_519_789);
    for (key, value) in [("a", "1"), ("a", "2"), ("b", "1"), ("dir/x", "1"), ("dir/y", "2"), ("dir/z", "3")] {
        etcd.put(at(0), put(key, value, 0)).unwrap();
    }
    etcd.delete_range(at(0), &delete("dir/x", "")).unwrap();
    etcd.delete_range(at(0), &delete("dir/", "dir0")).unwrap();
    assert_eq!(hash(&mut etcd, 0), 3_902_930_995);
    assert_ne!(hash(&mut etcd, 5), hash(&mut etcd, 6));
}

#[test]
fn a_hash_leaves_out_what_a_compaction_may_take() {
    let mut etcd = etcd();
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2")] {
        etcd.put(at(0), put(key, value, 0)).unwrap();
    }
    let before = hash(&mut etcd, 0);
    etcd.compact(at(0), CompactionRequest { revision: 3, physical: true }).unwrap();
    assert_eq!(etcd.hash_kv(at(0), HashKvRequest { revision: 3 }).unwrap_err(), Refusal::Compacted);
    assert_eq!(etcd.hash_kv(at(0), HashKvRequest { revision: 9 }).unwrap_err(), Refusal::FutureRevision);
    // What is superseded by then is left out, as it may be gone on another member.
    assert_ne!(hash(&mut etcd, 0), before);
    assert_eq!(hash(&mut etcd, 0), hash(&mut etcd, 4));
}

#[test]
fn a_full_database_takes_nothing_more_until_it_is_freed_and_the_alarm_disarmed() {
    let quota_bytes = Some(1 << 20);
    let mut etcd = Etcd::new(EtcdConfig { quota_bytes, ..EtcdConfig::default() }, Duration::ZERO);
    etcd.lease_grant(at(0), grant(7, 60)).unwrap();
    let value = "x".repeat(100_000);
    let mut puts = 0;
    while etcd.put(at(0), put("a", &value, 0)).is_ok() {
        puts += 1;
    }
    assert!((8..=10).contains(&puts), "{puts} values fit into a mebibyte");
    assert_eq!(etcd.alarms().len(), 1);
    // What needs no room is done.
    let index = etcd.raft_index();
    assert_eq!(etcd.put(at(0), put("small", "", 0)), Err(Refusal::NoSpace));
    assert!(etcd.raft_index() > index, "it is the alarm that refuses it");
    assert_eq!(etcd.lease_grant(at(0), grant(8, 60)), Err(Refusal::NoSpace));
    assert!(
        matches!(etcd.keep_alive(at(0), LeaseKeepAliveRequest { id: 7 }), KeepAlive::Now(answer) if answer.ttl == 60)
    );
    etcd.delete_range(at(0), &delete("a", "")).unwrap();
    etcd.lease_revoke(at(0), LeaseRevokeRequest { id: 7 }).unwrap();
    let full = etcd.file_bytes();
    etcd.compact_now(at(0));
    assert_eq!(etcd.file_bytes(), full, "a compaction frees pages and leaves the file as it is");
    assert!(etcd.bytes_in_use() < full / 2);
    etcd.defragment(at(0));
    assert!(etcd.file_bytes() < full / 2);
    assert_eq!(etcd.put(at(0), put("small", "", 0)), Err(Refusal::NoSpace));
    etcd.alarm(at(0), alarm(AlarmAction::Deactivate, AlarmType::Nospace)).unwrap();
    etcd.put(at(0), put("small", "", 0)).unwrap();
}

#[test]
fn a_database_that_a_fault_has_filled_is_freed_by_a_defragmentation() {
    let mut etcd = etcd();
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    assert!(etcd.fill(at(0)));
    assert_eq!(etcd.alarms(), []);
    assert_eq!(etcd.put(at(0), put("a", "1", 0)), Err(Refusal::NoSpace));
    assert_eq!(etcd.range(at(0), &get("a", "")).unwrap().kvs[0].version, 1);
    etcd.defragment(at(0));
    etcd.alarm(at(0), alarm(AlarmAction::Deactivate, AlarmType::Nospace)).unwrap();
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    etcd.fill(at(0));
    assert_eq!(etcd.put(at(0), put("a", "1", 0)), Err(Refusal::NoSpace));
    etcd.free(at(0));
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    etcd.set_quota_bytes(None);
    assert!(!etcd.fill(at(0)), "there is nothing to be filled");
}

#[test]
fn a_database_that_is_corrupt_takes_no_change_and_ends_no_lease() {
    let mut etcd = etcd();
    etcd.lease_grant(at(0), grant(7, 2)).unwrap();
    etcd.put(at(0), put("a", "1", 7)).unwrap();
    etcd.alarm(at(0), alarm(AlarmAction::Activate, AlarmType::Corrupt)).unwrap();
    assert_eq!(etcd.put(at(0), put("a", "2", 0)), Err(Refusal::Corrupt));
    assert_eq!(etcd.delete_range(at(0), &delete("a", "")), Err(Refusal::Corrupt));
    assert_eq!(etcd.lease_revoke(at(0), LeaseRevokeRequest { id: 7 }), Err(Refusal::Corrupt));
    assert_eq!(etcd.range(at(10_000), &get("a", "")).unwrap().count, 1);
    etcd.alarm(at(10_000), alarm(AlarmAction::Deactivate, AlarmType::Corrupt)).unwrap();
    assert_eq!(etcd.range(at(11_000), &get("a", "")).unwrap().count, 0);
}

#[test]
fn a_throttled_server_refuses_changes_and_nothing_else() {
    let mut etcd = etcd();
    etcd.lease_grant(at(0), grant(7, 60)).unwrap();
    etcd.set_throttle(Throttle::Next(3));
    let index = etcd.raft_index();
    assert_eq!(etcd.put(at(0), put("a", "1", 0)), Err(Refusal::TooManyRequests));
    assert_eq!(etcd.put(at(0), put("", "1", 0)), Err(Refusal::EmptyKey), "which never comes so far");
    assert_eq!(etcd.range(at(0), &get("a", "")).unwrap().count, 0);
    assert!(
        matches!(etcd.keep_alive(at(0), LeaseKeepAliveRequest { id: 7 }), KeepAlive::Now(answer) if answer.ttl == 60)
    );
    assert_eq!(etcd.lease_grant(at(0), grant(8, 60)), Err(Refusal::TooManyRequests));
    let read = RequestOp { request: Some(Request::RequestRange(get("a", ""))) };
    let txn = |steps| TxnRequest { success: steps, ..TxnRequest::default() };
    etcd.txn(at(0), txn(vec![read.clone()])).unwrap();
    let write = RequestOp { request: Some(Request::RequestPut(put("a", "1", 0))) };
    assert_eq!(etcd.txn(at(0), txn(vec![read, write])), Err(Refusal::TooManyRequests));
    assert_eq!((etcd.throttle(), etcd.raft_index()), (Throttle::Off, index));
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    etcd.set_throttle(Throttle::All);
    for _ in 0..9 {
        assert_eq!(etcd.put(at(0), put("a", "1", 0)), Err(Refusal::TooManyRequests));
    }
}

#[test]
fn nothing_expires_without_a_leader_and_the_next_one_renews_every_lease() {
    let mut etcd = etcd();
    etcd.lease_grant(at(0), grant(7, 5)).unwrap();
    etcd.put(at(0), put("a", "1", 7)).unwrap();
    let term = etcd.raft_term();
    etcd.lose_leader(at(4000), Duration::from_secs(10));
    assert_eq!((etcd.leader(), etcd.raft_term()), (0, term));
    etcd.advance(at(13_999));
    assert!(etcd.peek(b"a").is_some());
    etcd.advance(at(14_000));
    assert_eq!((etcd.leader(), etcd.raft_term()), (EtcdConfig::default().member_id, term + 1));
    // Its TTL, and one election time-out.
    etcd.advance(at(19_900));
    assert!(etcd.peek(b"a").is_some());
    etcd.advance(at(20_600));
    assert!(etcd.peek(b"a").is_none());
    let elections = etcd.take_events();
    let elections = elections.iter().filter(|occurrence| matches!(occurrence.event, EtcdEvent::LeaderElected { .. }));
    assert_eq!(elections.map(|occurrence| occurrence.at).collect::<Vec<_>>(), [at(14_000)]);
}

#[test]
fn a_lease_that_is_told_to_expire_takes_its_keys_along() {
    let mut etcd = etcd();
    etcd.lease_grant(at(0), grant(7, 600)).unwrap();
    etcd.put(at(0), put("a", "1", 7)).unwrap();
    etcd.take_events();
    assert!(etcd.expire_lease(at(1), 7));
    assert!(!etcd.expire_lease(at(1), 7));
    assert!(etcd.peek(b"a").is_none());
    assert!(matches!(etcd.take_events()[0].event, EtcdEvent::LeaseExpired { lease: 7, .. }));
}
