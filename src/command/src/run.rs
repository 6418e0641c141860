//! `run`: many seeds of many scenarios, judged; or a few of them on real machines.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use shaketable_reports::{duration_in_words, terminal};
use shaketable_sim::engine::live;
use shaketable_sim::run::{Case, Progress, Run, RunFailure, Seeds, SweepRequest, sweep, sweep_live};
use shaketable_stack::plugin::Plugins;

use crate::backends::Backends;
use crate::progress::{Meter, Step, Stopwatch};
use crate::target::{Place, Target, time_span};
use crate::{Output, Stop};

const EXAMPLES: &str = "\
Examples:
  shaketable run scenarios
  shaketable run scenarios/registry/churn.yaml --seeds 1000 --fail-fast
  shaketable run churn.yaml --seed 7 --set registry=etcd,broker=memory
  shaketable run scenarios --seeds 100000 --time-limit 10m --jobs 8
  shaketable run churn.yaml --world live --set registry=etcd

A violation ends with the line that replays it. Each run is a process of its own.

With --world live the stack stands on real sockets and a real etcd of its own (or the one that SHAKETABLE_ETCD names), and a run
takes as long as its phases say. The same expectations are judged, with the slack that the file gives. Nothing of it can be
replayed. There a service may be your own: a program that is started, a container, or a url,

  services:
    user: { replicas: 2, runs: { command: { line: [./user, --port, '{port}', --etcd, '{registry}'] } } }

and what it registers and answers is judged as if it were ours (docs/run-live.md).";

/// Run scenarios over many seeds and judge them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Where the stack stands: in the simulator, or on real sockets, in real time, with real servers
    #[arg(long, value_name = "WORLD", value_enum, default_value_t = Place::Simulated)]
    world: Place,
    /// Run seeds 0 to N-1 of each case, instead of as many as its file asks for; live: instead of one
    #[arg(long, value_name = "N", conflicts_with = "seed", value_parser = clap::value_parser!(u32).range(1..))]
    seeds: Option<u32>,
    /// Run this seed alone
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Run so many at once [default: one per processor; live: one]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Start no further run after this much real time, such as 5m
    #[arg(long, value_name = "TIME", value_parser = time_span)]
    time_limit: Option<Duration>,
    /// End a single run after this much real time; it then counts as a failure of the harness
    #[arg(long, value_name = "TIME", value_parser = time_span, default_value = "2m")]
    run_timeout: Duration,
    /// Start no further run after the first failure
    #[arg(long)]
    fail_fast: bool,
}

pub(crate) fn run(arguments: &Arguments, plugins: &Plugins, backends: &Backends, output: &Output) -> Result<u8, Stop> {
    let cases = arguments.cases(plugins, output)?;
    let request = arguments.request(cases);
    output.print(&terminal::render_options(&arguments.options(&request), output.palette()));
    output.print("\n");
    let stopwatch = Stopwatch::start();
    let mut meter = Meter::new("runs");
    let mut progress = |progress: &Progress| {
        let (done, total, failed) = (progress.done, progress.total, progress.failed);
        meter.show(&Step { done, total, failed, what: format!("{} seed {}", progress.case, progress.seed) });
    };
    let report = match arguments.world {
        Place::Simulated => sweep(&request, &mut progress),
        Place::Live => sweep_live(&request, plugins, backends, &mut progress),
    };
    meter.finish();
    output.print(&terminal::render(&report, stopwatch.elapsed(), output.palette()));
    // What is found wrong only when servers are there was wrong before.
    let is_refused = |run: &Run| matches!(run.outcome, Err(RunFailure::BadInput(_)));
    let refused = report.cases.iter().flat_map(|case| &case.runs).any(is_refused);
    Ok(if refused { 2 } else { report.verdict().exit_code() })
}

impl Arguments {
    fn cases(&self, plugins: &Plugins, output: &Output) -> Result<Vec<Case>, Stop> {
        self.target.settings.load_in(self.world, &self.target.files, plugins, output)
    }

    fn request(&self, cases: Vec<Case>) -> SweepRequest {
        let is_live = self.world == Place::Live;
        SweepRequest {
            cases,
            seeds: match (self.seed, self.seeds) {
                (Some(seed), _) => Seeds::One(seed),
                (None, Some(count)) => Seeds::Count(count),
                (None, None) if is_live => Seeds::One(0),
                (None, None) => Seeds::FromScenario,
            },
            engine: if is_live { live::NAME.to_owned() } else { self.target.settings.engine.clone() },
            jobs: self.jobs.map_or_else(|| if is_live { 1 } else { processors() }, NonZeroUsize::get),
            run_timeout: self.run_timeout,
            time_limit: self.time_limit,
            fail_fast: self.fail_fast,
            keep: false,
        }
    }

    /// What was asked for, defaults included.
    fn options(&self, request: &SweepRequest) -> Vec<(&'static str, String)> {
        let files: Vec<String> = self.target.files.iter().map(|file| file.display().to_string()).collect();
        let seeds = match request.seeds {
            Seeds::One(seed) => format!("{seed} alone"),
            Seeds::Count(count) => format!("{count} for each case"),
            Seeds::FromScenario => "as many as each file asks for".to_owned(),
        };
        let mut options = vec![("files", files.join(" ")), ("cases", request.cases.len().to_string())];
        if !self.target.settings.set.is_empty() {
            options.push(("set", self.target.settings.set.to_string()));
        }
        options.extend([
            ("seeds", seeds),
            (if self.world == Place::Live { "world" } else { "engine" }, request.engine.clone()),
            ("jobs", request.jobs.to_string()),
            ("run-timeout", duration_in_words(request.run_timeout)),
        ]);
        if let Some(limit) = request.time_limit {
            options.push(("time-limit", duration_in_words(limit)));
        }
        if request.fail_fast {
            options.push(("fail-fast", "yes".to_owned()));
        }
        options
    }
}

/// How many runs at once keep this machine busy.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
