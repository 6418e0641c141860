//! `cargo test scenarios`: every scenario file, under every combination of its matrix, with a few seeds, each as a test of its
//! own; and one test per case for what only all its seeds together show.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use shaketable_reports::Palette;
use shaketable_reports::terminal::{render, render_failures};
use shaketable_scenarios::{cases, label, seeds};
use shaketable_sim::engine::default_engine;
use shaketable_sim::run::{
    Case, Children, Job, Purpose, Run, SweepReport, Token, VERSION, Verdict, judge_case, replay, run_child_if_asked,
};
use shaketable_stack::plugin::Plugins;

/// Real time that a run may take; the watchdog ends what hangs.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let plugins = Plugins::reference();
    if let Some(code) = run_child_if_asked(&plugins) {
        return code;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [command, token, file] = &words[..]
        && command == "replay"
    {
        return replay_line(token, file, &plugins);
    }
    let arguments = Arguments::from_args();
    let children = Arc::new(Children::new(Purpose::Run));
    let trials = cases(&plugins, &default_engine()).into_iter().flat_map(|case| trials(Arc::new(case), &children));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// What the last line of a failure asks for.
fn replay_line(token: &str, file: &str, plugins: &Plugins) -> ExitCode {
    let replayed = token.parse().and_then(|token: Token| replay(&token, Path::new(file), plugins, RUN_TIMEOUT));
    match replayed {
        Ok(report) => {
            print!("{}", render(&report, Duration::ZERO, Palette::PLAIN));
            ExitCode::from(report.verdict().exit_code())
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// The runs of one case; whoever needs one first runs it.
struct Runs {
    children: Arc<Children>,
    case: Arc<Case>,
    engine: &'static str,
    runs: Vec<OnceLock<Run>>,
}

impl Runs {
    #[expect(clippy::disallowed_methods, reason = "how long a run takes in real time is part of its report")]
    fn run(&self, seed: u64) -> &Run {
        self.runs[usize::try_from(seed).unwrap_or(usize::MAX)].get_or_init(|| {
            let job = Job {
                file: self.case.file.clone(),
                text: self.case.text.clone(),
                overrides: self.case.overrides.to_string(),
                seed,
                engine: self.engine.to_owned(),
                keep: false,
            };
            let began = Instant::now();
            let outcome = self.children.run(&job, RUN_TIMEOUT);
            Run { seed, outcome, wall: began.elapsed(), token: Token::of(&job).to_string() }
        })
    }
}

fn trials(case: Arc<Case>, children: &Arc<Children>) -> Vec<Trial> {
    let seeds = seeds();
    let runs = Arc::new(Runs {
        children: children.clone(),
        case: case.clone(),
        engine: default_engine().name,
        runs: (0..seeds).map(|_| OnceLock::new()).collect(),
    });
    let name = format!("scenarios::{}", label(&case));
    let one = |seed| {
        let runs = runs.clone();
        Trial::test(format!("{name}::seed_{seed}"), move || judge(&runs, &[runs.run(seed).clone()], false))
    };
    let mut trials: Vec<Trial> = (0..seeds).map(one).collect();
    let all = runs.clone();
    trials.push(Trial::test(format!("{name}::all_{seeds}_seeds"), move || {
        let whole: Vec<Run> = (0..seeds).map(|seed| all.run(seed).clone()).collect();
        judge(&all, &whole, true)
    }));
    trials
}

/// Fails with the report that `shaketable run` would print. A single seed need not be evidence enough; all together must.
fn judge(runs: &Runs, some: &[Run], needs_evidence: bool) -> Result<(), Failed> {
    let report = judge_case(&runs.case, runs.engine, some.to_vec());
    match report.verdict {
        Verdict::Held => Ok(()),
        Verdict::TooLittleEvidence if !needs_evidence => Ok(()),
        _ => {
            let report = SweepReport { version: VERSION, program: program(), cases: vec![report], cut_short: None };
            Err(render_failures(&report, Palette::PLAIN).into())
        }
    }
}

/// This program: it is the one that failed, so it is the one that replays.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "scenarios".to_owned())
}
