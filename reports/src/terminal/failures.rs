//! What did not hold, each with what proves it and the command that shows it again.

use std::collections::BTreeMap;

use shaketable_sim::history::Event;
use shaketable_sim::run::{CaseReport, OracleVerdict, Run, RunFailure, RunReport, SweepReport, Verdict, Violation};

use super::{case_title, counted, hanging};
use crate::describe::operation_column;
use crate::time::duration_in_words;
use crate::{Cell, Columns, Palette, describe, live_line, replay_line, sweep_line};

/// How many findings of the first failing seed are shown whole.
const FINDINGS_MAX: usize = 3;
/// How many seeds a list names.
const SEEDS_MAX: usize = 10;

/// The failures, in the order of the cases: violations, what could not be said, what could not be run.
pub fn render_failures(report: &SweepReport, palette: Palette) -> String {
    let mut parts = Vec::new();
    for case in &report.cases {
        for verdict in &case.verdicts {
            match verdict.verdict {
                Verdict::Held => {}
                Verdict::TooLittleEvidence => parts.push(too_little(case, verdict, palette)),
                Verdict::Violated | Verdict::HarnessFailed => parts.push(violated(report, case, verdict, palette)),
            }
        }
        parts.extend(run_failures(report, case, palette));
    }
    parts.join("\n")
}

fn violated(report: &SweepReport, case: &CaseReport, verdict: &OracleVerdict, palette: Palette) -> String {
    let title = format!("VIOLATED {}: {}", case_title(&case.name, &case.overrides), verdict.oracle);
    let mut text = format!("{}\n", palette.paint(palette.bad(), &title));
    for sentence in &verdict.pooled {
        text.push_str(&format!("  over all seeds: {}\n", hanging(sentence, 4)));
    }
    let Some(first) = verdict.violations.first() else {
        text.push_str(&format!("  again: {}\n", sweep_line(&report.program, case)));
        return text;
    };
    let run = case.runs.iter().find(|run| run.seed == first.seed);
    let outcome = run.and_then(|run| run.outcome.as_ref().ok());
    let of_seed: Vec<&Violation> = verdict.violations.iter().filter(|other| other.seed == first.seed).collect();
    for violation in of_seed.iter().take(FINDINGS_MAX) {
        text.push_str(&format!("  seed {}: {}\n", violation.seed, hanging(&violation.sentence, 4)));
        if let Some(outcome) = outcome {
            text.push_str(&proof(outcome, &violation.events, palette));
        }
    }
    text.push_str(&more(verdict, first.seed, of_seed.len()));
    for note in outcome.map(|outcome| outcome.notes.as_slice()).unwrap_or_default() {
        text.push_str(&format!("  note: {}\n", hanging(note, 4)));
    }
    if let Some(outcome) = outcome.filter(|outcome| !outcome.digest.is_empty()) {
        text.push_str(&format!("  digest: {}, and the same when it is replayed\n", outcome.digest));
    }
    if let Some(run) = run {
        text.push_str(&again(report, case, run));
    }
    text
}

/// How the run is made once more.
fn again(report: &SweepReport, case: &CaseReport, run: &Run) -> String {
    if run.token.is_empty() {
        let line = live_line(&report.program, case, run.seed);
        return format!("  no replay: real time and real sockets decide a live run, too\n  once more: {line}\n");
    }
    format!("  replay: {}\n", replay_line(&report.program, &run.token, &case.file))
}

/// The events that prove a finding.
fn proof(outcome: &RunReport, sequences: &[u64], palette: Palette) -> String {
    let events: Vec<&Event> = sequences.iter().filter_map(|sequence| outcome.proof.get(sequence)).collect();
    if events.is_empty() {
        return String::new();
    }
    let mut columns = Columns::indented(4);
    columns.row(["TIME", "HOST", "OPERATION", "WHAT"].map(|name| Cell::new(name).styled(palette.faint())));
    for event in events {
        columns.row([
            Cell::right(event.at.to_string()),
            Cell::new(&*event.host),
            Cell::new(operation_column(event.operation, event.cause)),
            Cell::new(describe(event)),
        ]);
    }
    columns.render()
}

/// What is not shown.
fn more(verdict: &OracleVerdict, shown_seed: u64, findings_of_seed: usize) -> String {
    let mut text = String::new();
    if findings_of_seed > FINDINGS_MAX {
        let rest = findings_of_seed - FINDINGS_MAX;
        text.push_str(&format!("  and {} more at this seed\n", counted(rest, "finding")));
    }
    let mut others: Vec<u64> = verdict.violations.iter().map(|violation| violation.seed).collect();
    others.retain(|seed| *seed != shown_seed);
    others.dedup();
    if !others.is_empty() {
        text.push_str(&format!("  also at {}\n", name_seeds(&others)));
    }
    text
}

fn name_seeds(seeds: &[u64]) -> String {
    let named: Vec<String> = seeds.iter().take(SEEDS_MAX).map(u64::to_string).collect();
    let rest = seeds.len() - named.len();
    let tail = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    format!("seed{} {}{tail}", if seeds.len() == 1 { "" } else { "s" }, named.join(", "))
}

fn too_little(case: &CaseReport, verdict: &OracleVerdict, palette: Palette) -> String {
    let title = format!("TOO LITTLE EVIDENCE {}: {}", case_title(&case.name, &case.overrides), verdict.oracle);
    let mut text = format!("{}\n", palette.paint(palette.doubtful(), &title));
    text.push_str(&format!("  judged {}: nothing can be said of it\n", verdict.judged));
    for sentence in &verdict.pooled {
        text.push_str(&format!("  {}\n", hanging(sentence, 4)));
    }
    text.push_str("  mend: more seeds (--seeds), a longer `shake` phase, or a load and faults that lead to it\n");
    text
}

/// Runs without a report, those with the same reason together.
fn run_failures(report: &SweepReport, case: &CaseReport, palette: Palette) -> Option<String> {
    let mut by_reason: BTreeMap<String, Vec<&Run>> = BTreeMap::new();
    for run in &case.runs {
        if let Err(failure) = &run.outcome {
            by_reason.entry(reason(failure)).or_default().push(run);
        }
    }
    let mut text = String::new();
    for (reason, runs) in by_reason {
        let seeds: Vec<u64> = runs.iter().map(|run| run.seed).collect();
        let title = format!("NO RESULT {}: {}", case_title(&case.name, &case.overrides), name_seeds(&seeds));
        text.push_str(&format!("{}\n  {}\n", palette.paint(palette.bad(), &title), hanging(&reason, 2)));
        text.push_str(&again(report, case, runs[0]));
    }
    (!text.is_empty()).then_some(text)
}

fn reason(failure: &RunFailure) -> String {
    match failure {
        RunFailure::BadInput(text) => format!("the input is wrong:\n{text}"),
        RunFailure::Harness(text) => format!("the harness or a backend failed: {text}"),
        RunFailure::TimedOut(limit) => format!(
            "it was still running after {} of real time and was ended; a busy loop, or a limit that is too short \
             (--run-timeout)",
            duration_in_words(*limit)
        ),
    }
}
