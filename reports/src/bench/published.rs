//! The figures that are published: what contests came to, without their turns, as `bench.json` says it. It is the baseline that
//! later figures are compared with. It judges nothing.

use serde::{Deserialize, Serialize};

use super::contest::{Clock, Contest, Ground, Once, Role, read_format};
use super::ratio::median_of_turns;

/// The format that is written and read here.
const FORMAT: u64 = 1;

/// Figures of all contests, by group and case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    format: u64,
    /// What contests were held on; each names its own by number.
    pub grounds: Vec<Ground>,
    /// In order of group and case.
    pub contests: Vec<Figures>,
}

/// What a contest came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Which bench it belongs to.
    pub group: String,
    /// Which piece of work.
    pub case: String,
    /// Which of the grounds it was held on, counted from 0.
    pub ground: usize,
    /// By which clock contenders are compared.
    pub compared_by: Clock,
    /// Whether the build was optimised.
    pub optimised: bool,
    /// What doing the work once brings.
    pub once: Once,
    /// How many turns everybody had.
    pub turns: usize,
    /// What everybody took.
    pub contenders: Vec<Took>,
    /// How ours compare with the others.
    pub ratios: Vec<Pair>,
}

/// What one contender took for doing the work once: the median of its turns, in nanoseconds. No verdict looks at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Took {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// By the wall clock.
    pub wall_ns: f64,
    /// Of the processor.
    pub cpu_ns: f64,
}

/// How many times as long one of ours takes as another contender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// One of ours.
    pub of: String,
    /// A peer or a limit.
    pub to: String,
    /// Which of both.
    pub role: Role,
    /// Of the turn in the middle.
    pub median: f64,
    /// The median lies between these two with 95 %.
    pub interval: Option<(f64, f64)>,
    /// The same with 99.5 %, by which changes are judged.
    pub wide_interval: Option<(f64, f64)>,
    /// Half of all turns lie within this distance of the median or nearer, as a share of it.
    pub spread: f64,
}

impl Published {
    /// The figures of `contests`.
    pub fn of(contests: &[Contest]) -> Self {
        let mut grounds: Vec<Ground> = contests.iter().map(|contest| contest.ground.clone()).collect();
        grounds.sort();
        grounds.dedup();
        let mut figures: Vec<Figures> = contests.iter().map(|contest| Figures::of(contest, &grounds)).collect();
        figures.sort_by(|one, other| (&one.group, &one.case).cmp(&(&other.group, &other.case)));
        Self { format: FORMAT, grounds, contests: figures }
    }

    /// The text of `bench.json`.
    ///
    /// # Errors
    /// When a figure is no number.
    pub fn text(&self) -> Result<String, String> {
        let text =
            serde_json::to_string_pretty(self).map_err(|error| format!("the figures cannot be written: {error}"))?;
        Ok(text + "\n")
    }

    /// Reads what [`text`](Self::text) has written.
    ///
    /// # Errors
    /// What is wrong with `text`, and the mend.
    pub fn read(text: &str) -> Result<Self, String> {
        let mend = "write it anew with `shaketable bench-report --write`";
        let published: Self = read_format(text, FORMAT, mend)?;
        let lost = published.contests.iter().find(|contest| contest.ground >= published.grounds.len());
        match lost {
            Some(contest) => {
                Err(format!("{} names ground {}, which is not there; {mend}", contest.name(), contest.ground))
            }
            None => Ok(published),
        }
    }

    /// What the contest was held on.
    pub(super) fn ground(&self, contest: &Figures) -> Option<&Ground> {
        self.grounds.get(contest.ground)
    }
}

impl Figures {
    fn of(contest: &Contest, grounds: &[Ground]) -> Self {
        let middle = |turns: &[f64]| significant(median_of_turns(turns).unwrap_or_default());
        let took = contest.contenders.iter().map(|one| Took {
            name: one.name.clone(),
            role: one.role,
            wall_ns: middle(&one.wall_ns),
            cpu_ns: middle(&one.cpu_ns),
        });
        let between = |interval: Option<(f64, f64)>| interval.map(|(low, high)| (significant(low), significant(high)));
        let pairs = contest.pairs().map(|(ours, other, ratio)| Pair {
            of: ours.name.clone(),
            to: other.name.clone(),
            role: other.role,
            median: significant(ratio.median),
            interval: between(ratio.interval),
            wide_interval: between(ratio.wide_interval),
            spread: significant(ratio.spread),
        });
        Self {
            group: contest.group.clone(),
            case: contest.case.clone(),
            ground: grounds.iter().position(|ground| *ground == contest.ground).unwrap_or_default(),
            compared_by: contest.compared_by,
            optimised: contest.optimised,
            once: contest.once.clone(),
            turns: contest.contenders.first().map_or(0, |first| first.wall_ns.len()),
            contenders: took.collect(),
            ratios: pairs.collect(),
        }
    }

    /// Its name in one word: group and case.
    pub fn name(&self) -> String {
        format!("{}/{}", self.group, self.case)
    }

    /// The names of ours, in order.
    pub(super) fn ours(&self) -> impl Iterator<Item = &Took> {
        self.contenders.iter().filter(|one| one.role == Role::Ours)
    }
}

/// Four significant figures: more would change with every run, and say nothing.
fn significant(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    let digits = 3 - number.abs().log10().floor() as i32;
    // A negative power would not be exact.
    match digits {
        0.. => (number * 10_f64.powi(digits)).round() / 10_f64.powi(digits),
        _ => (number / 10_f64.powi(-digits)).round() * 10_f64.powi(-digits),
    }
}

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn figures_have_four_digits() {
        let shown = [0.0, 1.234_56, 0.012_345_6, 83.404_9, 123_456.0].map(significant);
        assert_eq!(shown, [0.0, 1.235, 0.012_35, 83.4, 123_500.0]);
    }
}
