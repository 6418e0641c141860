//! `cargo test --test live`: the scenario files on real sockets, in real time, on a real etcd of their own each, side by side;
//! and plugins with a flaw that must be found there, too. Where there is no etcd the tests are ignored with the reason.

#[path = "live/flawed.rs"]
mod flawed;
#[path = "live/own.rs"]
mod own;
#[path = "live/user.rs"]
mod user;

use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use shaketable_fixtures::etcd::{Location, REQUIRE_VARIABLE, Storage, in_a_container, is_required, on_the_path};
use shaketable_fixtures::live::{LiveEtcd, OwnServices};
use shaketable_fixtures::log::kept_on_failure;
use shaketable_reports::Palette;
use shaketable_reports::terminal::render;
use shaketable_scenarios::{cases, label};
use shaketable_sim::backend::{LiveBackend, LiveBackends, LiveServices};
use shaketable_sim::engine::live;
use shaketable_sim::run::{Case, Seeds, SweepReport, SweepRequest, Verdict, sweep_live};
use shaketable_stack::plugin::Plugins;

/// How many run side by side when nobody says otherwise. They wait more than they compute.
const AT_ONCE: usize = 8;

/// What else runs live: files whose registry is the world's own need no server.
const WITHOUT_SERVER: [&str; 2] =
    ["broker-fan-out-broadcast[broker=http,registry=memory]", "registration-churn-members[registry=memory]"];

/// Longer than any file takes.
const RUN_TIMEOUT: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    if let Some(ended) = user::serve_if_asked() {
        return ended;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(AT_ONCE));
    let plugins = Plugins::reference();
    let mut trials = Vec::new();
    for case in cases(&plugins, &live::info()) {
        let name = format!("live::{}", label(&case));
        if case.scenario.stack.plugin("registry") == "etcd" {
            trials.push(trial(&name, move |etcd| held(&|| run(&case, &Plugins::reference(), etcd.clone()))));
        } else if WITHOUT_SERVER.contains(&label(&case).as_str()) {
            let test = move || held(&|| run(&case, &Plugins::reference(), Location::Nowhere));
            trials.push(Trial::test(name, test));
        }
    }
    trials.extend(flawed::trials());
    trials.extend(own::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Starts etcds of which there is one for each run.
#[derive(Debug)]
struct Etcds(Location, Storage);

impl LiveBackends for Etcds {
    fn start(&self, kind: &str, members: u32) -> Result<Arc<dyn LiveBackend>, String> {
        match kind {
            "etcd" => Ok(Arc::new(LiveEtcd::start_with(&self.0, self.1, members)?)),
            _ => Err(format!("nobody starts a '{kind}' here")),
        }
    }

    fn services(&self) -> Option<&dyn LiveServices> {
        Some(&OwnServices)
    }
}

/// A test on an etcd of its own, ignored where there is none and nobody insists.
fn trial(name: &str, test: impl FnOnce(Location) -> Result<(), Failed> + Send + 'static) -> Trial {
    match in_a_container().or_else(on_the_path) {
        Some(etcd) => Trial::test(name, move || {
            kept_on_failure(|| test(etcd)).map_err(|(failed, logs)| {
                let message = failed.message().unwrap_or("it failed").to_owned();
                std::iter::once(message).chain(logs).collect::<Vec<_>>().join("\n").into()
            })
        }),
        None => {
            let absent = "there is no engine for containers, and no etcd on the PATH";
            if is_required() {
                return Trial::test(name, move || Err(format!("{absent}, but {REQUIRE_VARIABLE}=1").into()));
            }
            Trial::ignorable_test(name, move || Ok(Completion::ignored_with(absent)))
        }
    }
}

/// One live run. Nobody waits for a disk where the data need not outlive a server.
fn run(case: &Case, plugins: &Plugins, etcd: Location) -> SweepReport {
    run_with(case, plugins, etcd, false)
}

/// The same with its history.
fn run_and_keep(case: &Case, plugins: &Plugins, etcd: Location) -> SweepReport {
    run_with(case, plugins, etcd, true)
}

fn run_with(case: &Case, plugins: &Plugins, etcd: Location, keep: bool) -> SweepReport {
    let request = SweepRequest {
        cases: vec![case.clone()],
        seeds: Seeds::One(0),
        engine: live::NAME.to_owned(),
        jobs: 1,
        run_timeout: RUN_TIMEOUT,
        time_limit: None,
        fail_fast: false,
        keep,
    };
    let goes_down = ["backend_restart", "leader_lost"].iter().any(|fault| case.text.contains(fault));
    let storage = if goes_down { Storage::Disk } else { Storage::Memory };
    let report = sweep_live(&request, plugins, &Etcds(etcd, storage), &mut |_| {});
    // This program makes no run that somebody asks for by name.
    SweepReport { program: "shaketable".to_owned(), ..report }
}

/// What runs has read of this; who wants the machine for himself writes.
static MACHINE: RwLock<()> = RwLock::new(());

/// Makes a live run that must hold. A machine that stands still for seconds looks like a plugin that does, so what did not hold
/// beside the other tests is shown, and run once more alone: what is seen then counts.
fn held(run: &dyn Fn() -> SweepReport) -> Result<(), Failed> {
    let beside_others = {
        let _machine = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        holds(&run())
    };
    let Err(first) = beside_others else { return Ok(()) };
    eprintln!("beside other tests it did not hold, and it is run once more alone:\n{first}");
    let _machine = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    holds(&run())
        .map_err(|second| format!("twice it did not hold; beside other tests:\n{first}\nalone:\n{second}").into())
}

/// A single run may see too little of what only many show; whatever else is expected must hold.
fn holds(report: &SweepReport) -> Result<(), String> {
    let case = &report.cases[0];
    let seen = case.verdicts.iter().any(|verdict| verdict.verdict == Verdict::Held);
    match case.verdict {
        Verdict::Held => Ok(()),
        Verdict::TooLittleEvidence if seen => Ok(()),
        _ => Err(render(report, Duration::ZERO, Palette::PLAIN)),
    }
}
