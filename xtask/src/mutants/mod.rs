//! Judges the conformance suite by mutants of `stack`: cargo-mutants says which changes there are, one build has all of them,
//! each behind a switch, and `verify` must find a requirement that is not upheld for at least nine of ten. No other test is
//! asked.

mod judge;
mod list;
mod reach;
mod report;
mod schema;
mod sites;
mod survivors;
mod tree;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;

use self::judge::Verdict;
use self::reach::Reached;
use self::tree::Built;

/// Fewer are not enough, in percent.
const CAUGHT_MIN: usize = 90;

/// The same for a sample, in which chance has its part.
const SAMPLE_CAUGHT_MIN: usize = 80;

/// Which mutants, and how.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Take so many of them, evenly chosen, judge those that compile, and write no report [default: all]
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Where the choice begins
    #[arg(long, value_name = "S", default_value = "0", requires = "sample")]
    seed: usize,
    /// Judge those alone whose name contains this, such as stack/src/selector; may be given more than once
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Do not judge again what an earlier run has caught
    #[arg(long)]
    iterate: bool,
    /// Judge with seed 0 in calm weather alone, which takes a tenth of the time and catches nearly all that is caught
    #[arg(long)]
    brief: bool,
    /// Judge so many at once
    #[arg(long, value_name = "N", default_value = "2")]
    jobs: usize,
}

/// Judges them and writes `reports/published/mutants.md`; exit code 1 when too few are caught.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match judge_all(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(text) => {
            eprintln!("xtask: {text}");
            ExitCode::from(3)
        }
    }
}

fn judge_all(arguments: &Arguments) -> Result<bool, String> {
    let listed = list::list()?;
    let mutants = match arguments.sample {
        None => listed,
        Some(count) => evenly(listed, count, arguments.seed),
    };
    let built = tree::build(&mutants)?;
    let viable: Vec<usize> = (0..mutants.len()).filter(|number| is_viable(*number, &built)).collect();
    eprintln!("xtask: {} mutants, {} of them compile and can be switched", mutants.len(), viable.len());
    let reached = reached(&built.program, arguments)?;
    let file = tree::folder().join("verdicts.jsonl");
    let mut verdicts = if arguments.iterate { read_verdicts(&file)? } else { BTreeMap::new() };
    let chosen: Vec<usize> = viable
        .iter()
        .copied()
        .filter(|number| {
            let name = &mutants[*number].name;
            arguments.only.is_empty() || arguments.only.iter().any(|text| name.contains(text))
        })
        .collect();
    let open: Vec<usize> = chosen
        .iter()
        .copied()
        .filter(|number| !verdicts.get(&mutants[*number].name).is_some_and(|verdict| verdict.outcome.is_caught()))
        .collect();
    if !arguments.iterate && file.exists() {
        std::fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let judge = |number: usize| judge::judge(&built.program, number, &mutants[number], &reached, arguments.brief);
    judge_side_by_side(&open, &judge, arguments.jobs, &file, &mut verdicts)?;
    let caught =
        chosen.iter().filter(|number| verdicts.get(&mutants[**number].name).is_some_and(|it| it.outcome.is_caught()));
    let caught = caught.count();
    eprintln!("xtask: {caught} of {} mutants are caught", chosen.len());
    if arguments.sample.is_none() {
        report::write(&mutants, &built, &verdicts)?;
    }
    let caught_min = if arguments.sample.is_none() { CAUGHT_MIN } else { SAMPLE_CAUGHT_MIN };
    Ok(caught * 100 >= chosen.len() * caught_min)
}

fn is_viable(number: usize, built: &Built) -> bool {
    !built.unviable.contains_key(&number) && !built.left_out.contains_key(&number)
}

/// `count` of `all`, as far from each other as can be, the first of them that with number `seed`.
fn evenly<T>(all: Vec<T>, count: usize, seed: usize) -> Vec<T> {
    let (total, count) = (all.len(), count.min(all.len()));
    let chosen: BTreeSet<usize> = (0..count).map(|index| (seed + index * total / count) % total).collect();
    all.into_iter().enumerate().filter(|(number, _)| chosen.contains(number)).map(|(_, mutant)| mutant).collect()
}

/// Which checks pass which mutants, as an earlier run with the same program has found it or anew.
fn reached(program: &Path, arguments: &Arguments) -> Result<Vec<Reached>, String> {
    let file = tree::folder().join(if arguments.brief { "reached-brief.json" } else { "reached.json" });
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let written = |file: &Path| std::fs::metadata(file).and_then(|data| data.modified()).ok();
    if written(&file).is_some() && written(&file) > written(program) {
        let text = std::fs::read_to_string(&file).map_err(|error| failed(&error))?;
        return serde_json::from_str(&text).map_err(|error| failed(&error));
    }
    eprintln!("xtask: looking which checks pass which mutants");
    let reached = reach::reach(program, arguments.jobs, arguments.brief)?;
    let text = serde_json::to_string(&reached).map_err(|error| failed(&error))?;
    std::fs::write(&file, text).map_err(|error| failed(&error))?;
    Ok(reached)
}

fn read_verdicts(file: &Path) -> Result<BTreeMap<String, Verdict>, String> {
    let text = if file.exists() { std::fs::read_to_string(file) } else { Ok(String::new()) };
    let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
    // The last line may be half written, when the run was ended.
    let verdicts = text.lines().filter_map(|line| serde_json::from_str::<Verdict>(line).ok());
    Ok(verdicts.map(|verdict| (verdict.name.clone(), verdict)).collect())
}

fn judge_side_by_side(
    open: &[usize],
    judge: &(dyn Fn(usize) -> Verdict + Sync),
    jobs: usize,
    file: &Path,
    verdicts: &mut BTreeMap<String, Verdict>,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    let log = std::fs::OpenOptions::new().create(true).append(true).open(file).map_err(failed)?;
    let (next, shared) = (AtomicUsize::new(0), Mutex::new((log, verdicts)));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&number) = open.get(index) else { return };
                    let verdict = judge(number);
                    let told = serde_json::to_string(&verdict).unwrap_or_default();
                    let Ok(mut shared) = shared.lock() else { return };
                    let by: String = verdict.by.chars().take(120).collect::<String>().replace('\n', " ");
                    eprintln!("xtask: {}/{} {:?}: {} {by}", index + 1, open.len(), verdict.outcome, verdict.name);
                    let _ = writeln!(shared.0, "{told}");
                    shared.1.insert(verdict.name.clone(), verdict);
                }
            });
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::evenly;

    #[test]
    fn a_sample_is_spread_over_all_and_another_seed_takes_others() {
        let all = |count: usize| (0..count).collect::<Vec<usize>>();
        assert_eq!(evenly(all(100), 4, 0), [0, 25, 50, 75]);
        assert_eq!(evenly(all(100), 4, 90), [15, 40, 65, 90]);
        assert_eq!(evenly(all(3), 9, 1), [0, 1, 2]);
        assert!(evenly(all(0), 9, 1).is_empty());
    }
}
