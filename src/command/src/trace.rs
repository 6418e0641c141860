//! `trace`: every event of one run.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValue;
use shaketable_reports::Kind;
use shaketable_reports::trace::{Filter, LEGEND, render};
use shaketable_sim::run::{Case, RunFailure, RunReport, Seeds, SweepRequest, sweep};
use shaketable_stack::plugin::Plugins;

use crate::target::{Target, time_span};
use crate::{Output, Stop};

/// Show every event of one run.
#[derive(Args, Debug)]
#[command(after_help = help())]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// The seed of the run
    #[arg(long, value_name = "S")]
    seed: u64,
    /// Only what happened on this host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only what is of this kind
    #[arg(long, value_name = "KIND")]
    kind: Option<KindArgument>,
    /// End the run after this much real time
    #[arg(long, value_name = "TIME", value_parser = time_span, default_value = "2m")]
    run_timeout: Duration,
}

/// A kind as a word on the command line.
#[derive(Clone, Copy, Debug)]
struct KindArgument(Kind);

impl clap::ValueEnum for KindArgument {
    fn value_variants<'a>() -> &'a [Self] {
        const VARIANTS: [KindArgument; Kind::ALL.len()] = {
            let mut variants = [KindArgument(Kind::Network); Kind::ALL.len()];
            let mut index = 0;
            while index < variants.len() {
                variants[index] = KindArgument(Kind::ALL[index].0);
                index += 1;
            }
            variants
        };
        &VARIANTS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let shows = Kind::ALL.iter().find(|(kind, _)| *kind == self.0).map(|(_, shows)| *shows)?;
        Some(PossibleValue::new(self.0.name()).help(shows))
    }
}

fn help() -> String {
    let legend: Vec<String> = LEGEND.lines().map(|line| format!("  {line}")).collect();
    format!(
        "Columns:\n{}\n\nExamples:\n  shaketable trace churn.yaml --seed 7 --set registry=etcd\n  \
         shaketable trace churn.yaml --seed 7 --host user-1 --kind registry",
        legend.join("\n")
    )
}

pub(crate) fn run(arguments: &Arguments, plugins: &Plugins, output: &Output) -> Result<u8, Stop> {
    let cases = arguments.target.load(plugins, output)?;
    let request = SweepRequest {
        cases: vec![the_only(&cases)?],
        seeds: Seeds::One(arguments.seed),
        engine: arguments.target.settings.engine.clone(),
        jobs: 1,
        run_timeout: arguments.run_timeout,
        time_limit: None,
        fail_fast: false,
        keep: true,
    };
    let report = sweep(&request, &mut |_| {});
    let outcome = report.cases.into_iter().flat_map(|case| case.runs).map(|run| run.outcome).next();
    let outcome = match outcome {
        Some(Ok(outcome)) => outcome,
        Some(Err(RunFailure::BadInput(text))) => return Err(Stop::BadInput(text)),
        Some(Err(RunFailure::Harness(text))) => return Err(Stop::Harness(text)),
        Some(Err(RunFailure::TimedOut(limit))) => {
            return Err(Stop::Harness(format!("the run was still going after {limit:?} and was ended")));
        }
        None => return Err(Stop::Harness("the sweep gave no run".to_owned())),
    };
    if let Some(host) = &arguments.host {
        must_know(&outcome, host)?;
    }
    let filter = Filter { host: arguments.host.clone(), kind: arguments.kind.map(|kind| kind.0) };
    output.print(&render(&outcome, &filter, output.palette()));
    Ok(0)
}

/// One run is shown, so one case must be left.
fn the_only(cases: &[Case]) -> Result<Case, Stop> {
    match cases {
        [only] => Ok(only.clone()),
        several => {
            let choices: Vec<String> =
                several.iter().map(|case| format!("  {} --set {}", case.file, case.overrides)).collect();
            Err(Stop::BadInput(format!("a trace shows one run; choose one case:\n{}", choices.join("\n"))))
        }
    }
}

fn must_know(outcome: &RunReport, host: &str) -> Result<(), Stop> {
    let of_history = outcome.history.iter().flat_map(|history| &history.events).map(|event| &*event.host);
    let of_trace = outcome.trace.iter().flatten().map(|event| &*event.host);
    let hosts: BTreeSet<&str> = of_history.chain(of_trace).collect();
    if hosts.contains(host) {
        return Ok(());
    }
    let hosts: Vec<&str> = hosts.into_iter().collect();
    Err(Stop::BadInput(format!("nothing happened on a host '{host}'; there are: {}", hosts.join(", "))))
}
