//! `lease_expiry` before hand-written histories: 500 ms late is late, the TTL is 10 s.

use crate::history::{Operation, Truth};
use crate::oracle::lease_expiry::LeaseExpiry;
use crate::oracle::testing::{Story, ms, node};
use crate::scenario::model::{Expect, LeaseExpiry as Expectation};
use crate::world::Fault;

/// A lease of 10 s, granted at 1 s.
fn story() -> Story {
    let lease_expiry = Some(Expectation { late: ms(500), at_least: 4 });
    let mut story = Story::new(Expect { lease_expiry, ..Expect::default() });
    granted(&mut story, 1_000);
    story
}

fn granted(story: &mut Story, at: u64) {
    let (ttl_requested, ttl_granted) = (ms(9_000), ms(10_000));
    story.truth(at, Truth::Granted { lease: "lease-u1".to_owned(), ttl_requested, ttl_granted });
}

fn renewed(story: &mut Story, at: u64) {
    story.truth(at, Truth::Renewed { lease: "lease-u1".to_owned() });
}

#[test]
fn an_expiry_is_neither_early_nor_late_by_a_millisecond() {
    for (expired_at, word) in [(10_999, "early"), (11_000, ""), (11_500, ""), (11_501, "late")] {
        let mut story = story();
        story.expired(expired_at, "u1");
        if word.is_empty() {
            story.passes(&LeaseExpiry, 1);
        } else {
            story.trips(&LeaseExpiry, &["lease-u1", "granted at 1.000s for 10.000s", &format!("1ms {word}")]);
        }
        assert_eq!(story.judge(&LeaseExpiry).judged_at_least, 4);
    }
}

#[test]
fn where_nobody_knows_to_the_millisecond_what_is_a_little_early_is_not_accused() {
    for (early, expired_at, word) in [(0, 10_500, "500ms early"), (1_000, 10_000, ""), (1_000, 9_999, "1.001s early")] {
        let mut story = story();
        story.facts.early = ms(early);
        story.expired(expired_at, "u1");
        if word.is_empty() {
            story.passes(&LeaseExpiry, 1);
        } else {
            story.trips(&LeaseExpiry, &["lease-u1", word]);
        }
    }
}

#[test]
fn a_lease_that_never_runs_out_is_found_when_the_run_ends() {
    story().trips(&LeaseExpiry, &["by 11.500s", "still there when the run ended", "48.500s late"]);
}

#[test]
fn a_lease_that_is_due_after_the_end_is_not_judged() {
    let mut story = story();
    for at in (5_000..=45_000).step_by(5_000).chain([49_500]) {
        renewed(&mut story, at);
    }
    story.passes(&LeaseExpiry, 0);
}

#[test]
fn a_renewal_starts_the_window_anew_and_one_of_an_overdue_lease_shows_that_it_is() {
    let mut renewed_in_time = story();
    renewed(&mut renewed_in_time, 10_500);
    renewed_in_time.expired(20_600, "u1");
    renewed_in_time.passes(&LeaseExpiry, 1);
    let mut overdue = story();
    renewed(&mut overdue, 13_000);
    overdue.expired(23_100, "u1");
    overdue.trips(&LeaseExpiry, &["at 13.000s it was renewed", "1.500s late"]);
}

#[test]
fn a_restart_of_the_backend_starts_every_window_anew() {
    let mut story = story();
    story.fault(8_000, Fault::BackendDown { host: "etcd".to_owned() });
    story.fault(13_000, Fault::BackendUp { host: "etcd".to_owned() });
    story.truth(13_000, Truth::Restarted);
    story.expired(23_200, "u1");
    story.passes(&LeaseExpiry, 1);
    let mut hasty = self::story();
    hasty.truth(8_000, Truth::Restarted);
    hasty.expired(11_000, "u1");
    hasty.trips(&LeaseExpiry, &["full TTL by the backend's restart at 8.000s", "7.000s early"]);
}

