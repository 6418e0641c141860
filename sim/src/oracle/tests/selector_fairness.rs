//! `selector_fairness` before hand-written histories.

use crate::history::{Answer, Change, Operation, Point};
use crate::oracle::selector_fairness::SelectorFairness;
use crate::oracle::testing::Story;
use crate::oracle::{Judgement, judge_picks};
use crate::scenario::model::{Expect, Fairness};

/// `u1`, `u2`, `u3` are registered at 1 s.
fn story() -> Story {
    let selector_fairness = Some(Fairness { false_alarm: 1e-6, max_min_ratio: None });
    let mut story = Story::new(Expect { selector_fairness, ..Expect::default() });
    for id in ["u1", "u2", "u3"] {
        story.register(1_000, id);
    }
    story
}

fn picks(story: &mut Story, from: u64, strategy: &str, ids: &[&str]) {
    for (index, id) in ids.iter().enumerate() {
        let at = from + index as u64 * 10;
        let (service, strategy_name) = ("users".to_owned(), strategy.to_owned());
        let call = story.call(at, "callers-1", std::time::Duration::from_secs(1));
        let select = Operation::Select { service, strategy: strategy_name };
        let select = story.invoke_for(Some(call), at, "callers-1", select);
        story.answer(at, "callers-1", select, Answer::Selected(3));
        story.attempt(at, "callers-1", call, id, 0, strategy);
        story.answer(at + 3, "callers-1", call, Answer::Done);
    }
}

#[test]
fn a_round_robin_that_has_a_favourite_is_found() {
    let mut story = story();
    picks(&mut story, 20_000, "round_robin", &["u1", "u1", "u2", "u3", "u1", "u2"]);
    let parts = ["round_robin on callers-1", "each of the 3 nodes of users", "6 picks", "u1 got 3", "u3 got 1"];
    story.trips(&SelectorFairness, &parts);
}

#[test]
fn a_round_robin_that_forgets_a_node_is_found_though_the_node_is_never_seen() {
    let mut story = story();
    picks(&mut story, 20_000, "round_robin", &["u1", "u2", "u1", "u2"]);
    story.trips(&SelectorFairness, &["another got 0"]);
}

#[test]
fn any_stretch_of_a_cycle_is_within_one() {
    let mut story = story();
    picks(&mut story, 20_000, "round_robin", &["u3", "u1", "u2", "u3", "u1"]);
    story.passes(&SelectorFairness, 1);
}

#[test]
fn a_change_of_the_view_begins_a_new_window() {
    let changes: [fn(&mut Story); 3] = [
        |story| {
            let watcher = story.watch(2_000, 2_001, "callers-1");
            story.watched(20_025, "callers-1", watcher, Change::Update, "u1");
        },
        |story| story.look(20_024, 20_025, "callers-1", &["u1", "u2", "u3"]),
        |story| story.point(20_025, "callers-1", Point::Reset { service: "users".to_owned() }),
    ];
    for change in changes {
        let mut story = story();
        // A position that starts anew: u1 twice as often as u3, if the windows were one.
        picks(&mut story, 20_000, "round_robin", &["u1", "u2", "u3", "u1", "u2", "u1"]);
        assert_eq!(story.judge(&SelectorFairness).findings.len(), 1);
        let mut story = self::story();
        change(&mut story);
        picks(&mut story, 20_000, "round_robin", &["u1", "u2", "u3"]);
        picks(&mut story, 20_030, "round_robin", &["u1", "u2", "u3"]);
        story.passes(&SelectorFairness, 2);
    }
}

#[test]
fn a_retry_takes_from_nodes_selected_before_and_ends_the_window() {
    let mut story = story();
    picks(&mut story, 20_000, "round_robin", &["u1", "u2", "u3"]);
    let call = story.call(20_100, "callers-1", std::time::Duration::from_secs(1));
    story.attempt(20_101, "callers-1", call, "u1", 1, "round_robin");
    picks(&mut story, 20_200, "round_robin", &["u1", "u2", "u3"]);
    story.passes(&SelectorFairness, 2);
}

#[test]
fn fewer_picks_than_nodes_or_one_node_alone_say_nothing() {
    let mut story = story();
    picks(&mut story, 20_000, "round_robin", &["u1", "u1"]);
    story.passes(&SelectorFairness, 0);
}

fn random(rank_of: impl Fn(usize) -> usize) -> Judgement {
    let mut story = story();
    let ids: Vec<&str> = (0..300).map(|index| ["u1", "u2", "u3"][rank_of(index)]).collect();
    picks(&mut story, 20_000, "random", &ids);
    story.judge(&SelectorFairness)
}

#[test]
fn random_picks_are_counted_by_rank_for_the_sweep() {
    let fair = random(|index| index % 3);
    assert_eq!(fair.picks["random/3 nodes"].counts, [100, 100, 100]);
    assert_eq!((fair.judged, judge_picks(&fair.picks).findings.len()), (1, 0));
    let unfair = random(|index| if index % 6 < 4 { 0 } else { index % 6 - 3 });
    assert_eq!(unfair.picks["random/3 nodes"].counts, [200, 50, 50]);
    assert_eq!(unfair.findings, [], "no single run is judged");
    assert_eq!(judge_picks(&unfair.picks).findings.len(), 1);
}

#[test]
fn a_node_that_random_never_picks_is_counted_as_such() {
    assert_eq!(random(|index| index % 2).picks["random/3 nodes"].counts, [150, 150, 0]);
}
