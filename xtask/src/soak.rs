//! The soak: every case of the scenarios over as many seeds as one asks for, on every engine, in a release build, or every
//! plugin of the reference under the conformance suite. What holds on one engine must hold on the other.

use std::process::ExitCode;

use clap::Args;

use crate::step::cargo;

/// What to soak.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Seeds of each case
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Scenario files or folders
    #[arg(long, num_args = 1.., default_value = "scenarios")]
    files: Vec<String>,
    /// The engine; every engine by default
    #[arg(long)]
    engine: Option<String>,
    /// Judge every plugin of the reference by the conformance suite with as many seeds, and run no scenario; without this the
    /// scenarios run, and the suite does not
    #[arg(long, conflicts_with_all = ["files", "engine", "time_limit"])]
    conformance: bool,
    /// Start no further run after this much real time, such as 30m
    #[arg(long)]
    time_limit: Option<String>,
}

/// All engines, the default first.
const ENGINES: [&str; 2] = ["event", "turmoil"];

/// Runs it; the exit code is the first of `shaketable run` that is not 0.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let seeds = arguments.seeds.to_string();
    if arguments.conformance {
        let words = ["test", "--release", "-p", "shaketable-fixtures", "--test", "conformance", "--", "reference::"];
        return cargo(&words, &[("SHAKETABLE_SEEDS", &seeds)]).err().unwrap_or(ExitCode::SUCCESS);
    }
    let engines = arguments.engine.as_deref().map_or(ENGINES.to_vec(), |engine| vec![engine]);
    for engine in engines {
        let mut words = vec!["run", "--release", "--quiet", "--package", "shaketable-command", "--", "run"];
        words.extend(arguments.files.iter().map(String::as_str));
        words.extend(["--seeds", &seeds, "--engine", engine]);
        if let Some(limit) = &arguments.time_limit {
            words.extend(["--time-limit", limit]);
        }
        if let Err(code) = cargo(&words, &[]) {
            return code;
        }
    }
    ExitCode::SUCCESS
}
