//! What has changed since a baseline: a verdict for each contest, with the reason. Ratios are judged and no absolute time,
//! since a machine that others share is a third slower from one second to the next while ratios within a turn stay. A change
//! is one when it is certain to be larger than the noise: a false alarm is worse than a late one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::contest::Ground;
use super::published::{Figures, Pair, Published};
use super::words::percent;

/// A smaller change than this share is none, however certain: code that is linked elsewhere is slower or faster by as much.
pub const TOLERANCE: f64 = 0.05;

/// What has become of a contest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// One of ours takes longer than it took beside the same others.
    Worse,
    /// Whether something has changed cannot be told.
    Noisy,
    /// One of ours takes less time, and none takes longer.
    Better,
    /// There is no change of twice the tolerance, or only others have changed.
    Same,
    /// The baseline has no such contest.
    New,
    /// The baseline alone has it.
    Gone,
}

/// A contest with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Group and case.
    pub contest: String,
    /// What has become of it.
    pub verdict: Verdict,
    /// Why, a sentence for each thing that speaks for it.
    pub reasons: Vec<String>,
}

/// All contests, of both sides, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// In order of their names.
    pub contests: Vec<Judged>,
    /// What else is not as it was: kernel, compiler, versions of crates. It may be why, and is no excuse.
    pub changes: Vec<String>,
}

impl Verdict {
    /// All of them, the worst first.
    pub const ALL: [Self; 6] = [Self::Worse, Self::Noisy, Self::Better, Self::Same, Self::New, Self::Gone];
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Worse => "worse",
            Self::Noisy => "too noisy to say",
            Self::Better => "better",
            Self::Same => "same",
            Self::New => "new",
            Self::Gone => "gone",
        })
    }
}

impl Comparison {
    /// Of `new` figures with those of a `baseline`. A change by a share of `tolerance` is none.
    pub fn of(new: &Published, baseline: &Published, tolerance: f64) -> Self {
        let by_name = |published: &Published| -> BTreeMap<String, Figures> {
            published.contests.iter().map(|contest| (contest.name(), contest.clone())).collect()
        };
        let (new_contests, mut old_contests) = (by_name(new), by_name(baseline));
        let mut judged: Vec<Judged> = Vec::new();
        for (contest, figures) in &new_contests {
            let (verdict, reasons) = match old_contests.remove(contest) {
                Some(old) => match incomparable((new, figures), (baseline, &old)) {
                    Some(why) => (Verdict::Noisy, vec![why]),
                    None => judge(figures, &old, tolerance),
                },
                None => (Verdict::New, vec!["the baseline has no such contest".to_owned()]),
            };
            judged.push(Judged { contest: contest.clone(), verdict, reasons });
        }
        let gone = |contest| Judged {
            contest,
            verdict: Verdict::Gone,
            reasons: vec!["the baseline has it, and these figures have not".to_owned()],
        };
        judged.extend(old_contests.into_keys().map(gone));
        judged.sort_by(|one, other| one.contest.cmp(&other.contest));
        Self { contests: judged, changes: changes(new, baseline) }
    }

    /// How many contests have `verdict`.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.contests.iter().filter(|judged| judged.verdict == verdict).count()
    }

    /// Whether something is worse, beyond noise.
    pub fn is_worse(&self) -> bool {
        self.count(Verdict::Worse) > 0
    }

    /// Whether not one contest could be judged.
    pub fn says_nothing(&self) -> bool {
        [Verdict::Worse, Verdict::Better, Verdict::Same].iter().all(|verdict| self.count(*verdict) == 0)
    }
}

/// Why figures of two contests of the same name cannot be compared, if so.
fn incomparable(
    (new_published, new): (&Published, &Figures),
    (old_published, old): (&Published, &Figures),
) -> Option<String> {
    let (here, there) = (new_published.ground(new)?, old_published.ground(old)?);
    let differs = |what: &str, new: &str, old: &str| {
        (new != old).then(|| format!("the baseline was got with another {what}, {old} instead of {new}"))
    };
    if !new.optimised || !old.optimised {
        return Some("one of both builds was not optimised; use what `cargo bench` has kept".to_owned());
    }
    differs("processor", &here.machine.processor, &there.machine.processor)
        .or_else(|| differs("number of cores", &here.machine.cores.to_string(), &there.machine.cores.to_string()))
        .or_else(|| differs("kind of ground", &here.kind, &there.kind))
        .or_else(|| differs("clock", new.compared_by.name(), old.compared_by.name()))
}

