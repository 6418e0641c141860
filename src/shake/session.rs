//! One start of the test program: the cases of the scenario files as tests, or the replay of one run.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shaketable_reports::{Palette, terminal};
use shaketable_sim::engine::{EngineInfo, default_engine};
use shaketable_sim::run::{
    Case, LoadError, Seeds, SweepReport, SweepRequest, Token, Verdict, load_cases, replay, sweep,
};
use shaketable_sim::scenario::Overrides;
use shaketable_stack::plugin::Plugins;

use crate::harness::{self, Arguments, Ended, Test, now, print, seeds_of_environment};

/// Real time for one run; a run of the reference scenarios takes about a second.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);

/// What is to be done, and with what.
pub(super) struct Session<'a> {
    pub(super) plugins: &'a Plugins,
    pub(super) files: &'a [PathBuf],
    pub(super) seeds: Option<u32>,
    pub(super) arguments: &'a Arguments,
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
        Ok(harness::run(&tests, self.arguments, |case| self.run_case(case, seeds, &engine)))
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
        Ok(seeds_of_environment()?.or(self.seeds).map_or(Seeds::FromScenario, Seeds::Count))
    }

    fn tests(&self, engine: &EngineInfo, seeds: Seeds) -> Result<Vec<Test<Case>>, String> {
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
        Ok(loaded
            .cases
            .into_iter()
            .map(|case| Test { name: name(&case, seeds), ignored: None, subject: case })
            .collect())
    }

    fn run_case(&self, case: &Case, seeds: Seeds, engine: &EngineInfo) -> Ended {
        let report = sweep(&self.request(case, seeds, engine), &mut |_| {});
        let verdict = report.verdict();
        let held = verdict == Verdict::Held;
        Ended {
            passed: held,
            word: (!held).then(|| terminal::verdict_word(verdict).to_owned()),
            lines: if self.arguments.digests { digests(&report) } else { String::new() },
            details: terminal::render_failures(&report, Palette::PLAIN),
            exit_code: verdict.exit_code(),
        }
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
