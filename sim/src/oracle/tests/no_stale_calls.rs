//! `no_stale_calls` before hand-written histories; the bound is 2 s.

use crate::history::{Operation, Point};
use crate::oracle::no_stale_calls::NoStaleCalls;
use crate::oracle::testing::{Story, ms};
use crate::scenario::model::{Expect, Within};
use crate::world::Fault;

/// `u1` and `u2` are registered at 1 s, and `u1` runs out at 20 s.
fn story() -> Story {
    let mut story = Story::new(Expect { no_stale_calls: Some(Within { within: ms(2_000) }), ..Expect::default() });
    story.register(1_000, "u1");
    story.register(1_000, "u2");
    story.expired(20_000, "u1");
    story
}

#[test]
fn a_call_to_a_node_that_has_long_expired_is_found() {
    let mut story = story();
    story.call_to(25_000, "callers-1", "u1", "random");
    story.call_to(26_000, "callers-1", "u1", "random");
    let parts = ["callers-1", "node u1 after 22.000s", "expired at 20.000s", "first of 2 calls", "at 25.000s"];
    let judgement = story.trips(&NoStaleCalls, &parts);
    assert_eq!(judgement.findings.len(), 1, "one caller, one node: one finding");
}

#[test]
fn a_call_exactly_at_the_bound_is_in_time() {
    for (called_at, findings) in [(22_000, 0), (22_001, 1)] {
        let mut story = story();
        story.call_to(called_at, "callers-1", "u1", "random");
        assert_eq!(story.judge(&NoStaleCalls).findings.len(), findings, "called at {called_at}");
    }
}

#[test]
fn serving_stale_is_right_for_who_cannot_reach_the_registry() {
    let mut story = story();
    story.cut(19_000, 30_000, "callers-1", "etcd");
    story.call_to(25_000, "callers-1", "u1", "random");
    story.call_to(32_000, "callers-1", "u1", "random");
    story.call_to(35_000, "callers-1", "u2", "random");
    story.passes(&NoStaleCalls, 1);
}

#[test]
fn a_backend_that_is_down_tells_nobody() {
    let mut story = story();
    story.fault(21_000, Fault::BackendDown { host: "etcd".to_owned() });
    story.fault(30_000, Fault::BackendUp { host: "etcd".to_owned() });
    story.call_to(31_500, "callers-1", "u1", "random");
    story.passes(&NoStaleCalls, 0);
    story.call_to(32_001, "callers-1", "u1", "random");
    story.trips(&NoStaleCalls, &["at 32.001s"]);
}

#[test]
fn a_node_that_came_back_may_be_called() {
    let mut story = story();
    story.put(24_000, "u1", true);
    story.call_to(25_000, "callers-1", "u1", "random");
    story.passes(&NoStaleCalls, 1);
}

#[test]
fn addresses_that_the_caller_named_are_its_own_affair() {
    let mut story = story();
    let call = story.call(30_000, "callers-1", ms(100));
    let (service, strategy) = ("users".to_owned(), "address".to_owned());
    let (node, address) = ("u1".to_owned(), "u1".to_owned());
    story.point_of(30_000, "callers-1", call, Point::Attempt { service, node, address, attempt: 0, strategy });
    story.passes(&NoStaleCalls, 0);
}

#[test]
fn a_key_whose_node_has_a_longer_id_is_not_taken_for_another_nodes() {
    let mut story = Story::new(Expect { no_stale_calls: Some(Within { within: ms(2_000) }), ..Expect::default() });
    story.register(1_000, "u-1");
    story.register(1_000, "u-10");
    story.deleted(2_000, "u-10");
    story.call_to(9_000, "callers-1", "u-1", "random");
    story.passes(&NoStaleCalls, 1);
}

fn deregister(story: &mut Story, from: u64, to: u64) {
    let nodes = vec!["u2".to_owned()];
    story.done(from, to, "users-2", Operation::Deregister { service: "users".to_owned(), nodes });
}

#[test]
fn a_deregistration_that_was_acknowledged_counts_although_the_backend_holds_the_node() {
    let mut story = story();
    deregister(&mut story, 10_000, 10_100);
    story.call_to(12_100, "callers-1", "u2", "random");
    assert_eq!(story.judge(&NoStaleCalls).findings.len(), 0, "in time");
    story.call_to(15_000, "callers-1", "u2", "random");
    story.trips(&NoStaleCalls, &["callers-1", "node u2 after 12.100s", "as its host was told", "at 15.000s"]);
}

#[test]
fn who_registers_again_while_or_after_it_deregistered_is_back() {
    for again in [10_050, 11_000] {
        let mut story = story();
        deregister(&mut story, 10_000, 10_100);
        story.register(again, "u2");
        story.call_to(15_000, "callers-1", "u2", "random");
        assert_eq!(story.judge(&NoStaleCalls).findings.len(), 0, "registered again at {again}");
    }
}
