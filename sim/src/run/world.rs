//! One run in this process: the world that a plan describes, the timeline done to it, and what the oracles say of the
//! history. It drives worlds through their trait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use shaketable_stack::Error;
use shaketable_stack::env::Namespace;
use shaketable_stack::plugin::{Plugins, Promises};
use shaketable_stack::registry::GetOptions;

use super::backing::Backing;
use super::result::{Job, NotApplied, RunFailure, RunReport, VERSION};
use super::timeline::{Event, timeline};
use crate::backend::{Shared, simulated_cluster};
use crate::determinism::EPOCH_S;
use crate::engine::live::OwnHost;
use crate::engine::{self, Setup};
use crate::history::{Moment, Operation, Point};
use crate::load::{Command, HostControl, HostPlan, Timing, own_program, program};
use crate::oracle::{self, Facts, HostFacts, HostKind, PhaseSpan};
use crate::plan::{Plan, PlannedChurn};
use crate::scenario::model::{ChurnAction, Scenario};
use crate::scenario::{Overrides, parse};
use crate::stand::{Choices, Identity, Standing};
use crate::trace::Tracer;
use crate::world::{Fault, HostSpec, World, WorldError};

/// How long the world goes on after the loads have ended, so that what is under way can end.
pub(super) const DRAIN: Duration = Duration::from_secs(10);

/// How long a host may take to tell its view.
const VIEW_WITHIN: Duration = Duration::from_secs(6);

/// Runs `job` in this process, which should be its own and have the interposition active.
///
/// # Errors
/// Bad input, or a harness that broke. A violated expectation is no error.
pub fn run(job: &Job, plugins: &Plugins) -> Result<RunReport, RunFailure> {
    let bad = |text: String| RunFailure::BadInput(text);
    let scenario = parse(&job.file, &job.text).map_err(|problems| bad(problems.to_string()))?;
    let overrides: Overrides = job.overrides.parse().map_err(bad)?;
    let scenario = scenario.apply(&overrides);
    engine::engine(&job.engine).ok_or_else(|| bad(format!("no engine is called '{}'", job.engine)))?;
    let mut table = ShakeTable::set_up(simulated_stage(job, scenario, plugins)?, plugins)?;
    table.shake()?;
    Ok(table.judge(job, Leniency::default()))
}

fn simulated_stage(job: &Job, scenario: Scenario, plugins: &Plugins) -> Result<Stage, RunFailure> {
    let bad = |error: Error| RunFailure::BadInput(error.to_string());
    let mut choices = Choices::of(&scenario.stack);
    let promises: BTreeMap<_, _> = choices.promises(plugins).map_err(bad)?.into_iter().collect();
    let namespace = Namespace::new(&scenario.name);
    let mut backends = vec![Backing::Simulated(Arc::new(Shared::new(&namespace)))];
    let kinds = kinds(&promises);
    for kind in &kinds {
        let members = scenario.members_of(kind);
        let backend = simulated_cluster(kind, job.seed, members).ok_or_else(|| {
            let size = if members == 1 { String::new() } else { format!(" of {members} members") };
            RunFailure::BadInput(format!("no backend '{kind}'{size} can be simulated"))
        })?;
        choices.point_at(plugins, kind, &backend.addresses()).map_err(bad)?;
        backends.push(Backing::Simulated(backend));
    }
    let plan = Plan::draw(&scenario, job.seed, &kinds).map_err(|error| RunFailure::BadInput(error.to_string()))?;
    let tracer = Tracer::new(job.keep);
    let setup = Setup { seed: job.seed, network: scenario.network.clone(), tracer: tracer.clone(), namespace };
    let world = engine::world(&job.engine, setup).map_err(harness)?;
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_S);
    Ok(Stage { scenario, plan, choices, promises, backends, own: BTreeMap::new(), world, began, tracer })
}

/// The kinds of backend that plugins with these promises need, in order.
pub(super) fn kinds(promises: &BTreeMap<&'static str, Promises>) -> Vec<String> {
    let kinds: BTreeSet<&str> = promises.values().filter_map(|promises| promises.backend).collect();
    kinds.into_iter().map(str::to_owned).collect()
}

