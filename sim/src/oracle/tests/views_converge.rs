//! `views_converge` before hand-written histories: the heal is at 40 s, the bound 5 s.

use crate::oracle::testing::{Story, ms};
use crate::oracle::views_converge::ViewsConverge;
use crate::scenario::model::{Expect, Within};

/// `u1` and `u2` are registered; `u2` is gone at 30 s.
fn story() -> Story {
    let mut story = Story::new(Expect { views_converge: Some(Within { within: ms(5_000) }), ..Expect::default() });
    story.register(1_000, "u1");
    story.register(1_000, "u2");
    story.deleted(30_000, "u2");
    story
}

#[test]
fn a_view_that_still_has_a_node_that_is_gone_is_found() {
    let mut story = story();
    story.view(50_000, "callers-1", &["u1", "u2"]);
    story.view(55_000, "callers-1", &["u1", "u2"]);
    story.trips(&ViewsConverge, &["callers-1's view of users", "at 55.000s", "it had u2, not registered any more"]);
}

#[test]
fn a_view_that_lacks_a_node_is_found() {
    let mut story = story();
    story.view(58_000, "callers-1", &[]);
    story.trips(&ViewsConverge, &["it lacked u1"]);
}

#[test]
fn views_are_judged_from_just_after_the_bound_on() {
    for (asked_at, judged) in [(45_000, 0), (45_001, 1)] {
        let mut story = story();
        story.view(asked_at, "callers-1", &["u1", "u2"]);
        let judgement = story.judge(&ViewsConverge);
        assert_eq!((judgement.judged, judgement.findings.len() as u64), (judged, judged), "asked at {asked_at}");
    }
}

#[test]
fn a_view_may_lag_behind_a_change_in_settle_exactly_so_long() {
    for (asked_at, findings) in [(53_000, 0), (53_001, 1)] {
        let mut story = story();
        story.expired(48_000, "u1");
        story.view(asked_at, "callers-1", &["u1"]);
        assert_eq!(story.judge(&ViewsConverge).findings.len(), findings, "asked at {asked_at}");
    }
}

#[test]
fn a_node_that_went_and_came_back_just_now_may_be_there_or_not() {
    let mut story = story();
    story.deleted(50_000, "u1");
    story.put(51_000, "u1", true);
    story.view(52_000, "callers-1", &["u1"]);
    story.view(52_000, "callers-2", &[]);
    story.passes(&ViewsConverge, 2);
}

#[test]
fn without_views_there_is_no_evidence() {
    story().passes(&ViewsConverge, 0);
}
