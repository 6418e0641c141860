//! A check in a simulated world. The check is a job of one of its hosts; a driver outside lets time pass and does what the
//! check asks for.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use shaketable_sim::backend::{Shared as SharedBackends, SimulatedBackend, simulated};
use shaketable_sim::engine::{self, Setup};
use shaketable_sim::history::{Event, Events, Moment};
use shaketable_sim::trace::Tracer;
use shaketable_sim::world::{Fault, HostSpec, Program, World, WorldError};
use shaketable_stack::env::Namespace;
use shaketable_stack::plugin::Plugins;

use super::job::{CheckJob, CheckReport};
use super::squalls::Squalls;
use super::weather::weather;
use super::{Command, Commands, Subject};
use crate::backend::Act;
use crate::site::{Reach, Shared, Site};
use crate::{Check, Finding, Host, Interface, Outcome, by_id};

/// A check that is not over after this much simulated time hangs, whatever it waits for.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Events that are shown of a history that led to a finding.
pub(super) const EVENTS_SHOWN: usize = 14;

/// Checks what `job` says, in this process, which should be its own and have the interposition active.
pub(super) fn run(job: &CheckJob, plugins: &Arc<Plugins>) -> CheckReport {
    let mut driver = match Driver::set_up(job, plugins) {
        Ok(driver) => driver,
        Err(why) => return CheckReport::broken(why),
    };
    let finding = match driver.drive() {
        Ok(outcome) => outcome.err(),
        Err(WorldError::Panicked { host, text }) => Some(Finding::violated("no panic", format!("on {host}: {text}"))),
        Err(error) => Some(Finding::Broke(error.to_string())),
    };
    let took = driver.world.now().since_start();
    let events = if finding.is_some() { last_events(driver.world.recorder().take().events) } else { Vec::new() };
    CheckReport { finding, events, took }
}

/// What a person needs to see of the end of a history.
pub(super) fn last_events(events: Events) -> Vec<Event> {
    let hidden = events.len().saturating_sub(EVENTS_SHOWN);
    events.into_iter().skip(hidden).collect()
}

struct Driver {
    world: Box<dyn World>,
    backends: Vec<Arc<dyn SimulatedBackend>>,
    squalls: Option<Squalls>,
    commands: Arc<Commands>,
    outcome: Arc<Mutex<Option<Outcome>>>,
}

impl Driver {
    fn set_up(job: &CheckJob, plugins: &Arc<Plugins>) -> Result<Self, String> {
        let (interface, requirement) = by_id(&job.id).ok_or_else(|| format!("there is no requirement '{}'", job.id))?;
        let Check::Run { function, .. } = requirement.check else {
            return Err(format!("{} has no check", job.id));
        };
        let mut beside = Vec::new();
        for (other, plugin) in &job.beside {
            beside.push((other.parse::<Interface>()?, plugin.clone()));
        }
        let promises = interface.promises(plugins, &job.plugin).map_err(|error| error.to_string())?;
        let namespace = Namespace::new("check");
        let mut backends: Vec<Arc<dyn SimulatedBackend>> = vec![Arc::new(SharedBackends::new(&namespace))];
        let mut addresses = Vec::new();
        if let Some(kind) = promises.backend {
            let backend = simulated(kind, job.seed).ok_or_else(|| format!("no backend '{kind}' can be simulated"))?;
            addresses.extend(backend.address());
            backends.push(backend);
        }
        let weather = weather(&job.weather).ok_or_else(|| format!("there is no weather '{}'", job.weather))?;
        let setup = Setup {
            seed: job.seed,
            network: weather.network(),
            tracer: Tracer::new(false),
            namespace: namespace.clone(),
        };
        let broke = |error: WorldError| error.to_string();
        let mut world = engine::world(&job.engine, setup).map_err(broke)?;
        // Tasks of one host may wake those of another: the check's own, through this process's memory.
        let _ = namespace.shared::<Together>();
        let mut hosts = Host::ALL.map(|host| host.name().to_owned()).to_vec();
        for backend in &backends {
            if let Some(program) = backend.program() {
                hosts.push(backend.kind().to_owned());
                world.add_host(HostSpec { name: backend.kind().to_owned(), program }).map_err(broke)?;
            }
        }
        for host in Host::ALL {
            world.add_host(HostSpec { name: host.name().to_owned(), program: idle() }).map_err(broke)?;
        }
        let commands = Arc::new(Commands::default());
        let shared = Arc::new(Shared {
            subject: Subject { interface, plugin: job.plugin.clone(), addresses, beside },
            promises,
            plugins: plugins.clone(),
            recorder: world.recorder().clone(),
            reach: Reach::Simulated(commands.clone()),
            leaping: None,
            connections: OnceLock::new(),
            prefix: String::new(),
            disturbed: AtomicBool::new(weather.loses_packets()),
        });
        let outcome: Arc<Mutex<Option<Outcome>>> = Arc::default();
        let place = outcome.clone();
        let check = Box::new(move |env| {
            let work = function(Site { shared, env });
            Box::pin(async move {
                let outcome = work.await;
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            }) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
        });
        world.submit(Host::Home.name(), check).map_err(broke)?;
        let squalls = weather.has_squalls().then(|| Squalls::between(&hosts, job.seed));
        Ok(Self { world, backends, squalls, commands, outcome })
    }