/// A world and what is done in it.
pub(super) struct ShakeTable {
    plan: Plan,
    scenario: Arc<Scenario>,
    world: Box<dyn World>,
    tracer: Tracer,
    backends: Vec<Backing>,
    /// Hosts whose service is the user's own, by name.
    own: BTreeMap<String, OwnHost>,
    /// Whose service was seen to have ended by itself, and it was said.
    ended: BTreeSet<String>,
    controls: BTreeMap<String, HostControl>,
    promises: BTreeMap<&'static str, Promises>,
    phases: Vec<PhaseSpan>,
    notes: Vec<String>,
    /// Backends that stand still.
    still: BTreeSet<String>,
    /// Who is paused, and whose date is wrong.
    paused: BTreeSet<String>,
    skewed: BTreeSet<String>,
    /// Members that went down because they led, with the backend that they belong to, in order.
    leaders_down: Vec<(String, String)>,
    /// The date at which the world began.
    began: SystemTime,
}

/// What stands on a shake table.
pub(super) struct Stage {
    /// The scenario, with what was set differently.
    pub(super) scenario: Scenario,
    /// What will happen.
    pub(super) plan: Plan,
    /// Which plugins, pointed at their backends.
    pub(super) choices: Choices,
    /// What they promise.
    pub(super) promises: BTreeMap<&'static str, Promises>,
    /// What they stand on.
    pub(super) backends: Vec<Backing>,
    /// Hosts whose service is the user's own, by name; their services run.
    pub(super) own: BTreeMap<String, OwnHost>,
    /// Where it stands; no host is in it yet.
    pub(super) world: Box<dyn World>,
    /// The date at which the world began.
    pub(super) began: SystemTime,
    /// Where what passes through the network goes.
    pub(super) tracer: Tracer,
}

/// What is different for those who judge a run on real machines.
#[derive(Debug, Default)]
pub(super) struct Leniency {
    /// Added to every bound in time.
    pub(super) slack: Duration,
    /// What is not judged, and why.
    pub(super) not_applied: Vec<NotApplied>,
}

impl ShakeTable {
    /// Sets `stage` up; its hosts start.
    pub(super) fn set_up(stage: Stage, plugins: &Plugins) -> Result<Self, RunFailure> {
        let Stage { scenario, plan, choices, promises, backends, own, world, began, tracer } = stage;
        let mut table = Self {
            plan,
            scenario: Arc::new(scenario),
            world,
            tracer,
            backends,
            own,
            ended: BTreeSet::new(),
            controls: BTreeMap::new(),
            promises,
            phases: Vec::new(),
            notes: Vec::new(),
            still: BTreeSet::new(),
            paused: BTreeSet::new(),
            skewed: BTreeSet::new(),
            leaders_down: Vec::new(),
            began,
        };
        table.add_hosts(&Arc::new(plugins.clone()), &Arc::new(choices)).map_err(harness)?;
        Ok(table)
    }

    /// Backends first: what needs them finds them.
    fn add_hosts(&mut self, plugins: &Arc<Plugins>, choices: &Arc<Choices>) -> Result<(), WorldError> {
        for backend in &self.backends {
            for (name, program) in backend.hosts() {
                self.world.add_host(HostSpec { name, program })?;
            }
        }
        let timing = Timing { seed: self.plan.seed, loads_at: self.plan.loads_at, end_at: self.plan.end_at };
        for host in self.plan.hosts.iter().filter(|host| host.kind != HostKind::Backend) {
            let service = self.scenario.services.get(&host.group);
            let identity = service.map(|service| Identity {
                name: host.group.clone(),
                service: service.clone(),
                version: service.version.clone(),
                metadata: service.metadata.clone(),
            });
            let plan = HostPlan {
                scenario: self.scenario.clone(),
                plugins: plugins.clone(),
                choices: choices.clone(),
                recorder: self.world.recorder().clone(),
                identity,
                loads: self.plan.loads.iter().filter(|load| load.host == host.name).cloned().collect(),
                timing,
            };
            let control = HostControl::default();
            let program = match self.own.get(&host.name) {
                Some(own) => own_program(plan, own.clone(), control.clone()),
                None => program(plan, control.clone()),
            };
            let spec = HostSpec { name: host.name.clone(), program };
            self.world.add_host(spec)?;
            self.controls.insert(host.name.clone(), control);
        }
        Ok(())
    }

