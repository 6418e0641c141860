//! `answers_match` before hand-written histories.

use crate::history::{Answer, Operation, OperationId, Point};
use crate::oracle::answers_match::AnswersMatch;
use crate::oracle::testing::{Story, ms};
use crate::scenario::model::{AnswersMatch as Expectation, Expect};

fn story() -> Story {
    Story::new(Expect { answers_match: Some(Expectation {}), ..Expect::default() })
}

/// A call of `host` that asks `asked` and gets the answer to `answered` 3 ms later.
fn call(story: &mut Story, at: u64, host: &str, asked: &str, answered: &str) -> OperationId {
    let call = story.call(at, host, ms(1_000));
    story.answer(at + 3, host, call, Answer::Done);
    answer(story, at + 3, host, call, Some(asked), answered);
    call
}

fn answer(story: &mut Story, at: u64, host: &str, id: OperationId, asked: Option<&str>, answered: &str) {
    let answered = (asked != Some(answered)).then(|| answered.to_owned());
    let asked = asked.map(str::to_owned);
    story.point_of(at, host, id, Point::Answered { asked, answered });
}

/// A stream of `callers-1` whose messages `asked` get the answers to `answered`, one each millisecond.
fn stream(story: &mut Story, at: u64, asked: &[&str], answered: &[&str]) -> OperationId {
    let (service, endpoint) = ("users".to_owned(), "Users.List".to_owned());
    let stream = story.done(at, at + 1, "callers-1", Operation::Stream { service, endpoint });
    for (index, (number, answered)) in (2..).zip(answered).enumerate() {
        answer(story, at + number, "callers-1", stream, asked.get(index).copied(), answered);
    }
    stream
}

fn ended(story: &mut Story, at: u64, stream: OperationId, unanswered: &[&str]) {
    let unanswered = unanswered.iter().map(|asked| (*asked).to_owned()).collect();
    story.point_of(at, "callers-1", stream, Point::StreamEnded { unanswered });
}

#[test]
fn swapped_answers_name_the_call_whose_answer_it_is() {
    let mut story = story();
    let one = call(&mut story, 20_000, "callers-1", "a", "b");
    let two = call(&mut story, 20_001, "callers-1", "b", "a");
    let first = format!("operation {one} on callers-1, begun at 20.000s, should have brought the answer to 'a'");
    let judgement = story.trips(&AnswersMatch, &[&first, &format!("to 'b', which operation {two} had asked")]);
    assert_eq!((judgement.findings.len(), judgement.judged), (2, 2));
    assert_eq!(judgement.findings[0].events.len(), 4, "the call, its return, and both answers");
}

#[test]
fn an_answer_that_nobody_had_asked_for_is_found() {
    let mut story = story();
    call(&mut story, 20_000, "callers-1", "a", "z");
    story.trips(&AnswersMatch, &["the answer to 'a'", "to 'z', whose caller got none"]);
}

#[test]
fn an_answer_that_comes_for_the_next_call_of_a_connection_is_found() {
    let mut story = story();
    let late = story.call(20_000, "callers-1", ms(1_000));
    story.fail(21_000, "callers-1", late, "Timeout");
    call(&mut story, 21_001, "callers-1", "b", "a");
    story.trips(&AnswersMatch, &["begun at 21.001s", "to 'a', whose caller got none"]);
}

#[test]
fn a_call_that_failed_owes_no_answer_and_its_late_one_harms_nobody() {
    let mut story = story();
    let late = story.call(20_000, "callers-1", ms(1_000));
    let operation = Operation::Handle { endpoint: "Users.Get".to_owned(), node: "u1".to_owned() };
    let handler = story.invoke_for(Some(late), 20_001, "users-1", operation);
    story.fail(21_000, "callers-1", late, "Timeout");
    call(&mut story, 21_001, "callers-1", "b", "b");
    story.answer(21_500, "users-1", handler, Answer::Done);
    story.passes(&AnswersMatch, 1);
}

