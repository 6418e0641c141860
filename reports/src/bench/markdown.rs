//! The figures as a page, `bench.md`, that a repository shows: what they were got on and with, and a table of ratios for each
//! group. A verdict is no part of it; that is for whoever compares.

use std::fmt::Write as _;

use super::contest::{Clock, Ground, Role};
use super::published::{Figures, Published, Took};
use super::words::{nanoseconds, ratio};

/// Said first, whatever was measured.
const HEAD: &str = "\
# What it costs

Written by `shaketable bench-report` of what `cargo bench` has measured; [docs/benches.md](../../docs/benches.md) says what is
measured and how to read it. A ratio says how many times as long ours takes as the contender of its column, and lies with 95 %
between the two numbers behind it; below 1 ours is faster. *Limit* is the least that the work can cost as far as we know.
";

/// The page. `chart` is the file of the chart, as the page names it.
pub fn markdown(published: &Published, chart: &str) -> String {
    let mut text = HEAD.to_owned();
    if published.contests.iter().any(|contest| !contest.optimised) {
        text.push_str("\n**Some of it was built without optimisation, so that its figures say nothing.**\n");
    }
    let _ = write!(text, "\n![The ratios of all contests]({chart})\n\n{}", grounds(&published.grounds));
    let mut groups: Vec<&str> = published.contests.iter().map(|contest| contest.group.as_str()).collect();
    groups.dedup();
    for group in groups {
        let _ = write!(text, "\n## {group}\n");
        let contests: Vec<&Figures> = published.contests.iter().filter(|contest| contest.group == group).collect();
        text.push_str(&tables(&contests, published.grounds.len() > 1));
    }
    text
}

fn grounds(grounds: &[Ground]) -> String {
    let mut text = String::new();
    for (number, Ground { place, kind, machine, versions }) in grounds.iter().enumerate() {
        let _ = writeln!(
            text,
            "- {}: {kind}, on {place}; {}, {} cores, Linux {}; shaketable {}, {}",
            number + 1,
            machine.processor,
            machine.cores,
            machine.kernel,
            versions.shaketable,
            versions.rustc
        );
    }
    let mut all: Vec<String> = Vec::new();
    for Ground { versions, .. } in grounds {
        all.extend(versions.crates.iter().map(|(name, version)| format!("{name} {version}")));
    }
    all.sort();
    all.dedup();
    let _ = write!(text, "\nWith {}.\n", all.join(", "));
    text
}

/// A table for all contests in which the same others take part.
fn tables(contests: &[&Figures], numbered: bool) -> String {
    let others = |contest: &Figures| -> Vec<(String, Role)> {
        let others = contest.contenders.iter().filter(|one| one.role != Role::Ours);
        others.map(|one| (one.name.clone(), one.role)).collect()
    };
    let mut kinds: Vec<Vec<(String, Role)>> = Vec::new();
    for contest in contests {
        let kind = others(contest);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut text = String::new();
    for kind in kinds {
        let name = |(name, role): &(String, Role)| match role {
            Role::Limit => format!("{} (limit)", escaped(name)),
            Role::Ours | Role::Peer => escaped(name),
        };
        let mut head = vec!["work".to_owned(), "ours".to_owned(), "takes".to_owned()];
        head.extend(kind.iter().map(name));
        let _ = write!(text, "\n| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
        for contest in contests.iter().filter(|contest| others(contest) == kind) {
            for ours in contest.ours() {
                let case =
                    if numbered { format!("{} [{}]", contest.case, contest.ground + 1) } else { contest.case.clone() };
                let mut cells = vec![escaped(&case), escaped(&ours.name), takes(ours, contest.compared_by)];
                cells.extend(kind.iter().map(|(other, _)| {
                    let pair = contest.ratios.iter().find(|pair| pair.of == ours.name && pair.to == *other);
                    pair.map_or_else(String::new, |pair| ratio(pair.median, pair.interval))
                }));
                let _ = writeln!(text, "| {} |", cells.join(" | "));
            }
        }
    }
    text
}

/// What one of ours takes, by the clock that compares.
pub(super) fn takes(ours: &Took, clock: Clock) -> String {
    match clock {
        Clock::Cpu => format!("{} CPU", nanoseconds(ours.cpu_ns)),
        Clock::Wall => nanoseconds(ours.wall_ns),
    }
}

/// A text that ends no cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