    /// Does what is planned.
    pub(super) fn shake(&mut self) -> Result<(), RunFailure> {
        for (at, event) in timeline(&self.plan) {
            self.world.advance(Moment::after(at)).map_err(harness)?;
            self.collect_truths()?;
            self.look_for_the_fallen();
            match event {
                Event::Phase(name) => self.begin_phase(name),
                Event::Heal => self.heal().map_err(harness)?,
                Event::Fault(fault) => self.inflict(&fault)?,
                Event::Churn(churn) => self.churn(&churn),
                Event::Views => self.record_views().map_err(harness)?,
            }
        }
        self.world.advance(Moment::after(self.plan.end_at)).map_err(harness)?;
        self.record_views().map_err(harness)?;
        if let Some(phase) = self.phases.last_mut() {
            phase.end = Moment::after(self.plan.end_at);
        }
        let end = self.world.now() + DRAIN;
        self.world.advance(end).map_err(harness)?;
        self.collect_losses();
        self.look_for_the_fallen();
        self.collect_truths()
    }

    /// Keeps what the services have said that are the user's own, and says where.
    pub(super) fn kept_logs(&self) -> Vec<String> {
        kept_logs(&self.own)
    }

    /// Says whose service has ended though nobody had asked it to.
    fn look_for_the_fallen(&mut self) {
        let now = self.world.now();
        for (host, own) in &self.own {
            match own.service().ended_by_itself() {
                None => drop(self.ended.remove(host)),
                Some(how) => {
                    if self.ended.insert(host.clone()) {
                        self.notes.push(format!("{host}: its service had ended by itself by {now}, with {how}"));
                    }
                }
            }
        }
    }

    fn begin_phase(&mut self, name: &'static str) {
        let now = self.world.now();
        if let Some(phase) = self.phases.last_mut() {
            phase.end = now;
        }
        self.phases.push(PhaseSpan { name: name.to_owned(), start: now, end: now });
        self.point(Point::Phase { name: name.to_owned() });
    }

