//! The project's chores: `cargo xtask ci` runs what CI runs, `cargo xtask soak` looks for seeds that break a scenario,
//! `cargo xtask spec` and `cargo xtask kills` write down the conformance suite, `cargo xtask peers` judges plugins of other
//! origin, `cargo xtask mutants` judges the suite itself, `cargo xtask figures` publishes what a bench has measured. They
//! start cargo and our own binary, and know nothing of what these do.

#![forbid(unsafe_code)]

mod ci;
mod failures;
mod figures;
mod kills;
mod mutants;
mod peers;
mod soak;
mod spec;
mod step;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Formatting, lints and all tests, as CI runs them
    Ci,
    /// Run the scenarios over many seeds; with --conformance, the conformance suite instead
    Soak(soak::Arguments),
    /// Write what each interface requires to conformance/spec
    Spec,
    /// Write which faulty plugin breaks which requirement to reports/published
    Kills,
    /// Judge plugins of other origin, and write what they fail to reports/published
    Peers(peers::Arguments),
    /// Judge the conformance suite by mutants of the reference stack, and write which survive to reports/published
    Mutants(mutants::Arguments),
    /// Write what the last `cargo bench` has measured to reports/published
    Figures,
}

fn main() -> ExitCode {
    match Arguments::parse().chore {
        Chore::Ci => ci::run(),
        Chore::Soak(arguments) => soak::run(&arguments),
        Chore::Spec => spec::run(),
        Chore::Kills => kills::run(),
        Chore::Peers(arguments) => peers::run(&arguments),
        Chore::Mutants(arguments) => mutants::run(&arguments),
        Chore::Figures => figures::run(),
    }
}
