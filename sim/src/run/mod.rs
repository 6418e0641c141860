//! Running scenarios: one (scenario, seed) in a process of its own, sweeps over many, and the token that replays one.

mod result;

pub use result::{
    CaseReport, Job, OracleVerdict, Run, RunFailure, RunReport, SweepReport, VERSION, Verdict, Violation,
};