    fn inflict(&mut self, fault: &Fault) -> Result<(), RunFailure> {
        match fault {
            // Who leads is known only now; where nobody does, there is no leader to be lost.
            Fault::LeaderDown { backend } => {
                let leaders = self.backends.iter().map(|backing| backing.leader(backend));
                let leaders = leaders.collect::<Result<Vec<_>, _>>().map_err(RunFailure::Harness)?;
                let Some(host) = leaders.into_iter().flatten().next() else {
                    let now = self.world.now();
                    self.notes.push(format!("{now}: nobody led {backend}, so that no leader was lost"));
                    return Ok(());
                };
                self.leaders_down.push((backend.clone(), host.clone()));
                return self.inflict(&Fault::BackendDown { host });
            }
            Fault::LeaderUp { backend } => {
                let Some(place) = self.leaders_down.iter().position(|(of, _)| of == backend) else { return Ok(()) };
                let (_, host) = self.leaders_down.remove(place);
                return self.inflict(&Fault::BackendUp { host });
            }
            _ => {}
        }
        if let Fault::LeaseLost { .. } | Fault::Compaction { .. } = fault
            && let Some(backend) = self.still.first()
        {
            let now = self.world.now();
            self.notes.push(format!("{now}: {backend} stood still, so that nobody could {}", fault.needs()));
            return Ok(());
        }
        if let Fault::Compaction { backend } = fault
            && !self.backends.iter().any(|backing| backing.is(backend))
        {
            return Ok(());
        }
        if let Fault::BackendDown { host } | Fault::BackendEnd { host } | Fault::BackendUp { host } = fault
            && !self.plan.hosts.iter().any(|planned| planned.name == *host)
        {
            // It lives in the world's namespace: no host to take down, and its restart takes no time.
            if !matches!(fault, Fault::BackendUp { .. }) {
                let now = self.world.now();
                self.backends.iter().for_each(|backend| backend.restart(now));
            }
            return Ok(());
        }
        // A fault that changes nothing is none, and must not stand in the history.
        let skip = match fault {
            Fault::Crash { host, .. } | Fault::BackendDown { host } | Fault::BackendEnd { host } => {
                !self.world.is_running(host)
            }
            Fault::Restart { host } | Fault::BackendUp { host } => self.world.is_running(host),
            Fault::Pause { host } => !self.world.is_running(host) || self.paused.contains(host),
            Fault::Resume { host } => !self.paused.contains(host),
            Fault::BackendPause { host } => !self.world.is_running(host) || self.still.contains(host),
            Fault::BackendResume { host } => !self.still.contains(host),
            Fault::Skew { host, by_ns: 0 } => !self.skewed.contains(host),
            _ => false,
        };
        if skip {
            return Ok(());
        }
        let before = self.world.now();
        if let Fault::BackendPause { host } | Fault::BackendResume { host } = fault {
            let still = matches!(fault, Fault::BackendPause { .. });
            self.backends.iter().for_each(|backing| backing.stand_still(host, before, still));
        }
        self.world.inflict(fault).map_err(harness)?;
        match fault {
            Fault::BackendPause { host } => self.still.insert(host.clone()),
            Fault::BackendDown { host } | Fault::BackendEnd { host } | Fault::BackendResume { host } => {
                self.still.remove(host)
            }
            Fault::Pause { host } => self.paused.insert(host.clone()),
            Fault::Crash { host, .. } | Fault::Resume { host } => self.paused.remove(host),
            Fault::Skew { host, by_ns: 0 } => self.skewed.remove(host),
            Fault::Skew { host, .. } => self.skewed.insert(host.clone()),
            _ => false,
        };
        if let Fault::Crash { host, .. } = fault
            && let Some(control) = self.controls.get(host)
        {
            control.clear();
        }
        // Who may go on does so at once, and where time is real that is before anybody can tell of it.
        let at = match fault {
            Fault::Restart { .. } | Fault::Resume { .. } | Fault::BackendResume { .. } => before,
            _ => self.world.now(),
        };
        self.point_at(at, Point::Fault(Box::new(fault.clone())));
        match fault {
            Fault::LeaseLost { host } => self.lose_leases(host),
            Fault::Compaction { backend } => {
                let now = self.world.now();
                self.backends
                    .iter()
                    .try_for_each(|backing| backing.compact(backend, now))
                    .map_err(RunFailure::Harness)?;
                self.collect_truths()
            }
            _ => Ok(()),
        }
    }

    fn lose_leases(&mut self, host: &str) -> Result<(), RunFailure> {
        let nodes = self.world.recorder().read(|history| {
            let of_host = history.events.iter().filter(|event| &*event.host == host);
            let mut nodes: Vec<String> = of_host
                .filter_map(|event| match &*event.edge {
                    crate::history::Edge::Invoke(Operation::Register { node, .. }) => Some(node.id.clone()),
                    _ => None,
                })
                .collect();
            nodes.sort_unstable();
            nodes.dedup();
            nodes
        });
        let now = self.world.now();
        for backend in &self.backends {
            backend.lose(now, &nodes).map_err(RunFailure::Harness)?;
        }
        self.collect_truths()
    }

