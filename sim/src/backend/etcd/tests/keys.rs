//! Keys and revisions.

use shaketable_proto::etcd::v3::rpc::{
    CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest,
    range_request::{SortOrder, SortTarget},
};
use tonic::Code;

use super::super::{DeletionCause, Etcd, EtcdConfig, EtcdEvent, Refusal};
use super::{at, bytes, delete, etcd, get, put};

#[test]
fn revisions_begin_at_one_and_every_change_takes_the_next() {
    let mut etcd = etcd();
    assert_eq!(etcd.range(at(0), &get("a", "")).unwrap().header.unwrap().revision, 1);
    assert_eq!(etcd.put(at(0), put("a", "1", 0)).unwrap().header.unwrap().revision, 2);
    assert_eq!(etcd.put(at(0), put("a", "2", 0)).unwrap().header.unwrap().revision, 3);
    let kv = etcd.range(at(0), &get("a", "")).unwrap().kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 3, 2));
    let deleted = etcd.delete_range(at(0), &delete("b", "")).unwrap();
    assert_eq!((deleted.deleted, deleted.header.unwrap().revision), (0, 3));
    let deleted = etcd.delete_range(at(0), &delete("a", "")).unwrap();
    assert_eq!((deleted.deleted, deleted.header.unwrap().revision), (1, 4));
    etcd.put(at(0), put("a", "3", 0)).unwrap();
    let kv = etcd.range(at(0), &get("a", "")).unwrap().kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (5, 5, 1));
}

#[test]
fn the_past_can_be_read_until_it_is_compacted_and_the_future_never() {
    let mut etcd = etcd();
    for value in ["1", "2", "3"] {
        etcd.put(at(0), put("a", value, 0)).unwrap();
    }
    let read = |revision| RangeRequest { revision, ..get("a", "") };
    let old = etcd.range(at(0), &read(2)).unwrap();
    assert_eq!((old.kvs[0].value.clone(), old.header.unwrap().revision), (bytes("1"), 4));
    assert_eq!(etcd.range(at(0), &read(5)), Err(Refusal::FutureRevision));
    etcd.compact(at(0), CompactionRequest { revision: 3, physical: true }).unwrap();
    assert_eq!(etcd.range(at(0), &read(2)), Err(Refusal::Compacted));
    assert_eq!(etcd.range(at(0), &read(3)).unwrap().kvs[0].value, bytes("2"));
    assert_eq!(etcd.compact(at(0), CompactionRequest { revision: 3, physical: true }), Err(Refusal::Compacted));
    assert_eq!(etcd.compact(at(0), CompactionRequest { revision: 5, physical: true }), Err(Refusal::FutureRevision));
}

#[test]
fn even_revision_zero_can_be_compacted_once() {
    let mut etcd = etcd();
    etcd.compact(at(0), CompactionRequest { revision: 0, physical: false }).unwrap();
    assert_eq!(etcd.compact(at(0), CompactionRequest { revision: 0, physical: false }), Err(Refusal::Compacted));
}

#[test]
fn a_range_counts_what_the_limit_and_the_bounds_leave_out() {
    let mut etcd = etcd();
    for key in ["a", "b", "c", "d"] {
        etcd.put(at(0), put(key, key, 0)).unwrap();
    }
    let limited = etcd.range(at(0), &RangeRequest { limit: 2, ..get("a", "\0") }).unwrap();
    assert_eq!((limited.kvs.len(), limited.more, limited.count), (2, true, 4));
    let bounded =
        etcd.range(at(0), &RangeRequest { min_mod_revision: 3, max_create_revision: 4, ..get("a", "\0") }).unwrap();
    assert_eq!((bounded.kvs.len(), bounded.more, bounded.count), (2, false, 4));
    let counted = etcd.range(at(0), &RangeRequest { count_only: true, limit: 1, ..get("b", "d") }).unwrap();
    assert_eq!((counted.kvs.len(), counted.more, counted.count), (0, false, 2));
    let names = etcd.range(at(0), &RangeRequest { keys_only: true, ..get("b", "") }).unwrap();
    assert_eq!((names.kvs[0].key.clone(), names.kvs[0].value.clone()), (bytes("b"), bytes("")));
    assert_eq!(etcd.range(at(0), &get("d", "a")).unwrap().count, 0);
}

