//! The soak: every case of the scenarios over as many seeds as one asks for, in a release build.

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
    /// Start no further run after this much real time, such as 30m
    #[arg(long)]
    time_limit: Option<String>,
}

/// Runs it; the exit code is that of `shaketable run`.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let seeds = arguments.seeds.to_string();
    let mut words = vec!["run", "--release", "--quiet", "--package", "shaketable-command", "--", "run"];
    words.extend(arguments.files.iter().map(String::as_str));
    words.extend(["--seeds", &seeds]);
    if let Some(limit) = &arguments.time_limit {
        words.extend(["--time-limit", limit]);
    }
    match cargo(&words, &[]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}
