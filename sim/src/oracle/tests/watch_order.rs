//! `watch_order` before hand-written histories; the bound is 2 s.

use shaketable_stack::plugin::SlowConsumer;

use crate::history::{Change, NodeRecord, OperationId, Point, Truth};
use crate::oracle::testing::{Story, ms, node};
use crate::oracle::watch_order::WatchOrder;
use crate::scenario::model::{Expect, WatchOrder as Expectation};

const HOST: &str = "callers-1";

/// A watch of `callers-1`, opened at 1 s.
fn story() -> (Story, OperationId) {
    let watch_order = Some(Expectation { within: Some(ms(2_000)) });
    let mut story = Story::new(Expect { watch_order, ..Expect::default() });
    let watcher = story.watch(1_000, 1_010, HOST);
    (story, watcher)
}

fn told(story: &mut Story, watcher: OperationId, changes: &[(u64, Change, &str)]) {
    changes.iter().for_each(|(at, change, id)| story.watched(*at, HOST, watcher, *change, id));
}

use Change::{Create, Delete, Update};

#[test]
fn a_life_told_in_order_passes() {
    let (mut story, watcher) = story();
    story.register(5_000, "u1");
    story.put(7_000, "u1", false);
    story.expired(20_000, "u1");
    told(&mut story, watcher, &[(5_003, Create, "u1"), (7_003, Update, "u1"), (20_003, Delete, "u1")]);
    story.passes(&WatchOrder, 2);
}

#[test]
fn a_change_that_is_told_twice_is_found() {
    let (mut story, watcher) = story();
    story.register(5_000, "u1");
    told(&mut story, watcher, &[(5_003, Create, "u1"), (5_004, Create, "u1")]);
    story.trips(&WatchOrder, &["should not have told Create of node u1 at 5.004s", "told so before"]);
}

#[test]
fn a_change_that_never_happened_is_found() {
    let (mut story, watcher) = story();
    story.register(5_000, "u1");
    told(&mut story, watcher, &[(5_003, Create, "u1"), (9_000, Delete, "u1")]);
    story.trips(&WatchOrder, &["should not have told Delete of node u1", "nothing of the kind had happened"]);
    let (mut story, watcher) = self::story();
    story.register(5_000, "u1");
    told(&mut story, watcher, &[(4_000, Create, "u1")]);
    story.trips(&WatchOrder, &["at 4.000s"]);
    let (mut story, watcher) = self::story();
    story.register(5_000, "u1");
    told(&mut story, watcher, &[(5_003, Create, "u1"), (6_000, Create, "ghost")]);
    story.trips(&WatchOrder, &["node ghost", "no such node was ever registered"]);
}

#[test]
fn a_first_registration_told_as_an_update_is_found() {
    let (mut story, watcher) = story();
    story.register(5_000, "u1");
    told(&mut story, watcher, &[(5_003, Update, "u1")]);
    story.trips(&WatchOrder, &["should not have told Update of node u1"]);
}

#[test]
fn a_change_may_be_told_exactly_at_the_bound_and_no_later() {
    for (told_at, findings) in [(7_000, 0), (7_001, 1)] {
        let (mut story, watcher) = story();
        story.register(5_000, "u1");
        told(&mut story, watcher, &[(told_at, Create, "u1")]);
        assert_eq!(story.judge(&WatchOrder).findings.len(), findings, "told at {told_at}");
    }
}

#[test]
fn a_change_that_is_never_told_is_found() {
    let (mut story, watcher) = story();
    story.register(5_000, "u1");
    story.expired(20_000, "u1");
    told(&mut story, watcher, &[(5_003, Create, "u1")]);
    story.trips(&WatchOrder, &["by 22.000s", "node u1 expired at 20.000s", "it never did"]);
}

#[test]
fn a_departure_and_a_return_may_not_be_merged() {
    let (mut story, watcher) = story();
    story.register(5_000, "u1");
    story.deleted(8_000, "u1");
    story.put(8_001, "u1", true);
    told(&mut story, watcher, &[(5_003, Create, "u1"), (8_010, Create, "u1")]);
    story.trips(&WatchOrder, &["node u1 was deregistered at 8.000s", "never of this one"]);
    story.facts.registry.slow_consumer = Some(SlowConsumer::Drops { buffered: 8 });
    assert_eq!(story.judge(&WatchOrder).findings, [], "unless the registry says that it drops changes");
}

#[test]
fn changes_of_different_nodes_are_told_in_the_backends_order() {
    let (mut story, watcher) = story();
    story.register(5_000, "u1");
    story.register(5_100, "u2");
    told(&mut story, watcher, &[(5_200, Create, "u2"), (5_201, Create, "u1")]);
    story.trips(&WatchOrder, &["in the backend's order", "node u1 was registered at 5.000s"]);
}

