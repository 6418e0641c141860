//! For a terminal.

use std::time::Duration;

use anstyle::Style;
use shaketable_sim::history::Event;
use shaketable_sim::run::Verdict;
use shaketable_sim::verification::{Row, Status, VerifyReport};

use super::{again, counts, to_show};
use crate::time::duration_in_words;
use crate::{Cell, Columns, Palette, describe};

/// The levels, in the order in which they bind.
const LEVELS: [&str; 3] = ["MUST", "SHOULD", "MAY"];

/// The report: a table by level, what is not upheld, one line that sums it up. `elapsed` is the real time that it took.
pub fn render(report: &VerifyReport, elapsed: Duration, palette: Palette) -> String {
    let mut text = table(report, palette);
    for row in to_show(report) {
        text.push('\n');
        text.push_str(&render_row(report, row, palette));
    }
    text.push('\n');
    text.push_str(&summary(report, elapsed, palette));
    text
}

fn table(report: &VerifyReport, palette: Palette) -> String {
    let mut columns = Columns::default();
    columns.row(["ID", "LEVEL", "STATUS", "REQUIREMENT"].map(|name| Cell::new(name).styled(palette.faint())));
    for level in LEVELS {
        for row in report.rows.iter().filter(|row| row.level == level) {
            let status = Cell::new(row.status.as_str()).styled(style(row.status, palette));
            let reason = match (row.status, &row.reason) {
                (Status::NotApplicable, Some(reason)) => format!("{} [{reason}]", row.sentence),
                _ => row.sentence.clone(),
            };
            columns.row([Cell::new(&row.id), Cell::new(&row.level), status, Cell::new(reason)]);
        }
    }
    columns.render()
}

/// One requirement that is not upheld: its sentence, what was expected and observed, the events before it, and the line
/// that checks it again.
pub fn render_row(report: &VerifyReport, row: &Row, palette: Palette) -> String {
    let title = format!("{} {} {}: {}", row.status.as_str(), row.id, row.level, row.sentence);
    let mut text = format!("{}\n", palette.paint(style(row.status, palette), &title));
    if let Some(tolerance) = &row.tolerance {
        text.push_str(&format!("  allowed:  {tolerance}\n"));
    }
    text.push_str(&format!("  source:   {}\n", row.source));
    if let Some(reason) = &row.reason {
        text.push_str(&format!("  reason:   {}\n", reason.replace('\n', "\n            ")));
    }
    let Some(failure) = row.failures.first() else { return text };
    let place = match (failure.seed, &failure.weather) {
        (Some(seed), Some(weather)) => format!(" (seed {seed}, weather {weather})"),
        _ => String::new(),
    };
    text.push_str(&format!("  expected: {}\n  observed: {}{place}\n", failure.expected, failure.observed));
    text.push_str(&events(&failure.events, palette));
    if row.failures.len() > 1 {
        text.push_str(&format!("  and in {} of {} other checks\n", row.failures.len() - 1, row.checks - 1));
    }
    text.push_str(&format!("  again:    {}\n", again(report, row, failure)));
    text
}

fn events(events: &[Event], palette: Palette) -> String {
    if events.is_empty() {
        return String::new();
    }
    let mut columns = Columns::indented(4);
    for event in events {
        columns.row([
            Cell::right(event.at.to_string()).styled(palette.faint()),
            Cell::new(&*event.host),
            Cell::new(describe(event)),
        ]);
    }
    columns.render()
}

fn summary(report: &VerifyReport, elapsed: Duration, palette: Palette) -> String {
    let verdict = report.verdict();
    let (word, style) = match verdict {
        Verdict::Held => ("upheld", palette.good()),
        Verdict::TooLittleEvidence => ("too little evidence", palette.doubtful()),
        Verdict::Violated => ("NOT UPHELD", palette.bad()),
        Verdict::HarnessFailed => ("HARNESS FAILED", palette.bad()),
    };
    let checks = report.checks();
    let plural = if checks == 1 { "" } else { "s" };
    format!(
        "{}: {} '{}' ({}): {}; {checks} check{plural} in {}\n",
        palette.paint(style, word),
        report.interface,
        report.plugin,
        report.world,
        counts(report),
        duration_in_words(elapsed),
    )
}

fn style(status: Status, palette: Palette) -> Style {
    match status {
        Status::Pass => palette.good(),
        Status::NotApplicable | Status::Noted | Status::ExpectedFailure => palette.faint(),
        Status::Warn | Status::Unknown => palette.doubtful(),
        Status::UnexpectedPass | Status::Fail | Status::Error => palette.bad(),
    }
}
