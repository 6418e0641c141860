//! The report of a sweep for a terminal: options first, a line for each expectation, failures last, and one line that
//! sums it up. A failure is an oracle's sentence, the events that prove it, and the command that replays it.

mod failures;
mod summary;
mod verdicts;

#[cfg(test)]
mod tests;

use std::time::Duration;

use shaketable_sim::run::{SweepReport, Verdict};

use crate::{Cell, Columns, Palette};

pub use failures::render_failures;
pub use summary::render_summary;
pub use verdicts::render_verdicts;

/// What was asked for, one line per option; printed before anything runs, so that a run that never ends can be
/// explained.
pub fn render_options(options: &[(&str, String)], palette: Palette) -> String {
    let mut columns = Columns::indented(0);
    for (name, value) in options {
        columns.row([Cell::new(*name).styled(palette.faint()), Cell::new(value)]);
    }
    columns.render()
}

/// What came of a sweep: verdicts, failures, summary. `elapsed` is the real time that the sweep took.
pub fn render(report: &SweepReport, elapsed: Duration, palette: Palette) -> String {
    let mut text = render_verdicts(report, palette);
    let failures = render_failures(report, palette);
    if !failures.is_empty() {
        text.push('\n');
        text.push_str(&failures);
    }
    text.push('\n');
    text.push_str(&render_summary(report, elapsed, palette));
    text
}

/// The word for a verdict.
pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Held => "held",
        Verdict::TooLittleEvidence => "too little evidence",
        Verdict::Violated => "VIOLATED",
        Verdict::HarnessFailed => "HARNESS FAILED",
    }
}

/// The case as one names it: `churn [registry=etcd]`.
pub fn case_title(name: &str, overrides: &str) -> String {
    if overrides.is_empty() { name.to_owned() } else { format!("{name} [{overrides}]") }
}

fn verdict_style(verdict: Verdict, palette: Palette) -> anstyle::Style {
    match verdict {
        Verdict::Held => palette.good(),
        Verdict::TooLittleEvidence => palette.doubtful(),
        Verdict::Violated | Verdict::HarnessFailed => palette.bad(),
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `text` with every line after the first moved right by `indent`.
fn hanging(text: &str, indent: usize) -> String {
    text.trim_end().replace('\n', &format!("\n{}", " ".repeat(indent)))
}
