//! `success_rate` and `latency`: how calls fared, by the phase in which they began, in simulated time. Calls that their
//! own host's crash or the end of the run cut off are not counted: nobody waited for their answer any more.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::{History, Operation, OperationId};

use super::findings::{Findings, clarity, text};
use super::operations::{Operations, Run, Stamp};
use super::{Facts, Judgement, Oracle};

/// Shares of successful calls and streams.
#[derive(Debug)]
pub(super) struct SuccessRate;

/// Quantiles of the latency of successful calls.
#[derive(Debug)]
pub(super) struct Latency;

impl Oracle for SuccessRate {
    fn name(&self) -> &'static str {
        "success_rate"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        let bounds = &facts.scenario.expect.success_rate;
        if bounds.is_empty() {
            return None;
        }
        let operations = Operations::of(history);
        let (mut findings, mut judged) = (Findings::default(), u64::MAX);
        for bound in bounds {
            let mut calls = 0;
            let failed: Vec<(Run<'_>, Stamp)> = returned_in(&operations, facts, &bound.phase, true)
                .inspect(|_| calls += 1)
                .filter(|(run, _)| run.succeeded().is_none())
                .collect();
            judged = judged.min(calls as u64);
            let share = share(calls - failed.len(), calls);
            if calls == 0 || share >= bound.at_least {
                continue;
            }
            let mut kinds = BTreeMap::<&str, usize>::new();
            for failure in failed.iter().filter_map(|(run, _)| run.result.and_then(Result::err)) {
                *kinds.entry(&failure.kind).or_default() += 1;
            }
            let mut kinds: Vec<(&str, usize)> = kinds.into_iter().collect();
            kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(*count), *kind));
            let kinds: Vec<String> = kinds.iter().take(3).map(|(kind, count)| format!("{count} {kind}")).collect();
            findings.add(
                failed.len() as u64,
                format!(
                    "at least {:.2}% of the calls in {} should have succeeded; {} of {} did ({:.2}%), the first failure at {} \
                     on {}; failures: {}",
                    bound.at_least * 100.0,
                    bound.phase,
                    calls - failed.len(),
                    calls,
                    share * 100.0,
                    failed[0].1.at,
                    failed[0].0.host,
                    kinds.join(", ")
                ),
                failed.iter().take(3).flat_map(|(run, returned)| [run.invoked.sequence, returned.sequence]),
            );
        }
        Some(findings.judgement(self.name(), judged))
    }
}

impl Oracle for Latency {
    fn name(&self) -> &'static str {
        "latency"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        let bounds = &facts.scenario.expect.latency;
        if bounds.is_empty() {
            return None;
        }
        let operations = Operations::of(history);
        let (mut findings, mut judged) = (Findings::default(), u64::MAX);
        for bound in bounds {
            let mut calls: Vec<(Duration, OperationId)> = returned_in(&operations, facts, &bound.phase, false)
                .filter(|(run, _)| run.succeeded().is_some())
                .map(|(run, returned)| (returned.at.since(run.invoked.at), run.id))
                .collect();
            calls.sort_unstable();
            judged = judged.min(calls.len() as u64);
            let Some((took, id)) = calls.get(nearest_rank(bound.quantile, calls.len())) else { continue };
            let Some((run, returned)) = operations.get(*id).and_then(|run| Some((run, run.returned?))) else {
                continue;
            };
            if *took <= bound.at_most {
                continue;
            }
            findings.add(
                clarity(*took - bound.at_most),
                format!(
                    "the {} quantile of the latency of successful calls in {} should have been at most {}; it was {} among {} \
                     calls, the one of {} at {}",
                    bound.quantile,
                    bound.phase,
                    text(bound.at_most),
                    text(*took),
                    calls.len(),
                    run.host,
                    run.invoked.at
                ),
                [run.invoked.sequence, returned.sequence],
            );
        }
        Some(findings.judgement(self.name(), judged))
    }
}

/// Calls that began in `phase` and have returned.
fn returned_in<'a>(
    operations: &Operations<'a>,
    facts: &Facts,
    phase: &str,
    streams: bool,
) -> impl Iterator<Item = (Run<'a>, Stamp)> {
    let span = facts.phase(phase).cloned();
    operations.iter().filter_map(move |run| {
        let span = span.as_ref()?;
        let counts = match run.operation {
            Operation::Call { .. } => true,
            Operation::Stream { .. } => streams,
            _ => false,
        };
        let began = run.invoked.at;
        (counts && span.start <= began && began < span.end).then_some(())?;
        Some((run, run.returned?))
    })
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// The index of the `quantile` among `count` sorted values, by nearest rank: the smallest that is not below that share
/// of all.
fn nearest_rank(quantile: f64, count: usize) -> usize {
    // Half a millionth takes back what binary fractions add: 0.07 × 100 is 7.000000000000001.
    let rank = (quantile * count as f64 - 5e-7).ceil();
    (rank as usize).clamp(1, count.max(1)) - 1
}