/// What figures were got with that the baseline was not: each with its former and its present name or version.
fn changes(new: &Published, baseline: &Published) -> Vec<String> {
    let told = |published: &Published| {
        let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for Ground { machine, versions, .. } in &published.grounds {
            let crates = versions.crates.iter().map(|(name, version)| (name.clone(), version));
            let own = [
                ("kernel", &machine.kernel),
                ("processor", &machine.processor),
                ("rustc", &versions.rustc),
                ("shaketable", &versions.shaketable),
            ];
            for (what, version) in own.map(|(what, version)| (what.to_owned(), version)).into_iter().chain(crates) {
                told.entry(what).or_default().insert(version.clone());
            }
        }
        told
    };
    let (here, mut there) = (told(new), told(baseline));
    let all = |versions: &BTreeSet<String>| versions.iter().cloned().collect::<Vec<_>>().join(" and ");
    let changed = here.iter().filter_map(|(what, versions)| {
        let former = there.remove(what)?;
        (former != *versions).then(|| format!("{what}: {}, in the baseline {}", all(versions), all(&former)))
    });
    changed.collect()
}

/// What has become of one ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Worse,
    Better,
    Same,
    Unclear,
}

/// The verdict over a contest that both have. If one of ours has become slower, it has so beside everybody; where it has
/// beside a few only, those have become faster.
fn judge(new: &Figures, old: &Figures, tolerance: f64) -> (Verdict, Vec<String>) {
    let (mut verdict, mut reasons) = (Verdict::Same, Vec::new());
    for ours in new.ours() {
        let both: Vec<(&Pair, &Pair)> = new
            .ratios
            .iter()
            .filter(|pair| pair.of == ours.name)
            .filter_map(|pair| Some((pair, old.ratios.iter().find(|old| old.of == pair.of && old.to == pair.to)?)))
            .collect();
        if both.is_empty() {
            reasons.push(format!("{} meets nobody here whom it met in the baseline", ours.name));
            continue;
        }
        let changes: Vec<Change> = both.iter().map(|(new, old)| change(new, old, tolerance)).collect();
        let count = |wanted: Change| changes.iter().filter(|change| **change == wanted).count();
        let most = |count: usize| 2 * count > both.len();
        let of = if most(count(Change::Worse)) {
            Verdict::Worse
        } else if most(count(Change::Better)) {
            Verdict::Better
        } else if 2 * count(Change::Unclear) >= both.len() {
            Verdict::Noisy
        } else {
            Verdict::Same
        };
        for ((new, old), change) in both.iter().zip(&changes) {
            let told = match (of, change) {
                (_, Change::Same) => continue,
                (Verdict::Same, Change::Worse) => "; it is the other one that has become faster",
                (Verdict::Same, Change::Better) => "; it is the other one that has become slower",
                (Verdict::Noisy, _) | (Verdict::Worse, Change::Worse) | (Verdict::Better, Change::Better) => "",
                _ => continue,
            };
            reasons.push(format!("{}{told}", sentence(new, old)));
        }
        verdict = verdict.min(of);
    }
    if reasons.is_empty() {
        reasons.push(format!("no ratio has changed by {} or more", percent(2.0 * tolerance)));
    }
    (verdict, reasons)
}

/// How the new ratio lies to the old one.
fn change(new: &Pair, old: &Pair, tolerance: f64) -> Change {
    let Some((low, high)) = factor(new, old) else { return Change::Unclear };
    // What half of the baseline's turns strayed by is noise, if it is more.
    let noise = 1.0 + tolerance.max(old.spread);
    let resolved = 1.0 + 2.0 * tolerance;
    if low > noise {
        Change::Worse
    } else if high < 1.0 / noise {
        Change::Better
    } else if low > 1.0 / resolved && high < resolved {
        Change::Same
    } else {
        Change::Unclear
    }
}

/// Between which factors the ratio has changed, with 99 %; nothing where there were too few turns.
fn factor(new: &Pair, old: &Pair) -> Option<(f64, f64)> {
    let ((new_low, new_high), (old_low, old_high)) = (new.wide_interval?, old.wide_interval?);
    Some((new_low / old_high, new_high / old_low))
}

fn sentence(new: &Pair, old: &Pair) -> String {
    let change = match factor(new, old) {
        Some((low, high)) => format!("changed by a factor of {low:.2} to {high:.2}"),
        None => "too few turns to say more".to_owned(),
    };
    format!("{} takes {:.2} times as long as {}, and took {:.2}: {change}", new.of, new.median, new.to, old.median)
}
