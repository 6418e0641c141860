//! `nothing_hangs` before hand-written histories; the bound is 1 s.

use crate::history::{Answer, Operation};
use crate::oracle::nothing_hangs::NothingHangs;
use crate::oracle::testing::{Story, ms};
use crate::scenario::model::{Expect, Within};
use crate::world::Fault;

fn story() -> Story {
    Story::new(Expect { nothing_hangs: Some(Within { within: ms(1_000) }), ..Expect::default() })
}

#[test]
fn a_call_has_its_own_timeout_and_the_bound() {
    for (returned_at, findings) in [(26_000, 0), (26_001, 1)] {
        let mut story = story();
        let call = story.call(20_000, "callers-1", ms(5_000));
        story.fail(returned_at, "callers-1", call, "Timeout");
        assert_eq!(story.judge(&NothingHangs).findings.len(), findings, "returned at {returned_at}");
    }
}

#[test]
fn a_lookup_that_never_returns_is_found() {
    let mut story = story();
    story.invoke(20_000, "callers-1", Operation::GetService { service: "users".to_owned() });
    let parts =
        ["looking up users on callers-1", "begun at 20.000s", "within 1.000s", "when the run ended, after 40.000s"];
    story.trips(&NothingHangs, &parts);
}

#[test]
fn opening_a_watch_or_a_stream_must_end() {
    let mut story = story();
    story.invoke(20_000, "callers-1", Operation::Watch { service: None });
    story.trips(&NothingHangs, &["opening a watch"]);
    let mut story = self::story();
    let (service, endpoint) = ("users".to_owned(), "Users.List".to_owned());
    story.invoke(20_000, "callers-1", Operation::Stream { service, endpoint });
    story.trips(&NothingHangs, &["opening a stream to Users.List of users"]);
}

#[test]
fn time_in_which_the_host_is_paused_does_not_count() {
    let mut story = story();
    let call = story.call(20_000, "callers-1", ms(5_000));
    story.fault(21_000, Fault::Pause { host: "callers-1".to_owned() });
    story.fault(25_000, Fault::Resume { host: "callers-1".to_owned() });
    story.fail(30_000, "callers-1", call, "Timeout");
    story.passes(&NothingHangs, 1);
}

#[test]
fn what_is_under_way_for_no_longer_than_the_bound_when_the_run_ends_is_not_judged() {
    let mut story = story();
    story.call(54_000, "callers-1", ms(5_000));
    story.passes(&NothingHangs, 0);
    story.call(53_999, "callers-2", ms(5_000));
    story.trips(&NothingHangs, &["callers-2"]);
}

#[test]
fn a_crash_excuses_what_was_under_way_on_that_host_only() {
    let mut story = story();
    story.call(20_000, "callers-1", ms(5_000));
    story.crash(21_000, "callers-1");
    story.fault(22_000, Fault::Restart { host: "callers-1".to_owned() });
    story.passes(&NothingHangs, 0);
    story.call(23_000, "callers-1", ms(5_000));
    story.trips(&NothingHangs, &["begun at 23.000s"]);
}

#[test]
fn parts_of_a_call_that_has_returned_are_dropped_with_it() {
    let mut story = story();
    let call = story.call(20_000, "callers-1", ms(5_000));
    story.invoke_for(Some(call), 20_001, "callers-1", Operation::Dial { address: "u1.host:8080".to_owned() });
    story.fail(25_000, "callers-1", call, "Timeout");
    story.passes(&NothingHangs, 1);
}

#[test]
fn a_handler_that_hangs_is_found_though_its_caller_gave_up() {
    let mut story = story();
    let call = story.call(20_000, "callers-1", ms(5_000));
    let operation = Operation::Handle { endpoint: "Users.Get".to_owned(), node: "u1".to_owned() };
    story.invoke_for(Some(call), 20_010, "users-1", operation);
    story.fail(25_000, "callers-1", call, "Timeout");
    story.trips(&NothingHangs, &["the handler of Users.Get at node u1 on users-1"]);
}

#[test]
fn the_one_that_hangs_longest_comes_first_and_twenty_are_enough() {
    let mut story = story();
    for index in 0..30 {
        let call = story.call(20_000, "callers-1", ms(1_000));
        story.answer(30_000 + index, "callers-1", call, Answer::Done);
    }
    let judgement = story.trips(&NothingHangs, &["it took 10.029s"]);
    assert_eq!((judgement.findings.len(), judgement.judged), (20, 30));
}
