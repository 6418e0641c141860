//! `replay`: one run again, as a failure's last line says.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use shaketable_reports::terminal;
use shaketable_sim::run::{Token, replay};
use shaketable_stack::plugin::Plugins;

use crate::progress::Stopwatch;
use crate::target::time_span;
use crate::{Output, Stop};

const EXAMPLES: &str = "\
Example:
  shaketable replay st1:5d1f… scenarios/registry/churn.yaml

The token carries the seed, the engine, what was set differently, and digests of the scenario and of this program. Where
one of them is another, nothing runs and the exit code is 2: it would be another run.";

/// Run one failing seed again, exactly.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The token of the failure's `replay:` line
    token: Token,
    /// The scenario file
    file: PathBuf,
    /// End the run after this much real time
    #[arg(long, value_name = "TIME", value_parser = time_span, default_value = "2m")]
    run_timeout: Duration,
}

pub(crate) fn run(arguments: &Arguments, plugins: &Plugins, output: &Output) -> Result<u8, Stop> {
    let stopwatch = Stopwatch::start();
    let report = replay(&arguments.token, &arguments.file, plugins, arguments.run_timeout).map_err(Stop::BadInput)?;
    output.print(&terminal::render(&report, stopwatch.elapsed(), output.palette()));
    Ok(report.verdict().exit_code())
}
