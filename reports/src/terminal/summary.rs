//! The last line: what came of it all.

use std::time::Duration;

use shaketable_sim::run::{SweepReport, Verdict};

use super::{counted, verdict_style, verdict_word};
use crate::Palette;
use crate::time::duration_in_words;

/// One line with the verdict, the counts, simulated and real time; before it, why something was left out.
pub fn render_summary(report: &SweepReport, elapsed: Duration, palette: Palette) -> String {
    let mut text = String::new();
    if let Some(why) = &report.cut_short {
        text.push_str(&format!("{}\n", palette.paint(palette.doubtful(), &format!("cut short: {why}"))));
    }
    let runs = || report.cases.iter().flat_map(|case| &case.runs);
    let simulated: Duration =
        runs().filter_map(|run| run.outcome.as_ref().ok()).map(|run| run.simulated.since_start()).sum();
    let failed = runs().filter(|run| run.outcome.is_err()).count();
    let count = |wanted: Verdict| {
        report.cases.iter().flat_map(|case| &case.verdicts).filter(|verdict| verdict.verdict == wanted).count()
    };
    let not_applied: usize = report.cases.iter().map(|case| case.not_applied.len()).sum();
    let mut counts = vec![format!("{} held", count(Verdict::Held))];
    for (verdict, words) in [(Verdict::Violated, "violated"), (Verdict::TooLittleEvidence, "with too little evidence")]
    {
        let count = count(verdict);
        if count > 0 {
            counts.push(format!("{count} {words}"));
        }
    }
    if not_applied > 0 {
        counts.push(format!("{not_applied} not applied"));
    }
    if failed > 0 {
        counts.push(format!("{} without a result", counted(failed, "run")));
    }
    let verdict = report.verdict();
    let is_live = runs().any(|run| run.token.is_empty());
    let lasted = if is_live { "live" } else { "simulated" };
    text.push_str(&format!(
        "{}: {}, {}, {} {lasted} in {}; expectations: {}\n",
        palette.paint(verdict_style(verdict, palette), verdict_word(verdict)),
        counted(report.cases.len(), "case"),
        counted(runs().count(), "run"),
        duration_in_words(simulated),
        duration_in_words(elapsed),
        counts.join(", "),
    ));
    text
}
