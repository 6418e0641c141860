//! What CI runs. `.ci/run` prepares the machine and calls this; nothing is checked in one place only.

use std::process::ExitCode;

use crate::step::cargo;

/// Seeds of each scenario file; `cargo test` alone takes 3.
const SEEDS: &str = "20";

/// Mutants of the reference by which the conformance suite is judged; two of three compile.
const MUTANTS: &str = "45";

/// Formatting, lints, all tests, a sample of mutants; the first that fails ends it.
pub(crate) fn run() -> ExitCode {
    let seeds = std::env::var("SHAKETABLE_SEEDS").unwrap_or_else(|_| SEEDS.to_owned());
    let steps = || {
        cargo(&["fmt", "--all", "--check"], &[])?;
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], &[])?;
        cargo(&["test", "--workspace", "--no-fail-fast"], &[("SHAKETABLE_SEEDS", &seeds)])?;
        cargo(&["run", "--quiet", "--package", "xtask", "--", "mutants", "--sample", MUTANTS, "--brief"], &[])
    };
    match steps() {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}