#[test]
fn sorting_happens_before_the_limit_and_another_target_means_ascending() {
    let mut etcd = etcd();
    for (key, value) in [("a", "3"), ("b", "1"), ("c", "2")] {
        etcd.put(at(0), put(key, value, 0)).unwrap();
    }
    let mut sorted = |order: SortOrder, target: SortTarget, limit| {
        let request = RangeRequest { sort_order: order.into(), sort_target: target.into(), limit, ..get("a", "\0") };
        let found = etcd.range(at(0), &request).unwrap();
        found.kvs.iter().map(|kv| String::from_utf8(kv.key.to_vec()).unwrap()).collect::<String>()
    };
    assert_eq!(sorted(SortOrder::None, SortTarget::Value, 0), "bca");
    assert_eq!(sorted(SortOrder::Descend, SortTarget::Value, 2), "ac");
    assert_eq!(sorted(SortOrder::Descend, SortTarget::Key, 1), "c");
    assert_eq!(sorted(SortOrder::Ascend, SortTarget::Mod, 0), "abc");
}

#[test]
fn without_an_order_only_what_the_limit_needs_is_sorted() {
    let mut etcd = etcd();
    for key in ["c", "b", "a"] {
        etcd.put(at(0), put(key, "1", 0)).unwrap();
    }
    let range = RangeRequest { limit: 1, sort_target: SortTarget::Mod.into(), ..get("a", "z") };
    let mut first = |range: &RangeRequest| etcd.range(at(0), range).unwrap().kvs.remove(0).key;
    assert_eq!(first(&range), "b");
    assert_eq!(first(&RangeRequest { sort_order: SortOrder::Ascend.into(), ..range.clone() }), "c");
    assert_eq!(first(&RangeRequest { min_mod_revision: 1, ..range }), "c");
}

#[test]
fn a_store_can_begin_at_a_later_revision_as_if_all_before_were_compacted() {
    let mut etcd = Etcd::new(EtcdConfig { first_revision: 7, ..EtcdConfig::default() }, at(0));
    assert_eq!(etcd.range(at(0), &get("a", "")).unwrap().header.unwrap().revision, 7);
    let past = |revision| RangeRequest { revision, ..get("a", "") };
    assert_eq!(etcd.range(at(0), &past(6)), Err(Refusal::Compacted));
    assert_eq!(etcd.range(at(0), &past(7)).unwrap().count, 0);
    let again = CompactionRequest { revision: 7, physical: true };
    assert_eq!(etcd.compact(at(0), again), Err(Refusal::Compacted));
    assert_eq!(etcd.put(at(0), put("a", "1", 0)).unwrap().header.unwrap().revision, 8);
}

#[test]
fn a_put_can_return_the_previous_value_and_keep_parts_of_it() {
    let mut etcd = etcd();
    etcd.lease_grant(at(0), super::grant(7, 10)).unwrap();
    etcd.put(at(0), put("a", "1", 7)).unwrap();
    let kept = etcd.put(at(0), PutRequest { ignore_value: true, prev_kv: true, ..put("a", "", 0) }).unwrap();
    assert_eq!(kept.prev_kv.unwrap().lease, 7);
    assert_eq!(etcd.peek(b"a").map(|kv| (kv.value.clone(), kv.lease)), Some((bytes("1"), 0)));
    etcd.put(at(0), put("a", "1", 7)).unwrap();
    etcd.put(at(0), PutRequest { ignore_lease: true, ..put("a", "2", 0) }).unwrap();
    assert_eq!(etcd.peek(b"a").map(|kv| (kv.value.clone(), kv.lease)), Some((bytes("2"), 7)));
    let nothing = PutRequest { ignore_lease: true, ..put("b", "2", 0) };
    assert_eq!(etcd.put(at(0), nothing), Err(Refusal::KeyNotFound));
    let both = PutRequest { ignore_value: true, ..put("a", "x", 0) };
    assert_eq!(etcd.put(at(0), both), Err(Refusal::ValueProvided));
    let both = PutRequest { ignore_lease: true, ..put("a", "x", 7) };
    assert_eq!(etcd.put(at(0), both), Err(Refusal::LeaseProvided));
}

