//! One start of the test program: names the tests, runs those that are asked for, and prints as libtest does.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shaketable_reports::{Palette, terminal};
use shaketable_sim::engine::{EngineInfo, default_engine};
use shaketable_sim::run::{
    Case, LoadError, Seeds, SweepReport, SweepRequest, Token, Verdict, load_cases, replay, sweep,
};
use shaketable_sim::scenario::Overrides;
use shaketable_stack::plugin::Plugins;

use super::Arguments;

/// Real time for one run; a run of the reference scenarios takes about a second.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);

/// What is to be done, and with what.
pub(super) struct Session<'a> {
    pub(super) plugins: &'a Plugins,
    pub(super) files: &'a [PathBuf],
    pub(super) seeds: Option<u32>,
    pub(super) arguments: &'a Arguments,
}

struct Test {
    name: String,
    case: Case,
}

impl Session<'_> {
    /// Does it; the exit code.
    ///
    /// # Errors
    /// What is wrong with the input, for people.
    pub(super) fn run(&self) -> Result<u8, String> {
        if let Some((token, file)) = &self.arguments.replay {
            return self.replay(token, file.as_deref());
        }
        let engine = default_engine();
        let seeds = self.seeds()?;
        let tests = self.tests(&engine, seeds)?;
        let total = tests.len();
        let tests: Vec<Test> = tests.into_iter().filter(|test| self.arguments.chooses(&test.name)).collect();
        if self.arguments.list {
            let names: String = tests.iter().map(|test| format!("{}: test\n", test.name)).collect();
            print(&names);
            return Ok(0);
        }
        Ok(self.run_tests(&tests, total - tests.len(), seeds, &engine))
    }

    fn replay(&self, token: &str, file: Option<&str>) -> Result<u8, String> {
        let token: Token = token.parse().map_err(|error| format!("error: {error}"))?;
        let file = match (file, self.files) {
            (Some(file), _) => Path::new(file),
            (None, [only]) => only,
            (None, _) => return Err("error: replay needs the scenario file: replay TOKEN FILE".to_owned()),
        };
        let started = now();
        let report = replay(&token, file, self.plugins, RUN_TIMEOUT).map_err(|error| format!("error: {error}"))?;
        print(&terminal::render(&report, started.elapsed(), Palette::PLAIN));
        Ok(report.verdict().exit_code())
    }

    fn seeds(&self) -> Result<Seeds, String> {
        if let Some(seed) = self.arguments.seed {
            return Ok(Seeds::One(seed));
        }
        let from_environment = match std::env::var("SHAKETABLE_SEEDS") {
            Ok(text) => Some(text.parse::<u32>().ok().filter(|count| *count > 0).ok_or_else(|| {
                format!("error: SHAKETABLE_SEEDS is '{text}'; it must be a number of seeds, such as 20")
            })?),
            Err(_) => None,
        };
        Ok(from_environment.or(self.seeds).map_or(Seeds::FromScenario, Seeds::Count))
    }

    fn tests(&self, engine: &EngineInfo, seeds: Seeds) -> Result<Vec<Test>, String> {
        let loaded =
            load_cases(self.files, &Overrides::default(), self.plugins, engine).map_err(|error| match error {
                LoadError::Wrong(_) => error.to_string(),
                LoadError::Unreadable(text) | LoadError::Nothing(text) => format!("error: {text}"),
            })?;
        for warning in &loaded.warnings {
            eprintln!("{}", warning.render(false));
        }
        for left_out in &loaded.left_out {
            eprintln!("note: {left_out}");
        }
        Ok(loaded.cases.into_iter().map(|case| Test { name: name(&case, seeds), case }).collect())
    }

    fn run_tests(&self, tests: &[Test], filtered_out: usize, seeds: Seeds, engine: &EngineInfo) -> u8 {
        let started = now();
        print(&format!("\nrunning {} test{}\n", tests.len(), if tests.len() == 1 { "" } else { "s" }));
        let (mut passed, mut worst, mut failures) = (0_usize, Verdict::Held, Vec::new());
        for test in tests {
            print(&format!("test {} ... ", test.name));
            let report = sweep(&self.request(&test.case, seeds, engine), &mut |_| {});
            let digests = if self.arguments.digests { digests(&report) } else { String::new() };
            let verdict = report.verdict();
            worst = worst.max(verdict);
            if verdict == Verdict::Held {
                passed += 1;
                print("ok\n");
                print(&digests);
            } else {
                print(&format!("FAILED ({})\n", terminal::verdict_word(verdict)));
                print(&digests);
                failures.push((&test.name, report));
            }
        }
        print_failures(&failures);
        print(&format!(
            "\ntest result: {}. {passed} passed; {} failed; 0 ignored; 0 measured; {filtered_out} filtered out; finished \
             in {:.2}s\n\n",
            if failures.is_empty() { "ok" } else { "FAILED" },
            failures.len(),
            started.elapsed().as_secs_f64(),
        ));
        worst.exit_code()
    }

    fn request(&self, case: &Case, seeds: Seeds, engine: &EngineInfo) -> SweepRequest {
        let processors = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        SweepRequest {
            cases: vec![case.clone()],
            seeds,
            engine: engine.name.to_owned(),
            jobs: self.arguments.jobs.map_or_else(processors, NonZeroUsize::get),
            run_timeout: RUN_TIMEOUT,
            time_limit: None,
            fail_fast: false,
            keep: false,
        }
    }
}

/// `churn[registry=mine]::seeds_0_to_2`: the seeds are part of the name, because more of them are another test.
fn name(case: &Case, seeds: Seeds) -> String {
    let overrides = case.overrides.to_string();
    let overrides = if overrides.is_empty() { overrides } else { format!("[{overrides}]") };
    let seeds = match seeds {
        Seeds::One(seed) => format!("seed_{seed}"),
        Seeds::Count(count) => format!("seeds_0_to_{}", count - 1),
        Seeds::FromScenario => format!("seeds_0_to_{}", case.scenario.seeds.saturating_sub(1)),
    };
    format!("{}{overrides}::{seeds}", case.scenario.name)
}

/// A line for each run: two runs are the same run when their digests are.
fn digests(report: &SweepReport) -> String {
    let runs = report.cases.iter().flat_map(|case| &case.runs);
    runs.map(|run| match &run.outcome {
        Ok(done) => format!("  seed {} digest {}\n", run.seed, done.digest),
        Err(_) => format!("  seed {} has no digest\n", run.seed),
    })
    .collect()
}

fn print_failures(failures: &[(&String, SweepReport)]) {
    if failures.is_empty() {
        return;
    }
    print("\nfailures:\n");
    for (name, report) in failures {
        print(&format!("\n---- {name} ----\n{}", terminal::render_failures(report, Palette::PLAIN)));
    }
    let names: String = failures.iter().map(|(name, _)| format!("    {name}\n")).collect();
    print(&format!("\nfailures:\n{names}"));
}

/// A reader that has gone away ends no test.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[expect(clippy::disallowed_methods, reason = "the time that a person waits is real; it reaches no verdict")]
fn now() -> Instant {
    Instant::now()
}
