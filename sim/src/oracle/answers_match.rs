//! `answers_match`: each answer is for the request that was asked; the messages of a stream come back complete, in order, none
//! twice and none after the last. Judged on what callers got: a call that failed, or a stream that broke, owes nothing more.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Edge, History, OperationId, Point};

use super::findings::Findings;
use super::operations::{Operations, Run, Stamp};
use super::{Facts, Judgement, Oracle};

/// A wrong answer says more than a missing one.
const WRONG: u64 = 1;
/// See [`WRONG`].
const MISSING: u64 = 0;

/// The oracle. It judges every answer that a load got, and every end of a stream.
#[derive(Debug)]
pub(super) struct AnswersMatch;

impl Oracle for AnswersMatch {
    fn name(&self) -> &'static str {
        "answers_match"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        facts.scenario.expect.answers_match?;
        let operations = Operations::of(history);
        let asked = Asked::of(history);
        let (mut findings, mut judged) = (Findings::default(), 0);
        // On a stream a wrong answer puts every later one out of turn.
        let mut told = BTreeSet::new();
        for event in &history.events {
            let (Edge::Point(point), Some(id)) = (&*event.edge, event.operation) else { continue };
            let stamp = Stamp::of(event);
            let found = match point {
                Point::Answered { answered: None, .. } => None,
                Point::Answered { asked: own, answered: Some(answered) } => told.insert(id).then(|| {
                    let (happened, other) = asked.explain(id, stamp, answered);
                    let expected = match own {
                        Some(own) => format!("the answer to '{own}'"),
                        None => "the end, as every message had its answer".to_owned(),
                    };
                    (WRONG, format!("should have brought {expected}, and at {} brought {happened}", stamp.at), other)
                }),
                Point::StreamEnded { unanswered } => asked.missing(id, unanswered).map(|missing| {
                    let what =
                        format!("should have brought {missing} before its end, which came in order at {}", stamp.at);
                    (MISSING, what, None)
                }),
                _ => continue,
            };
            judged += 1;
            if let Some((clarity, what, other)) = found {
                let run = operations.get(id);
                let begun = run.map(|run| format!(", begun at {}", run.invoked.at)).unwrap_or_default();
                let proof = run.into_iter().flat_map(proof).chain(other).chain([stamp.sequence]);
                findings.add(clarity, format!("operation {id} on {}{begun}, {what}", event.host), proof);
            }
        }
        Some(findings.judgement(self.name(), judged))
    }
}

fn proof(run: Run<'_>) -> impl Iterator<Item = u64> {
    [run.invoked.sequence].into_iter().chain(run.returned.map(|returned| returned.sequence))
}

/// What was asked and got some answer, and what was answered: each where it was first.
#[derive(Default)]
struct Asked<'a> {
    owners: BTreeMap<&'a str, (OperationId, Stamp)>,
    asked: BTreeMap<OperationId, Vec<&'a str>>,
    answers: BTreeMap<(OperationId, &'a str), Stamp>,
}

impl<'a> Asked<'a> {
    fn of(history: &'a History) -> Self {
        let mut asked = Self::default();
        for event in &history.events {
            if let (Edge::Point(Point::Answered { asked: own, answered }), Some(id)) = (&*event.edge, event.operation) {
                let stamp = Stamp::of(event);
                if let Some(answered) = answered.as_ref().or(own.as_ref()) {
                    asked.answers.entry((id, answered)).or_insert(stamp);
                }
                if let Some(own) = own {
                    asked.owners.entry(own).or_insert((id, stamp));
                    asked.asked.entry(id).or_default().push(own);
                }
            }
        }
        asked
    }

    /// What the stream `id` asked and never got an answer to, in words.
    fn missing(&self, id: OperationId, unanswered: &[String]) -> Option<String> {
        let asked = self.asked.get(&id).into_iter().flatten().copied().chain(unanswered.iter().map(String::as_str));
        let mut missing = asked.filter(|asked| !self.answers.contains_key(&(id, *asked)));
        let first = missing.next()?;
        Some(match missing.count() {
            0 => format!("the answer to '{first}'"),
            rest => format!("the answers to '{first}' and {rest} more"),
        })
    }

    /// What it means that `answered` came in operation `id` at `now`, and the event that shows whose it is.
    fn explain(&self, id: OperationId, now: Stamp, answered: &str) -> (String, Option<u64>) {
        let earlier = self.answers.get(&(id, answered)).filter(|first| first.sequence < now.sequence);
        if let Some(first) = earlier {
            return (format!("the one to '{answered}' again"), Some(first.sequence));
        }
        match self.owners.get(answered) {
            None => (format!("the one to '{answered}', whose caller got none"), None),
            Some((owner, at)) if *owner != id => {
                (format!("the one to '{answered}', which operation {owner} had asked"), Some(at.sequence))
            }
            Some((_, at)) => (format!("the one to '{answered}' out of turn"), Some(at.sequence)),
        }
    }
}