#[test]
fn writes_that_changed_nothing_may_be_told_or_not() {
    let (mut story, watcher) = story();
    story.register(5_000, "u1");
    story.put(6_000, "u1", false);
    story.register(7_000, "u2");
    story.put(8_000, "u1", false);
    // The write of 6 s was not worth telling, the one of 8 s was: that is in order.
    told(&mut story, watcher, &[(5_003, Create, "u1"), (7_003, Create, "u2"), (8_003, Update, "u1")]);
    story.passes(&WatchOrder, 2);
}

#[test]
fn what_happens_while_the_watch_is_opened_may_be_told_or_not() {
    for tells in [false, true] {
        let watch_order = Some(Expectation { within: Some(ms(2_000)) });
        let mut story = Story::new(Expect { watch_order, ..Expect::default() });
        story.register(1_005, "u1");
        let watcher = story.watch(1_000, 1_010, HOST);
        if tells {
            story.watched(1_012, HOST, watcher, Create, "u1");
        }
        assert_eq!(story.judge(&WatchOrder).findings, []);
    }
}

#[test]
fn what_was_there_before_a_first_watch_is_not_news() {
    let watch_order = Some(Expectation { within: Some(ms(2_000)) });
    let mut story = Story::new(Expect { watch_order, ..Expect::default() });
    story.register(500, "u1");
    let watcher = story.watch(1_000, 1_010, HOST);
    story.watched(1_012, HOST, watcher, Create, "u1");
    story.trips(&WatchOrder, &["should not have told Create of node u1 at 1.012s"]);
}

#[test]
fn who_cannot_reach_the_registry_is_told_later() {
    let (mut story, watcher) = story();
    story.cut(4_000, 20_000, HOST, "etcd");
    story.register(5_000, "u1");
    story.deleted(10_000, "u1");
    told(&mut story, watcher, &[(21_999, Create, "u1"), (22_000, Delete, "u1")]);
    story.passes(&WatchOrder, 2);
}

#[test]
fn a_watch_that_ended_owes_nothing_and_its_successor_may_begin_with_a_resync() {
    let (mut story, watcher) = story();
    story.register(5_000, "u1");
    told(&mut story, watcher, &[(5_003, Create, "u1")]);
    story.register(9_000, "u2");
    story.point(9_500, HOST, Point::WatchEnded { watcher, failure: None });
    let next = story.watch(12_000, 12_010, HOST);
    told(&mut story, next, &[(12_020, Create, "u1"), (12_020, Create, "u2")]);
    story.deleted(20_000, "u2");
    told(&mut story, next, &[(20_003, Delete, "u2")]);
    story.passes(&WatchOrder, 2);
    told(&mut story, next, &[(25_000, Create, "u1")]);
    story.trips(&WatchOrder, &["should not have told Create of node u1 at 25.000s"]);
}

/// `u1` goes and comes back, `u2` goes, while the watcher is cut off; then the backend compacts.
fn compacted() -> (Story, OperationId) {
    let (mut story, watcher) = story();
    story.register(2_000, "u1");
    story.register(2_100, "u2");
    told(&mut story, watcher, &[(2_003, Create, "u1"), (2_103, Create, "u2")]);
    story.cut(4_000, 20_000, HOST, "etcd");
    story.deleted(5_000, "u1");
    story.put(6_000, "u1", true);
    story.deleted(7_000, "u2");
    story.truth(10_000, Truth::Compacted { revision: 9 });
    (story, watcher)
}

#[test]
fn after_a_compaction_one_resync_stands_for_what_was_missed() {
    let (mut story, watcher) = compacted();
    told(&mut story, watcher, &[(20_500, Update, "u1"), (20_500, Delete, "u2")]);
    story.deleted(30_000, "u1");
    told(&mut story, watcher, &[(30_003, Delete, "u1")]);
    assert_eq!(story.judge(&WatchOrder).findings, []);
}

#[test]
fn a_resync_must_agree_with_the_truth_in_the_end() {
    let (mut story, watcher) = compacted();
    told(&mut story, watcher, &[(20_500, Update, "u1")]);
    story.trips(&WatchOrder, &["after its resync", "node u2 was deregistered at 7.000s", "is Create"]);
}

#[test]
fn a_compaction_excuses_nothing_that_came_after_the_resync() {
    let (mut story, watcher) = compacted();
    told(&mut story, watcher, &[(20_500, Update, "u1"), (20_500, Delete, "u2")]);
    story.register(30_000, "u3");
    story.trips(&WatchOrder, &["node u3 was registered at 30.000s", "it never did"]);
}