    fn heal(&mut self) -> Result<(), WorldError> {
        let down: Vec<(String, HostKind)> = self
            .plan
            .hosts
            .iter()
            .filter(|host| !self.world.is_running(&host.name))
            .map(|host| (host.name.clone(), host.kind))
            .collect();
        let before = self.world.now();
        self.leaders_down.clear();
        for host in &self.still {
            self.backends.iter().for_each(|backing| backing.stand_still(host, before, false));
        }
        self.world.heal()?;
        for host in std::mem::take(&mut self.still) {
            self.point_at(before, Point::Fault(Box::new(Fault::BackendResume { host })));
        }
        // What is mended with the links is told by the phase that begins now.
        for host in std::mem::take(&mut self.paused) {
            self.point_at(before, Point::Fault(Box::new(Fault::Resume { host })));
        }
        for host in std::mem::take(&mut self.skewed) {
            self.point_at(before, Point::Fault(Box::new(Fault::Skew { host, by_ns: 0 })));
        }
        for (host, kind) in down {
            match kind {
                HostKind::Backend => self.point(Point::Fault(Box::new(Fault::BackendUp { host }))),
                _ => self.point_at(before, Point::Fault(Box::new(Fault::Restart { host }))),
            }
        }
        // Those who have left come back, so that the end is the beginning.
        for control in self.controls.values() {
            control.tell(Command::Join);
        }
        Ok(())
    }

    fn churn(&mut self, churn: &PlannedChurn) {
        let Some(control) = self.controls.get(&churn.host) else { return };
        if !self.world.is_running(&churn.host) {
            return;
        }
        let detail = churn.detail.clone().unwrap_or_default();
        let (command, action) = match churn.action {
            ChurnAction::Join => (Command::Join, "join"),
            ChurnAction::Leave => (Command::Leave, "leave"),
            ChurnAction::Flap => (Command::Flap, "flap"),
            ChurnAction::Move => (Command::Move, "move"),
            ChurnAction::Metadata => (Command::Metadata(detail), "metadata"),
            ChurnAction::Version => (Command::Version(detail), "version"),
        };
        control.tell(command);
        self.point(Point::Churn { host: churn.host.clone(), action: action.to_owned() });
    }

    /// Asks every host that calls which nodes it would call.
    fn record_views(&mut self) -> Result<(), WorldError> {
        let mut asked: Vec<(String, String)> = Vec::new();
        for load in &self.plan.loads {
            if let Some(calls) = &self.scenario.load[load.entry].calls {
                asked.push((load.host.clone(), calls.to.clone()));
            }
        }
        asked.sort_unstable();
        asked.dedup();
        for (host, service) in asked {
            let Some(standing) = self.controls.get(&host).and_then(HostControl::standing) else { continue };
            self.world
                .submit(&host, Box::new(move |env| Box::pin(async move { tell_view(env, standing, service).await })))?;
        }
        Ok(())
    }

    fn collect_truths(&mut self) -> Result<(), RunFailure> {
        let now = self.world.now();
        for backend in &self.backends {
            let host: Arc<str> = backend.host().into();
            for (at, truth) in backend.take_truths(now).map_err(RunFailure::Harness)? {
                self.world.recorder().point_at(at, &host, self.wall(at), Point::Truth(truth));
            }
        }
        Ok(())
    }

    fn collect_losses(&mut self) {
        for (host, control) in &self.controls {
            let Some(standing) = control.standing() else { continue };
            for loss in standing.registry.losses() {
                self.notes.push(format!(
                    "{host}: registration {} was lost: {}{}",
                    loss.node_id,
                    loss.reason,
                    if loss.restored { "; it has been restored" } else { "; it has not been restored" }
                ));
                let at = Moment::after(loss.noticed_at.since_origin());
                let point = Point::Loss { node: loss.node_id, reason: loss.reason, restored: loss.restored };
                self.world.recorder().point_at(at, &host.as_str().into(), self.wall(at), point);
            }
        }
    }

    fn point(&self, point: Point) {
        self.point_at(self.world.now(), point);
    }

    fn point_at(&self, at: Moment, point: Point) {
        self.world.recorder().point_at(at, &"world".into(), self.wall(at), point);
    }

    /// The date at `at`.
    fn wall(&self, at: Moment) -> SystemTime {
        self.began + at.since_start()
    }

