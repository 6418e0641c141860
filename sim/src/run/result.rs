//! What comes of runs: the model that renderers know, and nothing but data. Versioned; owned by no renderer and no engine.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::history::{Event, History, Moment};
use crate::oracle::Judgement;
use crate::trace::TraceEvent;

/// The version of this model; a reader refuses others.
pub const VERSION: u32 = 1;

/// What a process of its own is asked to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The scenario file's name, for messages.
    pub file: String,
    /// Its text.
    pub text: String,
    /// What is set differently, as in `registry=etcd,broker=memory`; empty for nothing.
    pub overrides: String,
    /// Decides everything that is left open.
    pub seed: u64,
    /// The engine's name.
    pub engine: String,
    /// Send the whole history and trace back, not only what proves findings.
    pub keep: bool,
}

/// What came of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// [`VERSION`].
    pub version: u32,
    /// The seed.
    pub seed: u64,
    /// Digest over trace and history: two runs are the same run when their digests are. Empty for a live run: there are no two
    /// that are the same.
    pub digest: String,
    /// What the oracles say, in their order.
    pub judgements: Vec<Judgement>,
    /// Expectations of the scenario that were not judged, each with the reason.
    #[serde(default)]
    pub not_applied: Vec<NotApplied>,
    /// The events that findings name, by sequence.
    pub proof: BTreeMap<u64, Event>,
    /// The real servers that a live run stood on.
    #[serde(default)]
    pub backends: Vec<String>,
    /// How long the world ran, in its own time.
    pub simulated: Moment,
    /// How many events the history has.
    pub events: u64,
    /// How many things passed through network streams.
    pub packets: u64,
    /// What a reader should know, such as why a lease was lost.
    pub notes: Vec<String>,
    /// The history, when it was asked for.
    pub history: Option<History>,
    /// The trace, when it was asked for.
    pub trace: Option<Vec<TraceEvent>>,
}

/// An expectation that was not judged: neither a pass nor a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotApplied {
    /// The expectation's name.
    pub oracle: String,
    /// Why it does not apply.
    pub reason: String,
}

/// Why a run gave no report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunFailure {
    /// The input is wrong; the text shows the place and the mend.
    BadInput(String),
    /// The harness, the engine or a backend broke, or a component went around its `Env`.
    Harness(String),
    /// It took longer in real time than the watchdog allows.
    TimedOut(Duration),
}

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// What came of it.
    pub outcome: Result<RunReport, RunFailure>,
    /// How long it took in real time.
    pub wall: Duration,
    /// The token that replays it with this build; empty for a live run, which nothing replays.
    pub token: String,
}

/// What a sweep says of one expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OracleVerdict {
    /// The expectation's name.
    pub oracle: String,
    /// What came of it.
    pub verdict: Verdict,
    /// How many things were judged, over all seeds.
    pub judged: u64,
    /// Findings by seed, the first seed first.
    pub violations: Vec<Violation>,
    /// Findings that only the whole sweep shows, and what is missing when there is too little evidence.
    pub pooled: Vec<String>,
}

/// A finding and where it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// The seed.
    pub seed: u64,
    /// What was expected and what happened.
    pub sentence: String,
    /// The events that prove it, by sequence.
    pub events: Vec<u64>,
}

/// A verdict, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// It held.
    Held,
    /// Too little was seen to say.
    TooLittleEvidence,
    /// It was violated.
    Violated,
    /// The harness or a backend failed.
    HarnessFailed,
}

impl Verdict {
    /// The exit code of a command that ends with this verdict. 2, bad input, is never a verdict.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Violated => 1,
            Self::HarnessFailed => 3,
            Self::TooLittleEvidence => 4,
        }
    }
}

/// One scenario under one set of overrides, over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The scenario file.
    pub file: String,
    /// The scenario's name.
    pub name: String,
    /// What was set differently; empty for nothing.
    pub overrides: String,
    /// The engine.
    pub engine: String,
    /// The runs, in the order of their seeds.
    pub runs: Vec<Run>,
    /// What the sweep says, by expectation.
    pub verdicts: Vec<OracleVerdict>,
    /// What was not judged, and why.
    #[serde(default)]
    pub not_applied: Vec<NotApplied>,
    /// The worst of the verdicts, or of the runs' failures.
    pub verdict: Verdict,
}

/// What came of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepReport {
    /// [`VERSION`].
    pub version: u32,
    /// The program that ran it, as one writes it on a command line.
    pub program: String,
    /// The cases, in the order in which they were asked for.
    pub cases: Vec<CaseReport>,
    /// Cases or seeds were left out because the time limit was reached or a first failure ended the sweep.
    pub cut_short: Option<String>,
}

impl SweepReport {
    /// The worst verdict: a violation is worse than too little evidence, a failure of the harness is worse than both.
    pub fn verdict(&self) -> Verdict {
        self.cases.iter().map(|case| case.verdict).max().unwrap_or(Verdict::TooLittleEvidence)
    }
}
