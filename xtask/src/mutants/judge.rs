//! One mutant judged by the conformance suite: by the interface of its module first, by those that rest on it next, then by
//! its own with more seeds in all weathers. It stops at the first requirement that is not upheld.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::list::Mutant;
use super::reach::Reached;
use super::verify::{Places, Report, Verify, verify};

/// What came of a mutant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Verdict {
    /// Its name, as cargo-mutants has it.
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// Which plugin told, by which requirement, and what was seen; empty when it survived.
    pub(super) by: String,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// A requirement is not upheld.
    Caught,
    /// The check's process, or the suite's, breaks down: a panic, no plugin, nothing that applies.
    Broke,
    /// Something hangs.
    TimedOut,
    /// Every requirement is upheld.
    Survived,
    /// Survived, and no check even passes it.
    Unreached,
}

impl Outcome {
    pub(super) fn is_caught(self) -> bool {
        matches!(self, Self::Caught | Self::Broke | Self::TimedOut)
    }
}

/// Judges `mutant`, which has this `number`; when it is to be `brief` in calm weather alone.
pub(super) fn judge(program: &Path, number: usize, mutant: &Mutant, reached: &[Reached], brief: bool) -> Verdict {
    let verdict = |outcome, by: String| Verdict { name: mutant.name.clone(), outcome, by };
    if !reached.iter().any(|reached| reached.all.contains(&number)) {
        return verdict(Outcome::Unreached, String::new());
    }
    let stages = [(true, Places::First), (false, Places::First), (true, Places::All)];
    for (own, places) in stages.into_iter().take(if brief { 2 } else { 3 }) {
        let mut plugins: Vec<(&str, &str)> = Vec::new();
        let concerned: Vec<&Reached> = reached
            .iter()
            .filter(|reached| (reached.interface == mutant.module()) == own)
            .filter(|reached| if places == Places::First { &reached.first } else { &reached.all }.contains(&number))
            .collect();
        for reached in &concerned {
            let plugin = (reached.interface.as_str(), reached.plugin.as_str());
            if !plugins.contains(&plugin) {
                plugins.push(plugin);
            }
        }
        for (interface, plugin) in plugins {
            let of_plugin =
                concerned.iter().filter(|reached| reached.interface == interface && reached.plugin == plugin);
            let asked = Verify {
                only: of_plugin.map(|reached| reached.requirement.clone()).collect(),
                places,
                mutant: Some(number),
                ..Verify::whole(interface, plugin)
            };
            let told = match verify(program, &asked) {
                Ok(Some(report)) => told(&report),
                Ok(None) => Some((Outcome::TimedOut, "the suite does not end".to_owned())),
                Err(why) => Some((Outcome::Broke, why)),
            };
            if let Some((outcome, by)) = told {
                return verdict(outcome, format!("{interface} {plugin}: {by}"));
            }
        }
    }
    verdict(Outcome::Survived, String::new())
}

/// What the worst row of `report` says.
fn told(report: &Report) -> Option<(Outcome, String)> {
    let row = report.rows.iter().find(|row| row.is_bad())?;
    let first = row.failures.first();
    let observed = first.map_or("", |failure| failure.observed.as_str());
    let place = first.map(|failure| (failure.weather.as_deref().unwrap_or_default(), failure.seed.unwrap_or_default()));
    let (weather, seed) = place.unwrap_or_default();
    let outcome = match row.status.as_str() {
        "error" => Outcome::Broke,
        // What `verify` says of a check that its deadline has ended.
        _ if observed.contains("the process was still running") => Outcome::TimedOut,
        _ => Outcome::Caught,
    };
    Some((outcome, format!("{} ({weather}, seed {seed}): {observed}", row.id)))
}
