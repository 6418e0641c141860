//! Figures, and what has changed, for programs.

use serde_json::{Value, json};

use super::compare::{Comparison, Judged};
use super::published::Published;

/// The figures as `bench.json` has them, and beside them what has changed, when they were compared.
///
/// # Errors
/// When a figure is no number.
pub fn json(published: &Published, comparison: Option<&Comparison>) -> Result<String, String> {
    let figures = serde_json::to_value(published).map_err(|error| format!("the figures cannot be written: {error}"))?;
    let judged = |judged: &Judged| json!({ "contest": judged.contest, "verdict": judged.verdict.to_string(), "reasons": judged.reasons });
    let comparison = comparison.map_or(Value::Null, |comparison| {
        json!({
            "worse": comparison.is_worse(), "changes": comparison.changes,
            "contests": comparison.contests.iter().map(judged).collect::<Vec<_>>(),
        })
    });
    Ok(format!("{:#}\n", json!({ "figures": figures, "comparison": comparison })))
}