    fn drive(&mut self) -> Result<Outcome, WorldError> {
        let end = Moment::after(LIMIT);
        loop {
            if let Some(outcome) = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Ok(outcome);
            }
            while let Some(command) = self.commands.pop() {
                self.obey(command);
            }
            if self.world.now() >= end {
                return Ok(Err(Finding::violated(format!("an end within {LIMIT:?} of simulated time"), "it hangs")));
            }
            let (commands, outcome) = (self.commands.clone(), self.outcome.clone());
            let go_on = move || commands.is_empty() && outcome.lock().unwrap_or_else(PoisonError::into_inner).is_none();
            let next = self.squalls.as_ref().and_then(Squalls::next_at).map_or(end, |next| next.min(end));
            self.world.advance_while(next, &go_on)?;
            let now = self.world.now();
            for fault in self.squalls.as_mut().map(|squalls| squalls.due(now)).unwrap_or_default() {
                self.world.inflict(&fault)?;
            }
            for backend in &self.backends {
                // Nobody judges by them here; what is not taken piles up.
                drop(backend.take_truths(now));
            }
        }
    }

    /// Whoever asked may have given up meanwhile.
    fn obey(&mut self, command: Command) {
        match command {
            Command::Submit { host, job, done } => {
                let _ = done.send(self.world.submit(host, job).map_err(|error| error.to_string()));
            }
            Command::Inflict { fault, done } => {
                let _ = done.send(self.world.inflict(&fault).map_err(|error| error.to_string()));
            }
            Command::Backend { act, done } => {
                let _ = done.send(self.act(&act));
            }
            Command::Requests { done } => {
                let counts: Vec<u64> = self.backends.iter().filter_map(|backend| backend.requests()).collect();
                let counted = (!counts.is_empty()).then(|| counts.iter().sum());
                let _ = done.send(counted.ok_or_else(|| "nobody counts the requests of this backend".to_owned()));
            }
            Command::Held { done } => {
                let counts: Vec<u64> = self.backends.iter().filter_map(|backend| backend.held()).collect();
                let counted = (!counts.is_empty()).then(|| counts.iter().sum());
                let _ = done.send(counted.ok_or_else(|| "nobody counts what this backend holds".to_owned()));
            }
        }
    }

    fn act(&mut self, act: &Act) -> Result<(), String> {
        let now = self.world.now();
        let nodes = match act {
            Act::LoseLeases(nodes) | Act::DeleteEntries(nodes) => nodes.as_slice(),
            _ => &[],
        };
        for backend in self.backends.clone() {
            let Some(_) = backend.address() else {
                // It lives in the world's namespace and has no host: its restart takes no time.
                match act {
                    Act::LoseLeases(_) => drop(backend.lose(now, nodes)),
                    Act::DeleteEntries(_) => drop(backend.delete(now, nodes)),
                    Act::Stop | Act::Terminate => backend.restart(now),
                    _ => {}
                }
                continue;
            };
            let host = backend.kind().to_owned();
            let clients = || Host::ALL.map(|host| host.name().to_owned()).to_vec();
            let faults = match act {
                Act::Stop => vec![Fault::BackendDown { host }],
                Act::Terminate => vec![Fault::BackendEnd { host }],
                Act::Start => vec![Fault::BackendUp { host }],
                Act::Pause | Act::Resume => {
                    let still = *act == Act::Pause;
                    backend.stand_still(now, still);
                    vec![if still { Fault::Pause { host } } else { Fault::Resume { host } }]
                }
                Act::Cut => vec![
                    Fault::Cut { from: vec![host.clone()], to: clients() },
                    Fault::Cut { from: clients(), to: vec![host] },
                ],
                Act::Heal => vec![
                    Fault::Heal { from: vec![host.clone()], to: clients() },
                    Fault::Heal { from: clients(), to: vec![host] },
                ],
                // It takes the place of the weather's latency, which is short beside it.
                Act::Delay(by) => vec![Fault::Latency { a: vec![host], b: clients(), latency: Some(*by) }],
                Act::Prompt => vec![Fault::Latency { a: vec![host], b: clients(), latency: None }],
                Act::LoseLeases(_) => {
                    backend.lose(now, nodes);
                    continue;
                }
                Act::DeleteEntries(_) => {
                    backend.delete(now, nodes);
                    continue;
                }
                Act::Litter { node, values } => {
                    backend.litter(now, node, values);
                    continue;
                }
                Act::Compact => {
                    backend.compact(now);
                    continue;
                }
                Act::Fill | Act::Empty => return Err("nobody fills a simulated backend".to_owned()),
            };
            for fault in faults {
                self.world.inflict(&fault).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

/// See [`Driver::set_up`].
#[derive(Debug, Default)]
struct Together;

/// A host that waits for jobs.
fn idle() -> Program {
    Arc::new(|_| Box::pin(std::future::pending()))
}