#[test]
fn a_retried_call_that_two_nodes_answer_has_one_answer() {
    let mut story = story();
    let repeated = story.call(20_000, "callers-1", ms(1_000));
    for (attempt, id) in [(0, "u1"), (1, "u2")] {
        let at = 20_000 + u64::from(attempt) * 100;
        story.attempt(at, "callers-1", repeated, id, attempt, "random");
        let operation = Operation::Handle { endpoint: "Users.Get".to_owned(), node: id.to_owned() };
        let handler = story.invoke_for(Some(repeated), at + 1, "users-1", operation);
        story.answer(20_200, "users-1", handler, Answer::Done);
    }
    story.answer(20_203, "callers-1", repeated, Answer::Done);
    answer(&mut story, 20_203, "callers-1", repeated, Some("a"), "a");
    story.passes(&AnswersMatch, 1);
}

#[test]
fn two_hosts_may_be_answered_out_of_the_order_in_which_they_asked() {
    let mut story = story();
    let slow = story.call(20_000, "callers-1", ms(1_000));
    call(&mut story, 20_001, "callers-2", "b", "b");
    story.answer(20_900, "callers-1", slow, Answer::Done);
    answer(&mut story, 20_900, "callers-1", slow, Some("a"), "a");
    story.passes(&AnswersMatch, 2);
}

#[test]
fn a_stream_that_gives_everything_back_in_order_and_ends_is_right() {
    let mut story = story();
    let whole = stream(&mut story, 20_000, &["a", "b", "c"], &["a", "b", "c"]);
    ended(&mut story, 20_010, whole, &[]);
    story.passes(&AnswersMatch, 4);
}

#[test]
fn what_is_wrong_with_a_streams_messages_is_told_apart() {
    for (answered, sentence) in [
        (&["b", "a", "c"][..], "the answer to 'a', and at 20.002s brought the one to 'b' out of turn"),
        (&["a", "a", "c"], "the answer to 'b', and at 20.003s brought the one to 'a' again"),
        (&["a", "c", "d"], "the answer to 'b', and at 20.003s brought the one to 'c' out of turn"),
        (
            &["a", "b", "c", "c"],
            "the end, as every message had its answer, and at 20.005s brought the one to 'c' again",
        ),
        (&["a", "b", "c", "x"], "the end, as every message had its answer, and at 20.005s brought the one to 'x'"),
    ] {
        let mut story = story();
        stream(&mut story, 20_000, &["a", "b", "c"], answered);
        let judgement = story.judge(&AnswersMatch);
        let found = judgement.findings.iter().any(|finding| finding.sentence.contains(sentence));
        assert!(found, "'{sentence}' is not in {:#?}", judgement.findings);
    }
}

#[test]
fn a_message_that_never_comes_back_is_found_at_the_end() {
    let mut story = story();
    let short = stream(&mut story, 20_000, &["a"], &["a"]);
    ended(&mut story, 20_010, short, &["b", "c", "d"]);
    story.trips(&AnswersMatch, &["the answers to 'b' and 2 more before its end, which came in order at 20.010s"]);
}

#[test]
fn a_lost_message_is_told_once_and_named_at_the_end() {
    let mut story = story();
    let lossy = stream(&mut story, 20_000, &["a", "b", "c", "d"], &["a", "c", "d", "e"]);
    ended(&mut story, 20_010, lossy, &["e"]);
    let judgement = story.trips(&AnswersMatch, &["the answer to 'b'", "the one to 'c' out of turn"]);
    assert_eq!((judgement.findings.len(), judgement.judged), (2, 5));
    assert!(judgement.findings[1].sentence.contains("the answer to 'b' before its end"), "{judgement:?}");
}

#[test]
fn a_stream_that_a_crash_cuts_off_owes_nothing_more() {
    let mut story = story();
    stream(&mut story, 20_000, &["a", "b"], &["a", "b"]);
    story.crash(20_004, "users-1");
    story.passes(&AnswersMatch, 2);
}
