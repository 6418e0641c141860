//! What comes of judging a plugin by numbered requirements: the model that renderers know, and nothing but data. It knows no
//! requirement, no plugin and no world.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::history::Event;
use crate::run::Verdict;

/// The version of this model; a reader refuses others.
pub const VERSION: u32 = 1;

/// What came of judging one plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// [`VERSION`].
    pub version: u32,
    /// The words that judge again, as one writes them on a command line, without what chooses a check and a seed.
    pub command: Vec<String>,
    /// The interface.
    pub interface: String,
    /// The plugin.
    pub plugin: String,
    /// Where it was judged: `engine event`, `live`.
    pub world: String,
    /// The seeds of the simulator; none in a live world.
    pub seeds: Vec<u64>,
    /// The weathers of the simulator.
    pub weathers: Vec<String>,
    /// The requirements, in the order of their ids.
    pub rows: Vec<Row>,
}

/// What came of one requirement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its id, as in `REG-012`.
    pub id: String,
    /// `MUST`, `SHOULD` or `MAY`.
    pub level: String,
    /// The sentence.
    pub sentence: String,
    /// The times, shares and counts by which its check decides, where it has some of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<String>,
    /// Where it comes from.
    pub source: String,
    /// The check's name.
    pub check: String,
    /// What came of it.
    pub status: Status,
    /// Why: of what is not applicable, known or unknown.
    pub reason: Option<String>,
    /// How many checks ran: seeds times weathers.
    pub checks: u64,
    /// What was found, the first seed first.
    pub failures: Vec<CheckFailure>,
    /// Real time that the checks took together.
    pub took: Duration,
}

/// One check that did not pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckFailure {
    /// The seed; none in a live world.
    pub seed: Option<u64>,
    /// The weather; none in a live world.
    pub weather: Option<String>,
    /// What the requirement makes one expect.
    pub expected: String,
    /// What happened.
    pub observed: String,
    /// The last events before it.
    pub events: Vec<Event>,
}

/// What came of one requirement, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Upheld.
    Pass,
    /// It presumes what the plugin or the world does not have.
    NotApplicable,
    /// Not upheld, and it need not be: a MAY.
    Noted,
    /// Not upheld, and the author knows it.
    ExpectedFailure,
    /// A SHOULD that is not upheld.
    Warn,
    /// Too little was seen to judge.
    Unknown,
    /// Listed as a known failure, and upheld or not applicable: the entry is stale.
    UnexpectedPass,
    /// A MUST that is not upheld.
    Fail,
    /// The harness, the world or a backend broke.
    Error,
}

impl Status {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Pass,
        Self::NotApplicable,
        Self::Noted,
        Self::ExpectedFailure,
        Self::Warn,
        Self::Unknown,
        Self::UnexpectedPass,
        Self::Fail,
        Self::Error,
    ];

    /// What people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NotApplicable => "n/a",
            Self::Noted => "noted",
            Self::ExpectedFailure => "expected failure",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::UnexpectedPass => "unexpected pass",
            Self::Fail => "FAIL",
            Self::Error => "ERROR",
        }
    }

    /// What it means for the whole.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Pass | Self::NotApplicable | Self::Noted | Self::ExpectedFailure | Self::Warn => Verdict::Held,
            Self::Unknown => Verdict::TooLittleEvidence,
            Self::UnexpectedPass | Self::Fail => Verdict::Violated,
            Self::Error => Verdict::HarnessFailed,
        }
    }
}

impl VerifyReport {
    /// The worst of the rows.
    pub fn verdict(&self) -> Verdict {
        self.rows.iter().map(|row| row.status.verdict()).max().unwrap_or(Verdict::TooLittleEvidence)
    }

    /// How many rows have come to `status`.
    pub fn count(&self, status: Status) -> usize {
        self.rows.iter().filter(|row| row.status == status).count()
    }

    /// How many checks ran.
    pub fn checks(&self) -> u64 {
        self.rows.iter().map(|row| row.checks).sum()
    }
}
