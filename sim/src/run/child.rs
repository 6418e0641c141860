//! What a process does that has been started for runs or checks: a copy of it serves each. [`Children`](super::Children) starts
//! it.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use serde::Serialize;
use shaketable_stack::plugin::Plugins;

use super::nursery;
use super::result::{Job, RunFailure};
use crate::determinism::activate;

/// What a process may be started again for, by the variable that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// One run of a scenario.
    Run,
    /// One check of a plugin.
    Check,
}

impl Purpose {
    /// Set in the environment of a process that is started for it.
    pub(super) fn variable(self) -> &'static str {
        match self {
            Self::Run => "SHAKETABLE_CHILD_RUN",
            Self::Check => "SHAKETABLE_CHILD_CHECK",
        }
    }
}

/// Does what a parent process of this program has asked for, if it has. To be called first in `main`, before anything asks
/// the system for randomness; a program that gets an exit code must end with it.
pub fn run_child_if_asked(plugins: &Plugins) -> Option<ExitCode> {
    serve_child(Purpose::Run, |input| {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let job: Job = serde_json::from_slice(input)
                .map_err(|error| RunFailure::Harness(format!("failed to read the job: {error}")))?;
            super::world::run(&job, plugins)
        }));
        outcome.unwrap_or_else(|_| Err(RunFailure::Harness("the run panicked; see above".to_owned())))
    })
}

/// Does `work` with what a parent has written, if one has asked for it, and gives it the answer. Meanwhile the interposition is
/// active.
pub fn serve_child<T: Serialize>(purpose: Purpose, work: impl FnOnce(&[u8]) -> T) -> Option<ExitCode> {
    std::env::var_os(purpose.variable())?;
    let asked = match nursery::wait_for_jobs() {
        Ok(Some(asked)) => asked,
        Ok(None) => std::process::exit(0),
        Err(error) => {
            eprintln!("failed to wait for jobs: {error}");
            std::process::exit(1);
        }
    };
    let guard = activate(asked.seed);
    let outcome = work(&asked.job);
    drop(guard);
    let written = serde_json::to_vec(&outcome).map_err(std::io::Error::other).and_then(|bytes| asked.answer(&bytes));
    Some(if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
