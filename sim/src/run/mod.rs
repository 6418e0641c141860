//! Running scenarios: one (scenario, seed) in a process of its own, sweeps over many, and the token that replays one; and live
//! runs, which nothing replays.

mod backing;
mod cases;
mod child;
mod children;
mod copy;
mod live;
mod nursery;
mod replay;
mod result;
mod sweep;
mod timeline;
mod token;
mod world;

pub use cases::{Case, LoadError, LoadedCases, cases_of, load_cases};
pub use child::{Purpose, run_child_if_asked, serve_child};
pub use children::Children;
pub use live::{run_live, sweep_live};
pub use replay::replay;
pub use result::{
    CaseReport, Job, NotApplied, OracleVerdict, Run, RunFailure, RunReport, SweepReport, VERSION, Verdict, Violation,
};
pub use sweep::{Progress, Seeds, SweepRequest, case_name, judge_case, sweep};
pub use token::Token;
pub use world::run;
