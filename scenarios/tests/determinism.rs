//! Every scenario file gives one digest for one seed, on each engine that can carry it: run alone, within a sweep with two
//! jobs, and more than a second later with another environment.

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use shaketable_scenarios::{cases, label};
use shaketable_sim::engine::engines;
use shaketable_sim::run::{
    Case, Children, Job, Purpose, RunFailure, RunReport, Seeds, SweepRequest, run_child_if_asked, sweep,
};
use shaketable_stack::plugin::Plugins;

const RUN_TIMEOUT: Duration = Duration::from_secs(120);

/// The seed that is compared, in the middle of the sweep.
const SEED: u64 = 1;

fn main() -> ExitCode {
    let plugins = Plugins::reference();
    if let Some(code) = run_child_if_asked(&plugins) {
        return code;
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for engine in engines() {
        for case in cases(&plugins, &engine) {
            let name = format!("one_digest::{}::{}", engine.name, label(&case));
            trials.push(Trial::test(name, move || compare(&case, engine.name)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

#[expect(clippy::disallowed_methods, reason = "real time must pass between two runs")]
fn compare(case: &Case, engine: &str) -> Result<(), Failed> {
    let job = Job {
        file: case.file.clone(),
        text: case.text.clone(),
        overrides: case.overrides.to_string(),
        seed: SEED,
        engine: engine.to_owned(),
        keep: false,
    };
    let alone = digest(Children::new(Purpose::Run).run(&job, RUN_TIMEOUT))?;
    let request = SweepRequest {
        cases: vec![case.clone()],
        seeds: Seeds::Count(3),
        engine: job.engine.clone(),
        jobs: 2,
        run_timeout: RUN_TIMEOUT,
        time_limit: None,
        fail_fast: false,
        keep: false,
    };
    let report = sweep(&request, &mut |_| {});
    let run = report.cases[0].runs.iter().find(|run| run.seed == SEED).ok_or("the sweep lost a seed")?;
    let swept = digest(run.outcome.clone())?;

    // A date that crosses a second is what leaks through HTTP headers when clocks are real.
    std::thread::sleep(Duration::from_millis(1100));
    let later = digest(run_later(&job))?;
    if alone == swept && alone == later {
        return Ok(());
    }
    Err(format!("one seed gave three runs: alone {alone}, in a sweep {swept}, later {later}").into())
}

/// Runs with a larger environment, which moves the stack.
fn run_later(job: &Job) -> Result<RunReport, RunFailure> {
    let environment = [("SHAKETABLE_NOISE".to_owned(), "x".repeat(4000)), ("TZ".to_owned(), "Pacific/Apia".to_owned())];
    Children::with_environment(Purpose::Run, &environment).run(job, RUN_TIMEOUT)
}

fn digest(outcome: Result<RunReport, RunFailure>) -> Result<String, Failed> {
    outcome.map(|report| report.digest).map_err(|failure| format!("{failure:?}").into())
}
