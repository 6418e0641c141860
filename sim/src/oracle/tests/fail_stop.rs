//! `fail_stop` before hand-written histories.

use crate::history::Truth;
use crate::oracle::fail_stop::FailStop;
use crate::oracle::testing::{Story, ms};
use crate::scenario::model::{Expect, FailStop as Expectation};
use crate::world::Fault;

fn story() -> Story {
    Story::new(Expect { fail_stop: Some(Expectation {}), ..Expect::default() })
}

fn host() -> String {
    "callers-1".to_owned()
}

#[test]
fn a_dead_host_that_goes_on_is_found() {
    let mut story = story();
    story.crash(12_000, "callers-1");
    story.call(12_500, "callers-1", ms(1_000));
    story.call(13_000, "callers-1", ms(1_000));
    story.fault(15_000, Fault::Restart { host: host() });
    let judgement = story.trips(&FailStop, &["callers-1", "down, from 12.000s on", "at 12.500s it did"]);
    assert_eq!((judgement.judged, judgement.findings.len()), (1, 1), "a span is told once");
}

#[test]
fn a_paused_host_that_goes_on_is_found() {
    let mut story = story();
    let call = story.call(11_999, "callers-1", ms(1_000));
    story.fault(12_000, Fault::Pause { host: host() });
    story.answer(12_003, "callers-1", call, crate::history::Answer::Done);
    story.fault(15_000, Fault::Resume { host: host() });
    story.trips(&FailStop, &["callers-1", "paused, from 12.000s on", "at 12.003s it did"]);
}

#[test]
fn who_never_comes_back_is_silent_to_the_end() {
    let mut story = story();
    story.crash(12_000, "callers-1");
    story.look(59_000, 59_100, "callers-1", &["u1"]);
    story.trips(&FailStop, &["at 59.000s it did"]);
}

#[test]
fn what_happens_at_the_very_moment_of_a_start_or_an_end_is_right() {
    let mut story = story();
    story.call(12_000, "callers-1", ms(1_000));
    story.crash(12_000, "callers-1");
    story.call(15_000, "callers-1", ms(1_000));
    story.fault(15_000, Fault::Restart { host: host() });
    story.call(16_000, "callers-1", ms(1_000));
    story.call(16_000, "callers-2", ms(1_000));
    story.passes(&FailStop, 1);
}

#[test]
fn the_truth_about_a_backend_is_told_while_it_is_down() {
    let mut story = story();
    story.fault(12_000, Fault::BackendDown { host: "etcd".to_owned() });
    story.truth(13_000, Truth::Restarted);
    story.fault(14_000, Fault::BackendUp { host: "etcd".to_owned() });
    story.expired(20_000, "u1");
    story.passes(&FailStop, 1);
}