#[test]
fn time_in_which_the_backend_is_down_is_not_late() {
    let mut story = story();
    story.fault(8_000, Fault::BackendDown { host: "etcd".to_owned() });
    story.fault(20_000, Fault::BackendUp { host: "etcd".to_owned() });
    story.expired(23_500, "u1");
    story.passes(&LeaseExpiry, 1);
}

#[test]
fn nothing_runs_out_while_the_backend_is_down() {
    let mut story = story();
    story.fault(9_000, Fault::BackendDown { host: "etcd".to_owned() });
    story.fault(20_000, Fault::BackendUp { host: "etcd".to_owned() });
    story.expired(11_200, "u1");
    story.trips(&LeaseExpiry, &["should not have expired while the backend was down"]);
}

/// The backend stands still from `from` to `to`.
fn still(story: &mut Story, from: u64, to: u64) {
    story.fault(from, Fault::BackendPause { host: "etcd".to_owned() });
    story.fault(to, Fault::BackendResume { host: "etcd".to_owned() });
}

#[test]
fn what_comes_due_while_the_backend_stands_still_runs_out_once_it_goes_on() {
    // The lease is due at 11 s.
    for (from, to, expired_at, word) in [
        (9_000, 20_000, 20_000, ""),
        (9_000, 20_000, 20_500, ""),
        (9_000, 20_000, 20_501, "1ms late"),
        (9_000, 20_000, 11_200, "should not have expired while the backend stood still"),
        (9_000, 20_000, 10_500, "500ms early"),
        // Of the half second in which it had to be noticed, it had 300 ms before it stood still.
        (11_300, 20_000, 20_200, ""),
        (11_300, 20_000, 20_201, "1ms late"),
    ] {
        let mut story = story();
        still(&mut story, from, to);
        story.expired(expired_at, "u1");
        if word.is_empty() {
            story.passes(&LeaseExpiry, 1);
        } else {
            story.trips(&LeaseExpiry, &["lease-u1", word]);
        }
    }
}

#[test]
fn what_is_due_after_the_backend_has_gone_on_is_due_when_it_was() {
    for (expired_at, word) in [(11_500, ""), (11_501, "1ms late"), (10_999, "1ms early")] {
        let mut story = story();
        still(&mut story, 2_000, 10_000);
        story.expired(expired_at, "u1");
        if word.is_empty() {
            story.passes(&LeaseExpiry, 1);
        } else {
            story.trips(&LeaseExpiry, &["lease-u1", word]);
        }
    }
}

#[test]
fn what_is_told_just_after_the_backend_has_stopped_is_not_accused_where_it_may_be_told_late() {
    for (early, expired_at, flawed) in [(0, 11_101, true), (1_000, 12_000, false), (1_000, 12_101, true)] {
        let mut story = story();
        story.facts.early = ms(early);
        still(&mut story, 11_100, 20_000);
        story.expired(expired_at, "u1");
        if flawed {
            story.trips(&LeaseExpiry, &["while the backend stood still"]);
        } else {
            story.passes(&LeaseExpiry, 1);
        }
    }
}

#[test]
fn a_lease_that_is_revoked_lost_or_deleted_need_not_run_out() {
    let keys = vec!["/micro/registry/users/u1".to_owned()];
    let lease = || "lease-u1".to_owned();
    let ends = [
        Truth::Revoked { lease: lease(), keys: keys.clone() },
        Truth::Lost { lease: lease(), keys },
        Truth::Deleted { key: lease() },
    ];
    for end in ends {
        let mut story = story();
        story.truth(4_000, end);
        story.passes(&LeaseExpiry, 0);
    }
}

#[test]
fn what_the_registry_promises_of_its_precision_is_allowed() {
    let mut story = story();
    (story.facts.registry.ttl_granularity, story.facts.registry.expiry_slack) = (Some(ms(1_000)), Some(ms(500)));
    story.expired(13_000, "u1");
    story.passes(&LeaseExpiry, 1);
}

