//! What a person reads who has asked for a report of the benches: each contest with its verdict, the bad ones last, and why.

use anstyle::Style;

use super::compare::{Comparison, Verdict};
use super::markdown::takes;
use super::published::Published;
use super::words::ratio;
use crate::{Cell, Columns, Palette};

/// What has changed since a baseline.
pub fn render_comparison(comparison: &Comparison, palette: Palette) -> String {
    let mut columns = Columns::indented(2);
    // What matters most is read last, where the cursor stands.
    for verdict in Verdict::ALL.into_iter().rev() {
        let with_it = comparison.contests.iter().filter(|judged| judged.verdict == verdict);
        for judged in with_it {
            for (number, reason) in judged.reasons.iter().enumerate() {
                let (word, name) =
                    if number == 0 { (verdict.to_string(), judged.contest.clone()) } else { Default::default() };
                columns.row([Cell::new(word).styled(style(verdict, palette)), name.into(), reason.clone().into()]);
            }
        }
    }
    let mut text = columns.render();
    for change in &comparison.changes {
        text.push_str(&format!("  {} {change}\n", palette.paint(palette.doubtful(), "not as it was:")));
    }
    let counts = Verdict::ALL.into_iter().filter(|verdict| comparison.count(*verdict) > 0);
    let counts: Vec<String> = counts
        .map(|verdict| palette.paint(style(verdict, palette), &format!("{} {verdict}", comparison.count(verdict))))
        .collect();
    text.push_str(&format!("\n{}\n", counts.join(", ")));
    text
}

/// What everybody takes, and how ours compare; without a baseline there is no verdict.
pub fn render_figures(published: &Published, palette: Palette) -> String {
    let mut text = String::new();
    for contest in &published.contests {
        text.push_str(&format!("{}\n", palette.paint(palette.heading(), &contest.name())));
        let mut columns = Columns::indented(2);
        for ours in contest.ours() {
            columns.row([ours.name.clone().into(), Cell::right(takes(ours, contest.compared_by)), "".into()]);
            for pair in contest.ratios.iter().filter(|pair| pair.of == ours.name) {
                let beside = format!("beside {}", pair.to);
                columns.row([
                    Cell::new(beside).styled(palette.faint()),
                    "".into(),
                    ratio(pair.median, pair.interval).into(),
                ]);
            }
        }
        text.push_str(&columns.render());
    }
    text
}

fn style(verdict: Verdict, palette: Palette) -> Style {
    match verdict {
        Verdict::Worse => palette.bad(),
        Verdict::Noisy | Verdict::Gone => palette.doubtful(),
        Verdict::Better => palette.good(),
        Verdict::Same | Verdict::New => palette.faint(),
    }
}