#[test]
fn requests_without_a_key_or_with_too_many_bytes_are_refused() {
    let mut etcd = etcd();
    assert_eq!(etcd.range(at(0), &get("", "")), Err(Refusal::EmptyKey));
    assert_eq!(etcd.put(at(0), put("", "", 0)), Err(Refusal::EmptyKey));
    assert_eq!(etcd.delete_range(at(0), &delete("", "")), Err(Refusal::EmptyKey));
    let huge = put("a", &"x".repeat(3 * 512 * 1024), 0);
    assert_eq!(etcd.put(at(0), huge), Err(Refusal::RequestTooLarge));
    assert_eq!(etcd.put(at(0), put("a", "", 9)), Err(Refusal::LeaseNotFound));
    assert_eq!(etcd.revision(), 1);
}

#[test]
fn a_deletion_can_return_what_it_deleted() {
    let mut etcd = etcd();
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    etcd.put(at(0), put("b", "2", 0)).unwrap();
    let deleted = etcd.delete_range(at(0), &DeleteRangeRequest { prev_kv: true, ..delete("a", "c") }).unwrap();
    let values: Vec<_> = deleted.prev_kvs.iter().map(|kv| kv.value.clone()).collect();
    assert_eq!((deleted.deleted, values), (2, vec![bytes("1"), bytes("2")]));
    assert_eq!(etcd.revision(), 4);
}

#[test]
fn the_truth_is_told_with_time_and_cause() {
    let mut etcd = etcd();
    etcd.put(at(10), put("a", "1", 0)).unwrap();
    etcd.put(at(12), put("a", "1", 0)).unwrap();
    etcd.put(at(14), put("a", "2", 0)).unwrap();
    assert!(etcd.delete_key(at(20), &bytes("a")));
    assert!(!etcd.delete_key(at(30), &bytes("a")));
    assert_eq!(etcd.compact_now(at(40)), 5);
    let told: Vec<_> = etcd.take_events().into_iter().map(|occurrence| (occurrence.at, occurrence.event)).collect();
    let key = bytes("a");
    let put = |value: &str, created, altered, revision| {
        let (key, value) = (key.clone(), bytes(value));
        EtcdEvent::KeyPut { key, value, lease: 0, created, altered, revision }
    };
    assert_eq!(
        told,
        [
            (at(10), put("1", true, true, 2)),
            (at(12), put("1", false, false, 3)),
            (at(14), put("2", false, true, 4)),
            (at(20), EtcdEvent::KeyDeleted { key: key.clone(), revision: 5, cause: DeletionCause::Fault }),
            (at(40), EtcdEvent::Compacted { revision: 5 }),
        ]
    );
    assert!(etcd.take_events().is_empty());
}

#[test]
fn refusals_carry_the_codes_and_words_of_etcd() {
    let status = tonic::Status::from(Refusal::Compacted);
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(status.message(), "etcdserver: mvcc: required revision has been compacted");
    assert_eq!(tonic::Status::from(Refusal::LeaseNotFound).code(), Code::NotFound);
    assert_eq!(tonic::Status::from(Refusal::LeaseExists).code(), Code::FailedPrecondition);
}