#[test]
fn a_lease_is_granted_for_no_less_than_was_asked_for() {
    for (granted_ms, findings) in [(8_999, 1), (9_000, 0), (10_000, 0)] {
        let mut story = Story::new(story().facts.scenario.expect);
        let (ttl_requested, ttl_granted) = (ms(9_000), ms(granted_ms));
        story.truth(55_000, Truth::Granted { lease: "lease-u1".to_owned(), ttl_requested, ttl_granted });
        assert_eq!(story.judge(&LeaseExpiry).findings.len(), findings, "granted {granted_ms} ms");
    }
    let mut story = story();
    let (ttl_requested, ttl_granted) = (ms(9_000), ms(2_000));
    story.truth(55_000, Truth::Granted { lease: "lease-u2".to_owned(), ttl_requested, ttl_granted });
    story.expired(11_100, "u1");
    let parts = ["lease lease-u2", "granted for 9.000s or more", "at 55.000s it was granted for 2.000s"];
    story.trips(&LeaseExpiry, &parts);
}

/// `users-1` asks at 50 s for a registration that lives for `ttl_ms`.
fn asked(story: &mut Story, ttl_ms: Option<u64>) {
    let operation =
        Operation::Register { service: "users".to_owned(), node: Box::new(node("u1")), ttl: ttl_ms.map(ms) };
    story.invoke(50_000, "users-1", operation);
}

/// The backend writes the node's key at 50.1 s, on a lease granted for `granted_ms`.
fn written(story: &mut Story, granted_ms: Option<u64>) {
    let lease = granted_ms.map(|granted_ms| {
        let (lease, ttl_granted) = ("lease-7".to_owned(), ms(granted_ms));
        // A plugin that asks for less than it was asked for is told the truth about what it asks for.
        story.truth(50_050, Truth::Granted { lease: lease.clone(), ttl_requested: ttl_granted, ttl_granted });
        lease
    });
    let key = "/micro/registry/users/u1".to_owned();
    story.truth(50_100, Truth::Put { key, lease: lease.clone(), created: true, altered: true });
    if let Some(lease) = lease {
        story.truth(50_200, Truth::Revoked { lease, keys: vec!["/micro/registry/users/u1".to_owned()] });
    }
}

#[test]
fn a_registration_hangs_on_a_lease_of_the_ttl_that_was_asked_for_or_more() {
    for (ttl_ms, granted_ms, sentence) in [
        (Some(9_000), Some(9_000), ""),
        (Some(1_000), Some(20_000), ""),
        (
            Some(9_000),
            Some(8_999),
            "for 9.000s from 50.000s on; at 50.100s it was put on lease lease-7, which was granted",
        ),
        (
            Some(9_000),
            None,
            "node u1 was to be registered for 9.000s from 50.000s on; at 50.100s it was put without any",
        ),
        (Some(0), None, ""),
        (None, None, ""),
    ] {
        let mut story = Story::new(story().facts.scenario.expect);
        asked(&mut story, ttl_ms);
        written(&mut story, granted_ms);
        if sentence.is_empty() {
            story.passes(&LeaseExpiry, 0);
        } else {
            story.trips(&LeaseExpiry, &[sentence]);
        }
    }
}

#[test]
fn a_registration_without_a_lease_is_told_once_and_nobody_is_blamed_for_an_older_request() {
    let mut twice = Story::new(story().facts.scenario.expect);
    asked(&mut twice, Some(9_000));
    written(&mut twice, None);
    written(&mut twice, None);
    assert_eq!(twice.judge(&LeaseExpiry).findings.len(), 1);
    for older in [None, Some(4_000)] {
        let mut slow = Story::new(story().facts.scenario.expect);
        asked(&mut slow, older);
        asked(&mut slow, Some(9_000));
        written(&mut slow, older);
        slow.passes(&LeaseExpiry, 0);
    }
}
