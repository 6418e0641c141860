//! `success_rate` and `latency` before hand-written histories.

use crate::history::Answer;
use crate::oracle::calls::{Latency, SuccessRate};
use crate::oracle::testing::{Story, ms};
use crate::scenario::model::{Expect, LatencyBound, SuccessRate as Rate};

fn story() -> Story {
    let phase = || "shake".to_owned();
    let success_rate = vec![Rate { phase: phase(), at_least: 0.9 }];
    let latency = vec![LatencyBound { phase: phase(), quantile: 0.5, at_most: ms(20) }];
    Story::new(Expect { success_rate, latency, ..Expect::default() })
}

fn call(story: &mut Story, at: u64, took: u64, fails: bool) {
    let call = story.call(at, "callers-1", ms(1_000));
    if fails {
        story.fail(at + took, "callers-1", call, "Unreachable");
    } else {
        story.answer(at + took, "callers-1", call, Answer::Done);
    }
}

#[test]
fn a_share_exactly_at_the_bound_is_enough() {
    for (failed, findings) in [(1, 0), (2, 1)] {
        let mut story = story();
        (0..10).for_each(|index| call(&mut story, 20_000 + index, 5, index < failed));
        assert_eq!(story.judge(&SuccessRate).findings.len(), findings, "{failed} failed");
    }
}

#[test]
fn a_low_success_rate_is_named_with_its_failures() {
    let mut story = story();
    (0..10).for_each(|index| call(&mut story, 20_000 + index, 5, index < 4));
    let parts = ["90.00% of the calls in shake", "6 of 10 did (60.00%)", "at 20.005s", "4 Unreachable"];
    story.trips(&SuccessRate, &parts);
}

#[test]
fn calls_belong_to_the_phase_in_which_they_began() {
    let mut story = story();
    (0..9).for_each(|index| call(&mut story, 9_999 - index, 500, true));
    call(&mut story, 10_000, 5, false);
    call(&mut story, 39_999, 600, false);
    call(&mut story, 40_000, 5, true);
    story.passes(&SuccessRate, 2);
}

#[test]
fn calls_that_a_crash_of_the_caller_or_the_end_cut_off_do_not_count() {
    let mut story = story();
    story.call(20_000, "callers-1", ms(5_000));
    story.crash(21_000, "callers-1");
    story.call(39_000, "callers-2", ms(30_000));
    call(&mut story, 30_000, 5, false);
    story.passes(&SuccessRate, 1);
}

#[test]
fn the_quantile_is_the_nearest_rank_and_may_lie_on_the_bound() {
    // Of four calls the second is the median.
    for (second, findings) in [(20, 0), (21, 1)] {
        let mut story = story();
        for (index, took) in [10, second, 500, 900].into_iter().enumerate() {
            call(&mut story, 20_000 + index as u64 * 1_000, took, false);
        }
        assert_eq!(story.judge(&Latency).findings.len(), findings, "the second took {second} ms");
    }
}

#[test]
fn a_slow_median_is_named() {
    let mut story = story();
    (0..9).for_each(|index| call(&mut story, 20_000 + index * 100, 30, false));
    let parts = ["0.5 quantile", "in shake", "at most 20ms", "was 30ms among 9 calls"];
    story.trips(&Latency, &parts);
}

#[test]
fn failed_calls_are_slow_without_harm_to_the_latency() {
    let mut story = story();
    (0..9).for_each(|index| call(&mut story, 20_000 + index * 100, 900, true));
    call(&mut story, 30_000, 5, false);
    story.passes(&Latency, 1);
}
