//! The report on a plugin: a table by level, what is not upheld with its proof, and the line that checks it again. For a
//! terminal, in Markdown, and as JUnit and JSON for programs.

mod junit;
mod markdown;
mod terminal;
#[cfg(test)]
mod tests;

use shaketable_sim::verification::{CheckFailure, Row, Status, VerifyReport};

use crate::quote;

pub use junit::junit;
pub use markdown::markdown;
pub use terminal::{render as pretty, render_row};

/// The whole report for programs.
pub fn json(report: &VerifyReport) -> String {
    let text = serde_json::to_string_pretty(report).unwrap_or_default();
    format!("{text}\n")
}

/// The report in every format that is meant for a file, by extension.
pub fn files(report: &VerifyReport) -> [(&'static str, String); 3] {
    [("json", json(report)), ("xml", junit(report)), ("md", markdown(report))]
}

/// The command that makes one check again, with the seed and the weather that failed.
pub fn again(report: &VerifyReport, row: &Row, failure: &CheckFailure) -> String {
    let mut words: Vec<String> = report.command.iter().map(|word| quote(word)).collect();
    words.extend(["--only".to_owned(), row.id.clone()]);
    if let Some(seed) = failure.seed {
        words.extend(["--seed".to_owned(), seed.to_string()]);
    }
    if let Some(weather) = &failure.weather {
        words.extend(["--weather".to_owned(), quote(weather)]);
    }
    words.join(" ")
}

/// `40 requirements: 38 pass, 2 n/a`.
fn counts(report: &VerifyReport) -> String {
    let total = report.rows.len();
    let counted: Vec<String> = Status::ALL
        .into_iter()
        .map(|status| (report.count(status), status))
        .filter(|(count, _)| *count > 0)
        .map(|(count, status)| format!("{count} {}", status.as_str()))
        .collect();
    format!("{total} requirement{}: {}", if total == 1 { "" } else { "s" }, counted.join(", "))
}

/// The rows that a person must look at, expected failures first, the worst last.
fn to_show(report: &VerifyReport) -> Vec<&Row> {
    let shown = |row: &&Row| !matches!(row.status, Status::Pass | Status::NotApplicable);
    let mut rows: Vec<&Row> = report.rows.iter().filter(shown).collect();
    rows.sort_by_key(|row| row.status);
    rows
}
