//! What CI runs. `.ci/run` prepares the machine and calls this; nothing is checked in one place only.

mod aborted;
mod left;

use std::process::ExitCode;

use crate::step::{cargo, cargo_test};
use left::Temporary;

/// Seeds of each scenario file; `cargo test` alone takes 3.
const SEEDS: &str = "20";

/// Mutants of the reference by which the conformance suite is judged; two of three compile.
const MUTANTS: &str = "120";

/// Benches whose contenders are tried for one short turn each. Those of engines take minutes for theirs, and their contenders
/// are tested in `bench/engines`.
const BENCHES: [&str; 6] = ["broker", "client_server", "codec", "registry", "selector", "transport"];

/// Formatting, lints, all tests, a try of the benches, a sample of mutants; the first that fails ends it. Then a look at what
/// is left behind.
pub(crate) fn run() -> ExitCode {
    let seeds = std::env::var("SHAKETABLE_SEEDS").unwrap_or_else(|_| SEEDS.to_owned());
    let temporary = match Temporary::new() {
        Ok(temporary) => temporary,
        Err(error) => {
            eprintln!("xtask: cannot watch what is left behind: {error}");
            return ExitCode::from(3);
        }
    };
    let marked = temporary.variables();
    let marked = marked.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut tested = marked.to_vec();
    tested.push(("SHAKETABLE_SEEDS", &seeds));
    let steps = || {
        cargo(&["fmt", "--all", "--check"], &marked)?;
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], &marked)?;
        cargo_test(&["test", "--workspace", "--no-fail-fast"], &tested)?;
        let mut benches = vec!["test", "--workspace"];
        benches.extend(BENCHES.iter().flat_map(|bench| ["--bench", bench]));
        cargo(&benches, &marked)?;
        aborted::run(temporary.folder())?;
        cargo(&["run", "--quiet", "--package", "xtask", "--", "mutants", "--sample", MUTANTS, "--brief"], &marked)
    };
    let outcome = steps();
    temporary.close(outcome)
}

#[cfg(test)]
mod tests {
    use super::BENCHES;
    use crate::step::root;

    /// Benches that are not tried, because one turn of theirs takes minutes.
    const ENGINES: [&str; 3] = ["engines", "memory", "scale"];

    #[test]
    fn every_bench_is_tried_or_known_to_take_minutes() {
        let text = std::fs::read_to_string(root().join("bench/Cargo.toml")).unwrap();
        let benches = text.split("[[bench]]\nname = \"").skip(1).filter_map(|rest| rest.split('"').next());
        let mut wanted: Vec<&str> = BENCHES.into_iter().chain(ENGINES).collect();
        wanted.sort_unstable();
        let mut found: Vec<&str> = benches.collect();
        found.sort_unstable();
        assert_eq!(found, wanted);
    }
}
