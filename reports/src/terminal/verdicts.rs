//! One line for each case, and under it one for each of its expectations.

use std::collections::BTreeSet;

use shaketable_sim::run::{CaseReport, NotApplied, OracleVerdict, RunReport, SweepReport};

use super::{case_title, counted, verdict_style, verdict_word};
use crate::{Cell, Columns, Palette};

/// The verdicts, in the order of the cases.
pub fn render_verdicts(report: &SweepReport, palette: Palette) -> String {
    let mut cases = Columns::indented(0);
    let mut expectations = Columns::indented(2);
    for case in &report.cases {
        cases.row(case_row(case, palette));
        for verdict in &case.verdicts {
            expectations.row(expectation_row(verdict, palette));
        }
        for apart in &case.not_applied {
            expectations.row(not_applied_row(apart, palette));
        }
    }
    // Two tables are woven into one, so that the lines of each align over all cases.
    let (cases, expectations) = (cases.render(), expectations.render());
    let mut expectations = expectations.lines();
    let mut text = String::new();
    for (case, line) in report.cases.iter().zip(cases.lines()) {
        for line in
            std::iter::once(line).chain(expectations.by_ref().take(case.verdicts.len() + case.not_applied.len()))
        {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn case_row(case: &CaseReport, palette: Palette) -> Vec<Cell> {
    let outcomes: Vec<&RunReport> = case.runs.iter().filter_map(|run| run.outcome.as_ref().ok()).collect();
    let digest = match outcomes.as_slice() {
        // A live run has no digest; it has a machine's servers.
        [first, ..] if first.digest.is_empty() => on(&first.backends),
        [only] if case.runs.len() == 1 => format!("digest {}", only.digest),
        _ => String::new(),
    };
    vec![
        Cell::new(case_title(&case.name, &case.overrides)).styled(palette.heading()),
        Cell::new(&case.file).styled(palette.faint()),
        Cell::new(&case.engine).styled(palette.faint()),
        Cell::new(seeds(case)).styled(palette.faint()),
        Cell::new(digest).styled(palette.faint()),
    ]
}

/// `seeds 0..20`, `seed 7`, or how many there are where they are no row.
pub(super) fn seeds(case: &CaseReport) -> String {
    match (case.runs.first(), case.runs.last()) {
        (Some(only), _) if case.runs.len() == 1 => format!("seed {}", only.seed),
        (Some(first), Some(last)) if last.seed - first.seed + 1 == case.runs.len() as u64 => {
            format!("seeds {}..{}", first.seed, last.seed + 1)
        }
        _ => counted(case.runs.len(), "seed"),
    }
}

fn on(backends: &[String]) -> String {
    if backends.is_empty() { "on no server".to_owned() } else { format!("on {}", backends.join(", ")) }
}

fn not_applied_row(apart: &NotApplied, palette: Palette) -> Vec<Cell> {
    vec![
        Cell::new(&apart.oracle),
        Cell::new("not applied").styled(palette.faint()),
        Cell::right("0"),
        Cell::new("judged"),
        Cell::new(&apart.reason),
    ]
}

fn expectation_row(verdict: &OracleVerdict, palette: Palette) -> Vec<Cell> {
    let seeds: BTreeSet<u64> = verdict.violations.iter().map(|violation| violation.seed).collect();
    let note = if seeds.is_empty() {
        String::new()
    } else {
        format!("{} at {}", counted(verdict.violations.len(), "finding"), counted(seeds.len(), "seed"))
    };
    vec![
        Cell::new(&verdict.oracle),
        Cell::new(verdict_word(verdict.verdict)).styled(verdict_style(verdict.verdict, palette)),
        Cell::right(verdict.judged.to_string()),
        Cell::new("judged"),
        Cell::new(note),
    ]
}
