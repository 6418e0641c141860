//! `registration_visible` before hand-written histories; the bound is 2 s.

use crate::history::{Change, Operation};
use crate::oracle::registration_visible::RegistrationVisible;
use crate::oracle::testing::{Story, ms, node};
use crate::scenario::model::{Expect, Within};

fn story() -> Story {
    Story::new(Expect { registration_visible: Some(Within { within: ms(2_000) }), ..Expect::default() })
}

#[test]
fn a_watcher_that_is_never_told_is_found() {
    let mut story = story();
    story.watch(1_000, 1_010, "callers-1");
    story.register(5_000, "u1");
    story.trips(&RegistrationVisible, &["callers-1", "node u1", "registered at 5.002s", "by 7.002s", "never told"]);
}

#[test]
fn a_watcher_may_be_told_exactly_at_the_bound_and_no_later() {
    for (told_at, findings) in [(7_002, 0), (7_003, 1)] {
        let mut story = story();
        let watcher = story.watch(1_000, 1_010, "callers-1");
        story.register(5_000, "u1");
        story.watched(told_at, "callers-1", watcher, Change::Create, "u1");
        assert_eq!(story.judge(&RegistrationVisible).findings.len(), findings, "told at {told_at}");
    }
}

#[test]
fn who_may_have_registered_before_the_watch_was_open_need_not_be_told_of() {
    for (early, registered_at, findings) in [(0, 1_500, 1), (1_000, 1_500, 0), (1_000, 2_100, 1)] {
        let mut story = story();
        story.facts.early = ms(early);
        story.watch(1_000, 1_010, "callers-1");
        story.register(registered_at, "u1");
        assert_eq!(
            story.judge(&RegistrationVisible).findings.len(),
            findings,
            "dated {early} late, at {registered_at}"
        );
    }
}

#[test]
fn a_lookup_must_find_the_node_from_the_bound_on() {
    for (asked_at, findings) in [(7_002, 0), (7_003, 1)] {
        let mut story = story();
        story.register(5_000, "u1");
        story.look(asked_at, asked_at + 5, "callers-1", &[]);
        assert_eq!(story.judge(&RegistrationVisible).findings.len(), findings, "asked at {asked_at}");
    }
}

#[test]
fn who_was_cut_off_from_the_registry_has_the_full_time_after_it() {
    let mut story = story();
    let watcher = story.watch(1_000, 1_010, "callers-1");
    story.cut(4_000, 20_000, "callers-1", "etcd");
    story.register(5_000, "u1");
    story.look(15_000, 15_001, "callers-1", &[]);
    story.watched(21_900, "callers-1", watcher, Change::Create, "u1");
    story.passes(&RegistrationVisible, 1);
}

#[test]
fn a_link_that_flaps_faster_than_the_bound_excuses() {
    let mut story = story();
    story.watch(1_000, 1_010, "callers-1");
    story.register(5_000, "u1");
    for start in (5_500..40_000).step_by(1_500) {
        story.cut(start, start + 100, "callers-1", "etcd");
    }
    story.expired(39_000, "u1");
    story.passes(&RegistrationVisible, 0);
}

#[test]
fn a_node_that_is_gone_again_before_the_bound_need_not_be_seen() {
    let mut story = story();
    story.watch(1_000, 1_010, "callers-1");
    story.register(5_000, "u1");
    story.deleted(6_000, "u1");
    story.look(8_000, 8_005, "callers-1", &[]);
    story.passes(&RegistrationVisible, 0);
}

#[test]
fn a_watch_opened_after_the_registration_need_not_tell_of_it() {
    let mut story = story();
    story.register(5_000, "u1");
    story.watch(5_500, 5_510, "callers-1");
    story.look(9_000, 9_010, "callers-1", &["u1"]);
    story.passes(&RegistrationVisible, 1);
}

#[test]
fn a_lookup_that_finds_no_service_at_all_misses_the_node() {
    let mut story = story();
    story.register(5_000, "u1");
    let look = story.invoke(8_000, "callers-1", Operation::GetService { service: "users".to_owned() });
    story.fail(8_010, "callers-1", look, "NotFound");
    story.trips(&RegistrationVisible, &["its lookup at 8.010s did not have it"]);
}

#[test]
fn a_registration_that_succeeds_without_reaching_the_backend_is_found() {
    let mut story = story();
    story.register(5_000, "u1");
    let operation = Operation::Register { service: "users".to_owned(), node: Box::new(node("u2")), ttl: None };
    story.done(6_000, 6_001, "users-2", operation);
    story.trips(&RegistrationVisible, &["node u2", "the backend never held it"]);
}
