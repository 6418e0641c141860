//! A contest as benches keep it, a file for each: what `bench/room` writes and what the report reads is this one type, so that
//! they cannot drift apart. It knows neither where the files are nor how turns are taken.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ratio::Ratio;

/// The format that is written and read here. It changes when a program that reads the former one would be misled.
const FORMAT: u64 = 1;

/// What contenders took for doing the same work by turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contest {
    format: u64,
    /// Which bench it belongs to, such as `selector`.
    pub group: String,
    /// Which piece of work, such as `pick/1000`.
    pub case: String,
    /// Where it was held.
    pub ground: Ground,
    /// By which clock contenders are compared.
    pub compared_by: Clock,
    /// Whether the build was optimised; what another one takes says nothing.
    pub optimised: bool,
    /// What doing the work once brings.
    pub once: Once,
    /// Who took part, in the order in which they entered.
    pub contenders: Vec<Contender>,
    /// How ours compare with the others, for programs that want no statistics of their own.
    pub ratios: Vec<Compared>,
}

/// What a contest was held on and with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    /// On which cores, such as `core 1`.
    pub place: String,
    /// What stands between a caller and what it calls, such as `in process`.
    pub kind: String,
    /// The machine.
    pub machine: Machine,
    /// What was measured.
    pub versions: Versions,
}

/// What the figures were got on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its name, or the architecture where nobody tells.
    pub processor: String,
    /// Processors that the bench may use at once.
    pub cores: usize,
    /// Its release.
    pub kernel: String,
}

/// What was measured, and built with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// Of this project.
    pub shaketable: String,
    /// As the compiler says it.
    pub rustc: String,
    /// Of the crates that the benches use, peers among them, as they are locked.
    pub crates: BTreeMap<String, String>,
}

/// Which time is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clock {
    /// The processor's: where everything is done on one core, it is what passes while nobody else has that core.
    #[serde(rename = "CPU")]
    Cpu,
    /// The wall's: where threads wait for each other.
    #[serde(rename = "wall")]
    Wall,
}

/// What doing the work once brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Once {
    /// How much of it.
    pub amount: usize,
    /// Of what.
    pub unit: String,
}

/// What a contender is in the contest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Of this project.
    Ours,
    /// What somebody may use instead.
    Peer,
    /// The least that the work can cost, as far as anybody knows.
    Limit,
}

/// A contender, and what it took for doing the work once, turn by turn, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contender {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// By the wall clock.
    pub wall_ns: Vec<f64>,
    /// Of the processor.
    pub cpu_ns: Vec<f64>,
}

/// How many times as long one of ours takes as another contender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// One of ours.
    pub of: String,
    /// A peer or a limit.
    pub to: String,
    /// Of the turn in the middle.
    pub median: f64,
    /// The median lies between these two with 95 %.
    pub interval: Option<(f64, f64)>,
}

impl Clock {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Wall => "wall",
        }
    }
}

impl Contender {
    /// What it took by `clock`, turn by turn, in nanoseconds.
    pub fn of(&self, clock: Clock) -> &[f64] {
        match clock {
            Clock::Cpu => &self.cpu_ns,
            Clock::Wall => &self.wall_ns,
        }
    }
}

impl Contest {
    /// The contest `group`/`case`, held on `ground`.
    pub fn new(
        (group, case): (&str, &str),
        ground: Ground,
        compared_by: Clock,
        once: Once,
        contenders: Vec<Contender>,
    ) -> Self {
        let mut contest = Self {
            format: FORMAT,
            group: group.to_owned(),
            case: case.to_owned(),
            ground,
            compared_by,
            optimised: true,
            once,
            contenders,
            ratios: Vec::new(),
        };
        let compared = |(ours, other, ratio): (&Contender, &Contender, Ratio)| Compared {
            of: ours.name.clone(),
            to: other.name.clone(),
            median: ratio.median,
            interval: ratio.interval,
        };
        contest.ratios = contest.pairs().map(compared).collect();
        contest
    }

    /// Its name in one word: group and case.
    pub fn name(&self) -> String {
        format!("{}/{}", self.group, self.case)
    }

    /// Each of ours with each of the others, and how they compare by the contest's clock.
    pub fn pairs(&self) -> impl Iterator<Item = (&Contender, &Contender, Ratio)> {
        let ours = self.contenders.iter().filter(|one| one.role == Role::Ours);
        let others = || self.contenders.iter().filter(|one| one.role != Role::Ours);
        ours.flat_map(move |ours| others().map(move |other| (ours, other))).filter_map(|(ours, other)| {
            Some((ours, other, Ratio::of(ours.of(self.compared_by), other.of(self.compared_by))?))
        })
    }

    /// The text that is kept.
    ///
    /// # Errors
    /// When a figure is no number.
    pub fn text(&self) -> Result<String, String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| format!("{}: {error}", self.name()))?;
        Ok(text + "\n")
    }

    /// Reads what [`text`](Self::text) has written.
    ///
    /// # Errors
    /// What is wrong with `text`, and the mend.
    pub fn read(text: &str) -> Result<Self, String> {
        let contest: Self = read_format(text, FORMAT, "run that bench again with `cargo bench`")?;
        let turns = contest.contenders.first().map_or(0, |first| first.wall_ns.len());
        for contender in &contest.contenders {
            for (field, figures) in [("wall_ns", &contender.wall_ns), ("cpu_ns", &contender.cpu_ns)] {
                if figures.is_empty() || figures.len() != turns {
                    let (name, length) = (&contender.name, figures.len());
                    return Err(format!(
                        "contender '{name}': {field} has {length} turns where others have {turns}; run that bench again"
                    ));
                }
                if let Some(wrong) = figures.iter().find(|figure| !(figure.is_finite() && **figure > 0.0)) {
                    let name = &contender.name;
                    return Err(format!(
                        "contender '{name}': {field} says {wrong} ns, which no work takes; run that bench again"
                    ));
                }
            }
        }
        if contest.pairs().next().is_none() {
            return Err("there is none of ours beside another contender, and so nothing to compare".to_owned());
        }
        Ok(contest)
    }
}

/// Reads JSON whose field `format` is `wanted`; `mend` is what one does about another one, or about half a text.
pub(super) fn read_format<T: serde::de::DeserializeOwned>(text: &str, wanted: u64, mend: &str) -> Result<T, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let what = if error.is_eof() { "the text is cut off" } else { "it is no JSON" };
        format!("{what}: {error}; {mend}")
    })?;
    match value.get("format").map(Value::as_u64) {
        Some(Some(format)) if format == wanted => {}
        Some(Some(format)) if format > wanted => {
            return Err(format!(
                "its format is {format}, and this program knows {wanted}: a newer one wrote it; use that, or {mend}"
            ));
        }
        Some(Some(format)) => return Err(format!("its format is {format}, and this program knows {wanted}; {mend}")),
        Some(None) => return Err(format!("field `format` is no whole number; {mend}")),
        None => return Err(format!("it says no `format`: a program of before formats had numbers wrote it; {mend}")),
    }
    serde_json::from_value(value).map_err(|error| format!("{error}; {mend}"))
}
