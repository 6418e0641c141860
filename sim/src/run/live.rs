//! Scenarios on real machines: the same plan, loads, history and oracles as in the simulator, on a world of real sockets, real
//! time and real servers. What comes of it is never replayed, and no determinism is promised of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::Error;
use shaketable_stack::env::Namespace;
use shaketable_stack::plugin::{Plugins, Promises};

use super::backing::Backing;
use super::result::{Job, NotApplied, RunFailure, RunReport, SweepReport};
use super::sweep::{Progress, SweepRequest, sweep_by};
use super::world::{DRAIN, Leniency, ShakeTable, Stage, harness, kinds};
use crate::backend::{LiveBackend, LiveBackends, ServiceOrder, Shared};
use crate::engine::live::{Ground, LiveSetup, LiveWorld, OwnHost};
use crate::plan::Plan;
use crate::scenario::model::{Calls, Scenario};
use crate::scenario::{Overrides, duration, parse};
use crate::stand::Choices;
use crate::trace::Tracer;
use crate::world::World;

/// What only those can judge who know what the registry truly holds.
const NEED_TRUTH: [&str; 5] =
    ["registration_visible", "lease_expiry", "watch_order", "no_stale_calls", "views_converge"];

/// Runs what `request` asks for on real machines, with servers from `backends`; `progress` is told after each run.
pub fn sweep_live(
    request: &SweepRequest,
    plugins: &Plugins,
    backends: &dyn LiveBackends,
    progress: &mut dyn FnMut(&Progress),
) -> SweepReport {
    let run = |job: &Job| (run_live(job, plugins, backends, request.run_timeout), String::new());
    sweep_by(request, &run, progress)
}

/// Runs `job` in this process, in real time; it takes as long as its phases and a little more.
///
/// # Errors
/// Bad input, a server that cannot be had, or a harness that broke. A violated expectation is no error.
pub fn run_live(
    job: &Job,
    plugins: &Plugins,
    backends: &dyn LiveBackends,
    timeout: Duration,
) -> Result<RunReport, RunFailure> {
    let bad = RunFailure::BadInput;
    let scenario = parse(&job.file, &job.text).map_err(|problems| bad(problems.to_string()))?;
    let overrides: Overrides = job.overrides.parse().map_err(bad)?;
    let scenario = scenario.apply(&overrides);
    let stage = stage(job, scenario, plugins, backends, timeout)?;
    let leniency = leniency(&stage.scenario, &stage.backends, &stage.promises);
    let mut table = ShakeTable::set_up(stage, plugins)?;
    match table.shake() {
        Ok(()) => Ok(table.judge(job, leniency)),
        Err(RunFailure::Harness(text)) => {
            let logs = table.kept_logs();
            Err(RunFailure::Harness(std::iter::once(text).chain(logs).collect::<Vec<_>>().join("; ")))
        }
        Err(other) => Err(other),
    }
}

fn stage(
    job: &Job,
    scenario: Scenario,
    plugins: &Plugins,
    makers: &dyn LiveBackends,
    timeout: Duration,
) -> Result<Stage, RunFailure> {
    let bad = |error: Error| RunFailure::BadInput(error.to_string());
    let mut choices = Choices::of(&scenario.stack);
    let promises: BTreeMap<_, _> = choices.promises(plugins).map_err(bad)?.into_iter().collect();
    let kinds = kinds(&promises);
    let plan = Plan::draw(&scenario, job.seed, &kinds).map_err(|error| RunFailure::BadInput(error.to_string()))?;
    let takes = plan.end_at + DRAIN;
    if takes > timeout {
        return Err(RunFailure::BadInput(format!(
            "a live run of '{}' takes {}, and a run is ended after {}; give it more time (--run-timeout {})",
            scenario.name,
            duration::print(takes),
            duration::print(timeout),
            duration::print(takes * 2)
        )));
    }
    let namespace = Namespace::new(&scenario.name);
    let mut backends = vec![Backing::Simulated(Arc::new(Shared::new(&namespace)))];
    let mut servers = Vec::new();
    for kind in &kinds {
        let server = makers.start(kind, scenario.members_of(kind)).map_err(RunFailure::Harness)?;
        can_be_shaken(&plan, &server)?;
        choices.point_at(plugins, kind, &server.addresses()).map_err(bad)?;
        backends.push(Backing::Live(server.clone()));
        servers.push(server);
    }
    let ground = Ground::lay(job.seed).map_err(harness)?;
    let registry = promises.get("registry").and_then(|promises| promises.backend);
    let registry = servers.iter().find(|server| Some(server.kind()) == registry);
    let own = own_hosts(&scenario, &plan, &ground, registry, makers)?;
    let setup = LiveSetup { seed: job.seed, namespace, backends: servers };
    let world = LiveWorld::on(ground, setup, own.values().cloned().collect()).map_err(harness)?;
    let began = world.began();
    let world: Box<dyn World> = Box::new(world);
    Ok(Stage { scenario, plan, choices, promises, backends, own, world, began, tracer: Tracer::new(false) })
}