    /// What the oracles say of what has happened.
    pub(super) fn judge(self, job: &Job, leniency: Leniency) -> RunReport {
        let Self { plan, scenario, world, tracer, backends, own, controls, promises, phases, mut notes, .. } = self;
        let (end, recorder, is_live) = (world.now(), world.recorder().clone(), world.engine().is_live);
        let servers = backends.iter().filter_map(Backing::description).chain(services(&own)).collect();
        // Hosts hold memory that the oracles may use; what their tasks say when they are dropped is no part of the run.
        recorder.close();
        drop((controls, world, backends));
        let history = recorder.take();
        // Two live runs are never the same.
        let digest = if is_live { String::new() } else { tracer.digest(&history) };
        let promised = |interface: &str| promises.get(interface).cloned().unwrap_or_default();
        let mut scenario = (*scenario).clone();
        scenario.expect = scenario.expect.widened(leniency.slack);
        // Those who look for what happened in one step look as far as the slack.
        scenario.network.tick = scenario.network.tick.max(leniency.slack);
        let facts = Facts {
            scenario,
            hosts: plan
                .hosts
                .iter()
                .map(|host| HostFacts { name: host.name.clone(), group: host.group.clone(), kind: host.kind })
                .collect(),
            phases,
            registry: promised("registry"),
            broker: promised("broker"),
            end,
            early: leniency.slack,
        };
        let applies = |oracle: &str| leniency.not_applied.iter().all(|apart| apart.oracle != oracle);
        let judgements: Vec<_> = oracle::all()
            .iter()
            .filter(|oracle| applies(oracle.name()))
            .filter_map(|oracle| oracle.judge(&history, &facts))
            .collect();
        if judgements.iter().any(|judgement| !judgement.findings.is_empty()) {
            notes.extend(kept_logs(&own));
        }
        drop(own);
        let proof = judgements
            .iter()
            .flat_map(|judgement| &judgement.findings)
            .flat_map(|finding| &finding.events)
            .filter_map(|sequence| Some((*sequence, history.events.get(usize::try_from(*sequence).ok()?)?.clone())))
            .collect();
        RunReport {
            version: VERSION,
            seed: job.seed,
            digest,
            judgements,
            not_applied: leniency.not_applied,
            backends: servers,
            proof,
            simulated: end,
            events: history.events.len() as u64,
            packets: tracer.count(),
            notes,
            trace: job.keep.then(|| tracer.take()),
            history: job.keep.then_some(history),
        }
    }
}

/// Keeps what the services have said that are the user's own, and says where.
fn kept_logs(own: &BTreeMap<String, OwnHost>) -> Vec<String> {
    own.values().filter_map(|own| own.service().keep_log()).collect()
}

/// What the services are that are the user's own, each once.
fn services(own: &BTreeMap<String, OwnHost>) -> Vec<String> {
    let mut told = BTreeMap::<&str, (String, bool)>::new();
    for own in own.values() {
        let (_, is_opaque) = told.entry(own.group()).or_insert_with(|| (own.service().description(), false));
        *is_opaque |= own.is_opaque();
    }
    let sentence = |(group, (what, is_opaque)): (&str, (String, bool))| {
        let unheard = if is_opaque { ", which speaks no HTTP, so that only its callers were heard" } else { "" };
        format!("{group} as {what}{unheard}")
    };
    told.into_iter().map(sentence).collect()
}

async fn tell_view(env: shaketable_stack::Env, standing: Arc<Standing>, service: String) {
    let registry = standing.selector.options().registry;
    let lookup = env.timeout(VIEW_WITHIN, registry.get_service(&service, GetOptions::default())).await;
    let nodes = match lookup {
        Ok(Ok(services)) => services.iter().flat_map(|service| &service.nodes).map(|node| node.id.clone()).collect(),
        Ok(Err(_)) => Vec::new(),
        Err(_) => return,
    };
    standing.scribe.point(None, Point::View { service, nodes });
}

pub(super) fn harness(error: WorldError) -> RunFailure {
    RunFailure::Harness(error.to_string())
}
