//! `run`: many seeds of many scenarios, judged.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use shaketable_reports::{duration_in_words, terminal};
use shaketable_sim::run::{Seeds, SweepRequest, sweep};
use shaketable_stack::plugin::Plugins;

use crate::progress::{Meter, Step, Stopwatch};
use crate::target::{Target, time_span};
use crate::{Output, Stop};

const EXAMPLES: &str = "\
Examples:
  shaketable run scenarios
  shaketable run scenarios/registry/churn.yaml --seeds 1000 --fail-fast
  shaketable run churn.yaml --seed 7 --set registry=etcd,broker=memory
  shaketable run scenarios --seeds 100000 --time-limit 10m --jobs 8

A violation ends with the line that replays it. Each run is a process of its own.";

/// Run scenarios over many seeds and judge them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Run seeds 0 to N-1 of each case, instead of as many as its file asks for
    #[arg(long, value_name = "N", conflicts_with = "seed", value_parser = clap::value_parser!(u32).range(1..))]
    seeds: Option<u32>,
    /// Run this seed alone
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Run so many at once [default: one per processor]
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

pub(crate) fn run(arguments: &Arguments, plugins: &Plugins, output: &Output) -> Result<u8, Stop> {
    let cases = arguments.target.load(plugins, output)?;
    let request = arguments.request(cases);
    output.print(&terminal::render_options(&arguments.options(&request), output.palette()));
    output.print("\n");
    let stopwatch = Stopwatch::start();
    let mut meter = Meter::new("runs");
    let report = sweep(&request, &mut |progress| {
        let (done, total, failed) = (progress.done, progress.total, progress.failed);
        meter.show(&Step { done, total, failed, what: format!("{} seed {}", progress.case, progress.seed) });
    });
    meter.finish();
    output.print(&terminal::render(&report, stopwatch.elapsed(), output.palette()));
    Ok(report.verdict().exit_code())
}

impl Arguments {
    fn request(&self, cases: Vec<shaketable_sim::run::Case>) -> SweepRequest {
        SweepRequest {
            cases,
            seeds: match (self.seed, self.seeds) {
                (Some(seed), _) => Seeds::One(seed),
                (None, Some(count)) => Seeds::Count(count),
                (None, None) => Seeds::FromScenario,
            },
            engine: self.target.settings.engine.clone(),
            jobs: self.jobs.map_or_else(processors, NonZeroUsize::get),
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
            ("engine", request.engine.clone()),
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
