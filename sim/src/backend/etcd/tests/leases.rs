//! Leases: what is granted, when it ends, and what survives a restart.

use shaketable_proto::etcd::v3::rpc::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
};

use super::super::{DeletionCause, Etcd, EtcdConfig, EtcdEvent, KeepAlive, Refusal};
use super::{at, bytes, etcd, get, grant, put};

fn renew(etcd: &mut Etcd, ms: u64, id: i64) -> KeepAlive {
    etcd.keep_alive(at(ms), LeaseKeepAliveRequest { id })
}

fn renewed_ttl(etcd: &mut Etcd, ms: u64, id: i64) -> i64 {
    match renew(etcd, ms, id) {
        KeepAlive::Now(response) => response.ttl,
        KeepAlive::WhenGone(response) => panic!("lease {id} is about to go: {response:?}"),
    }
}

fn expiries(etcd: &mut Etcd) -> Vec<(u64, i64)> {
    let occurrences = etcd.take_events().into_iter();
    occurrences
        .filter_map(|occurrence| match occurrence.event {
            EtcdEvent::LeaseExpired { lease, .. } => Some((occurrence.at.as_millis() as u64, lease)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_ttl_below_the_minimum_is_raised() {
    let mut etcd = etcd();
    assert_eq!(etcd.lease_grant(at(0), grant(1, 1)).unwrap().ttl, 2);
    assert_eq!(etcd.lease_grant(at(0), grant(2, 0)).unwrap().ttl, 2);
    assert_eq!(etcd.lease_grant(at(0), grant(3, -5)).unwrap().ttl, 2);
    assert_eq!(etcd.lease_grant(at(0), grant(4, 3)).unwrap().ttl, 3);
    assert_eq!(etcd.take_events()[0].event, EtcdEvent::LeaseGranted { lease: 1, ttl_requested_s: 1, ttl_granted_s: 2 });
}

#[test]
fn a_lease_id_is_chosen_or_must_be_new_and_a_ttl_has_a_limit() {
    let mut etcd = etcd();
    let chosen = etcd.lease_grant(at(0), grant(0, 5)).unwrap().id;
    assert!(chosen > 0);
    assert_ne!(etcd.lease_grant(at(0), grant(0, 5)).unwrap().id, chosen);
    assert_eq!(etcd.lease_grant(at(0), grant(chosen, 5)), Err(Refusal::LeaseExists));
    assert_eq!(etcd.lease_grant(at(0), grant(9, 9_000_000_001)), Err(Refusal::LeaseTtlTooLarge));
    assert!(etcd.lease_grant(at(0), grant(9, 9_000_000_000)).is_ok());
}

#[test]
fn the_same_seed_chooses_the_same_lease_ids() {
    let chosen = |seed| {
        let mut etcd = Etcd::new(EtcdConfig { lease_id_seed: seed, ..EtcdConfig::default() }, at(0));
        [0; 3].map(|_| etcd.lease_grant(at(0), LeaseGrantRequest { id: 0, ttl: 5 }).unwrap().id)
    };
    assert_eq!(chosen(1), chosen(1));
    assert_ne!(chosen(1), chosen(2));
}

#[test]
fn an_expired_lease_goes_at_the_next_check_with_all_its_keys_in_one_revision() {
    let mut etcd = etcd();
    etcd.lease_grant(at(100), grant(7, 2)).unwrap();
    etcd.put(at(100), put("b", "", 7)).unwrap();
    etcd.put(at(100), put("a", "", 7)).unwrap();
    etcd.advance(at(2499));
    assert_eq!(etcd.range(at(2499), &get("a", "\0")).unwrap().count, 2);
    assert_eq!(etcd.next_due(), Some(at(2500)));
    etcd.take_events();
    etcd.advance(at(9000));
    assert_eq!(etcd.revision(), 4);
    let told: Vec<_> = etcd.take_events().into_iter().map(|occurrence| (occurrence.at, occurrence.event)).collect();
    let cause = DeletionCause::LeaseExpired(7);
    assert_eq!(
        told,
        [
            (at(2500), EtcdEvent::LeaseExpired { lease: 7, keys: vec![bytes("a"), bytes("b")] }),
            (at(2500), EtcdEvent::KeyDeleted { key: bytes("a"), revision: 4, cause }),
            (at(2500), EtcdEvent::KeyDeleted { key: bytes("b"), revision: 4, cause }),
        ]
    );
}

#[test]
fn a_lease_that_ends_exactly_at_a_check_goes_with_that_check() {
    let mut etcd = etcd();
    etcd.lease_grant(at(500), grant(7, 2)).unwrap();
    etcd.advance(at(2500));
    assert_eq!(expiries(&mut etcd), [(2500, 7)]);
}

#[test]
fn a_renewed_lease_lives_its_full_ttl_again_and_an_unknown_one_is_answered_with_zero() {
    let mut etcd = etcd();
    etcd.lease_grant(at(0), grant(7, 2)).unwrap();
    assert_eq!(renewed_ttl(&mut etcd, 1900, 7), 2);
    etcd.advance(at(3800));
    assert!(expiries(&mut etcd).is_empty());
    etcd.advance(at(10_000));
    assert_eq!(expiries(&mut etcd), [(4000, 7)]);
    assert_eq!(renewed_ttl(&mut etcd, 10_000, 7), 0);
    assert_eq!(renewed_ttl(&mut etcd, 10_000, 99), 0);
}

#[test]
fn a_renewal_between_the_end_and_the_check_waits_and_saves_nothing() {
    let mut etcd = etcd();
    etcd.lease_grant(at(100), grant(7, 2)).unwrap();
    match renew(&mut etcd, 2200, 7) {
        KeepAlive::WhenGone(response) => assert_eq!((response.id, response.ttl), (7, 0)),
        KeepAlive::Now(response) => panic!("answered too early: {response:?}"),
    }
    assert!(etcd.is_expiring(7));
    etcd.advance(at(2500));
    assert!(!etcd.is_expiring(7));
    assert_eq!(expiries(&mut etcd), [(2500, 7)]);
}

#[test]
fn a_restart_gives_every_lease_its_full_ttl_again_and_an_election_timeout_on_top() {
    let mut etcd = etcd();
    etcd.lease_grant(at(0), grant(7, 5)).unwrap();
    etcd.put(at(0), put("a", "1", 7)).unwrap();
    // Down from 3.5 s to 8.3 s: its time passes, but nobody looks.
    etcd.restart(at(8300));
    assert_eq!(etcd.range(at(8300), &get("a", "")).unwrap().kvs[0].value, bytes("1"));
    etcd.advance(at(14_299));
    assert!(expiries(&mut etcd).is_empty());
    etcd.advance(at(14_300));
    assert_eq!(expiries(&mut etcd), [(14_300, 7)]);
    assert_eq!(etcd.status(at(14_300)).raft_term, 3);
}

#[test]
fn a_revoked_lease_takes_its_keys_along_and_cannot_be_revoked_again() {
    let mut etcd = etcd();
    etcd.lease_grant(at(0), grant(7, 5)).unwrap();
    etcd.put(at(0), put("a", "", 7)).unwrap();
    assert_eq!(etcd.lease_revoke(at(0), LeaseRevokeRequest { id: 7 }).unwrap().header.unwrap().revision, 3);
    assert_eq!(etcd.range(at(0), &get("a", "")).unwrap().count, 0);
    assert_eq!(etcd.lease_revoke(at(0), LeaseRevokeRequest { id: 7 }), Err(Refusal::LeaseNotFound));
}

#[test]
fn a_key_belongs_to_the_lease_of_its_last_put() {
    let mut etcd = etcd();
    etcd.lease_grant(at(0), grant(1, 5)).unwrap();
    etcd.lease_grant(at(0), grant(2, 5)).unwrap();
    etcd.put(at(0), put("a", "", 1)).unwrap();
    etcd.put(at(0), put("a", "", 2)).unwrap();
    let mut keys = |id| etcd.lease_time_to_live(at(1500), LeaseTimeToLiveRequest { id, keys: true });
    assert!(keys(1).keys.is_empty());
    let second = keys(2);
    assert_eq!((second.keys, second.ttl, second.granted_ttl), (vec![bytes("a")], 3, 5));
    assert_eq!(keys(3).ttl, -1);
    etcd.lease_revoke(at(1500), LeaseRevokeRequest { id: 1 }).unwrap();
    assert!(etcd.peek(b"a").is_some());
    etcd.put(at(1500), put("a", "", 0)).unwrap();
    etcd.lease_revoke(at(1500), LeaseRevokeRequest { id: 2 }).unwrap();
    assert!(etcd.peek(b"a").is_some());
}

#[test]
fn leases_are_listed_by_expiry() {
    let mut etcd = etcd();
    for (id, ttl) in [(1, 9), (2, 3), (3, 6)] {
        etcd.lease_grant(at(0), grant(id, ttl)).unwrap();
    }
    let ids: Vec<i64> = etcd.lease_leases(at(0)).leases.into_iter().map(|lease| lease.id).collect();
    assert_eq!(ids, [2, 3, 1]);
}

#[test]
fn a_lost_lease_ends_at_once_and_is_told_apart_from_an_expired_one() {
    let mut etcd = etcd();
    etcd.lease_grant(at(0), grant(7, 60)).unwrap();
    etcd.put(at(0), put("a", "", 7)).unwrap();
    etcd.take_events();
    assert_eq!(etcd.lease_of(b"a"), Some(7));
    assert_eq!(etcd.lose_lease_of(at(30), b"a"), Some(7));
    assert!(!etcd.lose_lease(at(30), 7));
    let told: Vec<_> = etcd.take_events().into_iter().map(|occurrence| occurrence.event).collect();
    assert_eq!(
        told,
        [
            EtcdEvent::LeaseLost { lease: 7, keys: vec![bytes("a")] },
            EtcdEvent::KeyDeleted { key: bytes("a"), revision: 3, cause: DeletionCause::LeaseLost(7) },
        ]
    );
    assert_eq!(renewed_ttl(&mut etcd, 30, 7), 0);
}

#[test]
fn one_check_ends_only_so_many_leases() {
    let config = EtcdConfig { lease_revocations_per_check: 2, ..EtcdConfig::default() };
    let mut etcd = Etcd::new(config, at(0));
    for id in 1..=5 {
        etcd.lease_grant(at(0), grant(id, 2)).unwrap();
    }
    etcd.advance(at(10_000));
    assert_eq!(expiries(&mut etcd), [(2000, 1), (2000, 2), (2500, 3), (2500, 4), (3000, 5)]);
}

#[test]
fn who_stands_still_ends_no_lease_and_what_came_due_meanwhile_ends_before_anything_is_heard() {
    // As measured on etcd 3.4, 3.5 and 3.6: leases of 3, 5 and 7 s, and a process that is stopped from 0.2 s to 6.2 s.
    let mut etcd = etcd();
    for (lease, ttl) in [(3, 3), (5, 5), (7, 7), (8, 8)] {
        etcd.lease_grant(at(0), grant(lease, ttl)).unwrap();
        etcd.put(at(0), put(&format!("key{lease}"), "v", lease)).unwrap();
    }
    etcd.lease_grant(at(100), grant(6, 6)).unwrap();
    etcd.stand_still(at(200), true);
    etcd.advance(at(6_000));
    assert_eq!((expiries(&mut etcd), etcd.keys().count()), (vec![], 4));
    etcd.stand_still(at(6_200), false);
    assert_eq!(
        expiries(&mut etcd),
        [(6_200, 3), (6_200, 5), (6_200, 6)],
        "neither when they were due nor at the next check"
    );
    // Renewals that have waited: of what is gone, and of what lives.
    assert_eq!((renewed_ttl(&mut etcd, 6_200, 5), renewed_ttl(&mut etcd, 6_200, 8)), (0, 8));
    etcd.advance(at(20_000));
    assert_eq!(
        expiries(&mut etcd),
        [(7_000, 7), (14_500, 8)],
        "what was due later ends when it was, and what was renewed later"
    );
}

#[test]
fn who_is_killed_where_it_stands_comes_back_executing() {
    let mut etcd = etcd();
    etcd.lease_grant(at(0), grant(3, 3)).unwrap();
    etcd.stand_still(at(1_000), true);
    etcd.restart(at(5_000));
    etcd.advance(at(60_000));
    assert_eq!(expiries(&mut etcd).len(), 1);
}