/// Starts the services that are the user's own. They are ready before the world begins.
fn own_hosts(
    scenario: &Scenario,
    plan: &Plan,
    ground: &Ground,
    registry: Option<&Arc<dyn LiveBackend>>,
    makers: &dyn LiveBackends,
) -> Result<BTreeMap<String, OwnHost>, RunFailure> {
    let mut own = BTreeMap::new();
    for host in &plan.hosts {
        let Some(runs) = scenario.services.get(&host.group).and_then(|service| service.runs.as_ref()) else { continue };
        let makers = makers.services().ok_or_else(|| {
            let name = &host.group;
            RunFailure::BadInput(format!("this program starts no services, and '{name}' is one that is to be started"))
        })?;
        let mut values = BTreeMap::from([("host", host.name.clone()), ("replica", host.replica.to_string())]);
        if let Some(server) = registry {
            let mut ways = Vec::new();
            for (name, addresses) in server.hosts() {
                if let Some(address) = addresses.first() {
                    ways.push(ground.way(&host.name, &name, address).map_err(harness)?);
                }
            }
            values.insert("registry", ways.join(","));
        }
        let order = ServiceOrder { host: host.name.clone(), runs: runs.clone(), values };
        let service = makers.start(&order).map_err(RunFailure::Harness)?;
        let one = OwnHost::new(&host.name, &host.group, runs, service).map_err(RunFailure::Harness)?;
        own.insert(host.name.clone(), one);
    }
    Ok(own)
}

/// Refuses a plan with faults that cannot be done to this server.
fn can_be_shaken(plan: &Plan, server: &Arc<dyn LiveBackend>) -> Result<(), RunFailure> {
    use crate::world::Capability::{BackendEnd, BackendPause, BackendRestart, Compaction, LeaseLoss};
    let able = server.capabilities();
    let wanted = plan.faults.iter().map(|planned| planned.fault.needs());
    let mut of_servers =
        wanted.filter(|wanted| matches!(wanted, BackendRestart | BackendEnd | BackendPause | Compaction | LeaseLoss));
    let missing = of_servers.find(|wanted| !able.contains(wanted));
    missing.map_or(Ok(()), |missing| {
        let what = server.description();
        Err(RunFailure::BadInput(format!(
            "{what} is not ours to shake, and the scenario asks to {missing}; let a server be started for the run, or leave \
             the file out with 'live: {{ never_because: … }}'"
        )))
    })
}

/// What the file forgives and leaves out, and what cannot be judged because nobody knows the truth.
fn leniency(scenario: &Scenario, backends: &[Backing], promises: &BTreeMap<&'static str, Promises>) -> Leniency {
    let expected = scenario.expect.names();
    let left_out = scenario.live.leave_out.iter();
    let mut reasons: BTreeMap<&str, String> = left_out.map(|(name, reason)| (name.as_str(), reason.clone())).collect();
    let registry = promises.get("registry").and_then(|promises| promises.backend);
    for backend in backends {
        if let Backing::Live(server) = backend
            && Some(server.kind()) == registry
            && let Some(because) = server.tells_nothing_because()
        {
            for name in NEED_TRUTH {
                reasons.entry(name).or_insert_with(|| because.clone());
            }
        }
    }
    for (name, reason) in about_own(scenario) {
        reasons.entry(name).or_insert(reason);
    }
    let not_applied = expected.into_iter().filter_map(|name| {
        let reason = reasons.get(name)?;
        Some(NotApplied { oracle: name.to_owned(), reason: reason.clone() })
    });
    Leniency { slack: scenario.live.slack, not_applied: not_applied.collect() }
}

/// What cannot be judged because services are the user's own.
fn about_own(scenario: &Scenario) -> Vec<(&'static str, String)> {
    let calls = || scenario.load.iter().filter_map(|load| load.calls.as_ref());
    let is_known = |calls: &Calls| calls.endpoint.is_none() && calls.http.is_none();
    let mut about = Vec::new();
    if calls().next().is_some() && !calls().any(is_known) {
        let reason =
            "every call asks a service of the user's own, and nobody but the service knows what is right to answer";
        about.push(("answers_match", reason.to_owned()));
    }
    about
}