/// Says that `u1` was updated, with that version.
fn updated(story: &mut Story, watcher: OperationId, at: u64, version: &str) {
    let node = NodeRecord { version: version.to_owned(), ..node("u1") };
    story.watched_node(at, HOST, watcher, Update, node);
}

#[test]
fn a_new_version_is_told_once_and_as_it_is() {
    let updates = |updates: &[(u64, &str)]| {
        let (mut story, watcher) = story();
        story.register(5_000, "u1");
        told(&mut story, watcher, &[(5_003, Create, "u1")]);
        story.alter(8_000, "u1", "2");
        updates.iter().for_each(|(at, version)| updated(&mut story, watcher, *at, version));
        story
    };
    updates(&[(8_003, "2")]).passes(&WatchOrder, 2);
    updates(&[]).trips(&WatchOrder, &["node u1 changed its version or metadata at 8.000s", "it never did"]);
    updates(&[(10_001, "2")]).trips(&WatchOrder, &["by 10.000s", "changed its version", "it did at 10.001s"]);
    updates(&[(8_003, "1")]).trips(&WatchOrder, &["should not have told Update of node u1", "nothing of the kind"]);
    updates(&[(8_003, "2"), (8_004, "2")]).trips(&WatchOrder, &["at 8.004s", "told so before"]);
}

#[test]
fn changes_of_one_node_may_not_be_merged() {
    let (mut story, watcher) = story();
    story.register(5_000, "u1");
    story.alter(8_000, "u1", "2");
    story.alter(8_050, "u1", "3");
    told(&mut story, watcher, &[(5_003, Create, "u1")]);
    updated(&mut story, watcher, 8_060, "3");
    story.trips(&WatchOrder, &["changed its version or metadata at 8.000s", "never of this one"]);
    story.facts.registry.slow_consumer = Some(SlowConsumer::Drops { buffered: 8 });
    assert_eq!(story.judge(&WatchOrder).findings, [], "unless the registry says that it drops changes");
}

#[test]
fn a_renewal_that_is_told_between_two_versions_is_in_order() {
    let (mut story, watcher) = story();
    story.register(5_000, "u1");
    story.put(7_000, "u1", false);
    story.put(7_990, "u1", false);
    // The renewal of 9 s was sent before the new version was, and arrives after it was asked for: nothing tells the two apart.
    story.alter(8_000, "u1", "2");
    story.put(9_000, "u1", false);
    told(&mut story, watcher, &[(5_003, Create, "u1")]);
    updated(&mut story, watcher, 7_003, "1");
    updated(&mut story, watcher, 8_003, "2");
    updated(&mut story, watcher, 9_003, "2");
    story.passes(&WatchOrder, 2);
}

#[test]
fn of_two_versions_that_are_under_way_together_the_backend_takes_either_first() {
    let (mut story, watcher) = story();
    story.register(5_000, "u1");
    told(&mut story, watcher, &[(5_003, Create, "u1")]);
    // Both were asked for at 8 s; the backend has one at 8.001 s and the other at 8.002 s.
    story.alter_slowly(8_000, &[8_001, 8_002], "u1", &["2", "3"]);
    updated(&mut story, watcher, 8_005, "3");
    updated(&mut story, watcher, 8_006, "2");
    assert_eq!(story.judge(&WatchOrder).findings, []);
}

#[test]
fn after_a_resync_the_version_must_be_the_newest() {
    for (version, findings) in [("2", 0), ("1", 1)] {
        let (mut story, watcher) = story();
        story.register(2_000, "u1");
        told(&mut story, watcher, &[(2_003, Create, "u1")]);
        story.cut(4_000, 20_000, HOST, "etcd");
        story.alter(5_000, "u1", "2");
        story.truth(10_000, Truth::Compacted { revision: 9 });
        updated(&mut story, watcher, 20_500, version);
        assert_eq!(story.judge(&WatchOrder).findings.len(), findings, "told version {version}");
    }
}

#[test]
fn what_may_have_happened_before_the_watch_was_open_need_not_be_told() {
    for (early, registered_at, findings) in [(0, 1_500, 1), (1_000, 1_500, 0), (1_000, 2_100, 1)] {
        let (mut story, _) = story();
        story.facts.early = ms(early);
        story.register(registered_at, "u1");
        assert_eq!(story.judge(&WatchOrder).findings.len(), findings, "dated {early} late, at {registered_at}");
    }
    let (mut story, watcher) = story();
    story.facts.early = ms(1_000);
    story.register(1_500, "u1");
    story.expired(20_000, "u1");
    told(&mut story, watcher, &[(20_003, Delete, "u1")]);
    story.passes(&WatchOrder, 1);
}
