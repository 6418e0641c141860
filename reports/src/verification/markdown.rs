//! In Markdown, for a pull request or a page.

use shaketable_sim::verification::{Row, Status, VerifyReport};

use super::{again, counts, to_show};
use crate::describe;

/// The report.
pub fn markdown(report: &VerifyReport) -> String {
    let mut text = format!("# {} `{}`: {}\n\n", report.interface, report.plugin, counts(report));
    let how = match report.seeds.len() {
        0 => String::new(),
        count => format!(", {count} seed{}, weather {}", if count == 1 { "" } else { "s" }, report.weathers.join(", ")),
    };
    text.push_str(&format!("Judged by shaketable ({}{how}); {} checks.\n\n", report.world, report.checks()));
    text.push_str("| requirement | level | status | sentence |\n|---|---|---|---|\n");
    for row in &report.rows {
        let status = match row.status {
            Status::Fail | Status::Error | Status::UnexpectedPass => format!("**{}**", row.status.as_str()),
            status => status.as_str().to_owned(),
        };
        let reason = match (row.status, &row.reason) {
            (Status::NotApplicable | Status::ExpectedFailure, Some(reason)) => format!(" *({})*", cell(reason)),
            _ => String::new(),
        };
        text.push_str(&format!("| {} | {} | {status} | {}{reason} |\n", row.id, row.level, cell(&row.sentence)));
    }
    for row in to_show(report) {
        text.push_str(&failure(report, row));
    }
    text
}

fn failure(report: &VerifyReport, row: &Row) -> String {
    let mut text = format!("\n## {}: {} {}\n\n{}\n\n", row.status.as_str(), row.id, row.level, row.sentence);
    if let Some(tolerance) = &row.tolerance {
        text.push_str(&format!("- allowed: {tolerance}\n"));
    }
    text.push_str(&format!("- source: {}\n", row.source));
    if let Some(reason) = &row.reason {
        text.push_str(&format!("- reason: {}\n", reason.replace('\n', " ")));
    }
    let Some(first) = row.failures.first() else { return text };
    text.push_str(&format!("- expected: {}\n- observed: {}\n", first.expected, first.observed));
    text.push_str(&format!("- again: `{}`\n", again(report, row, first)));
    if !first.events.is_empty() {
        text.push_str("\n```text\n");
        for event in &first.events {
            text.push_str(&format!("{} {} {}\n", event.at, event.host, describe(event)));
        }
        text.push_str("```\n");
    }
    text
}

/// `text` within a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', r"\|").replace('\n', " ")
}
