//! The engine on turmoil 0.7.2: a world whose hosts are turmoil's hosts. What turmoil cannot do is made of what it can where
//! that is honest (a death without a sign is a cut and then a crash), and refused otherwise.

mod clock;
mod links;
mod network;

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use self::clock::HostClock;
use self::links::Links;
use self::network::{Cuts, Names, TurmoilNetwork};
use super::host::{Incarnation, Shared, env, panic_text};
use super::tap::{Tap, TappedNetwork};
use super::{EngineInfo, Setup};
use crate::determinism::{EPOCH_S, escapes, set_now, set_refinement};
use crate::history::{Moment, Recorder};
use crate::trace::{Traced, Tracer};
use crate::world::{Distribution, Fault, HostSpec, Job, LinkQuality, World, WorldError};

/// A simulated world on turmoil.
pub struct TurmoilWorld {
    sim: turmoil::Sim<'static>,
    info: EngineInfo,
    shared: Shared,
    names: Names,
    cuts: Cuts,
    tracer: Tracer,
    recorder: Recorder,
    clock: Arc<AtomicU64>,
    tick: Duration,
    hosts: BTreeMap<String, HostState>,
    links: Links,
}

#[derive(Debug)]
struct HostState {
    mailbox: Arc<Mailbox>,
    up: bool,
}

/// Jobs for a host's agent.
#[derive(Default)]
struct Mailbox {
    jobs: Mutex<VecDeque<Job>>,
    arrived: Notify,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Mailbox")
    }
}

impl Mailbox {
    fn jobs(&self) -> std::sync::MutexGuard<'_, VecDeque<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TurmoilWorld {
    /// An empty world. Call it with the interposition active, so that the process is deterministic.
    ///
    /// # Errors
    /// When the network is to do what turmoil's cannot.
    pub fn new(setup: Setup) -> Result<Self, WorldError> {
        let quality = setup.network.quality();
        let Distribution::Uniform { min, max } = setup.network.latency else {
            return Err(WorldError::Engine("engine turmoil has latencies between two bounds, no other".to_owned()));
        };
        if quality != (LinkQuality { latency: quality.latency, ..LinkQuality::default() }) {
            return Err(WorldError::Engine("engine turmoil does nothing to single packets".to_owned()));
        }
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(setup.seed)
            .epoch(SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_S))
            .tick_duration(setup.network.tick)
            .min_message_latency(min)
            .max_message_latency(max)
            // turmoil ends a run by its own clock; ours is the plan's.
            .simulation_duration(Duration::from_secs(u64::from(u32::MAX)))
            .tcp_capacity(4096)
            .udp_capacity(4096)
            .enable_random_order();
        let clock = Arc::new(AtomicU64::new(0));
        let world_clock = clock.clone();
        set_refinement(Some(turmoil::sim_elapsed));
        Ok(Self {
            sim: builder.build(),
            info: super::turmoil_info(),
            shared: Shared { seed: setup.seed, namespace: setup.namespace, panics: Arc::default() },
            names: Names::default(),
            cuts: Cuts::default(),
            tracer: setup.tracer,
            recorder: Recorder::new(Arc::new(move || {
                turmoil::sim_elapsed().map_or_else(|| Moment(world_clock.load(Ordering::Relaxed)), Moment::after)
            })),
            clock,
            tick: setup.network.tick,
            hosts: BTreeMap::new(),
            links: Links::new(max),
        })
    }

    fn known(&self, host: &str) -> Result<(), WorldError> {
        if self.hosts.contains_key(host) { Ok(()) } else { Err(WorldError::UnknownHost(host.to_owned())) }
    }

    fn crash(&mut self, host: &str, fin: bool) {
        let Some(state) = self.hosts.get_mut(host) else { return };
        if !state.up {
            return;
        }
        state.up = false;
        state.mailbox.jobs().clear();
        if !fin {
            self.links.silence(host);
            self.apply_links();
        }
        let recorder = self.recorder.clone();
        recorder.while_dying(host, || self.sim.crash(host));
    }

    fn restart(&mut self, host: &str) {
        let Some(state) = self.hosts.get_mut(host) else { return };
        if state.up {
            return;
        }
        state.up = true;
        self.links.speak(host);
        self.apply_links();
        self.sim.bounce(host);
    }

    fn apply_links(&mut self) {
        let hosts: Vec<&str> = self.hosts.keys().map(String::as_str).collect();
        let cuts = self.links.apply(&self.sim, &hosts);
        *self.cuts.lock().unwrap_or_else(PoisonError::into_inner) = cuts;
        self.links.apply_losses(&mut self.sim);
    }
}

impl World for TurmoilWorld {
    fn engine(&self) -> &EngineInfo {
        &self.info
    }

    fn add_host(&mut self, spec: HostSpec) -> Result<(), WorldError> {
        if self.hosts.contains_key(&spec.name) {
            return Err(WorldError::HostExists(spec.name));
        }
        let address = self.sim.lookup(spec.name.as_str());
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(spec.name.clone(), address);
        let mailbox = Arc::<Mailbox>::default();
        let tap = Tap {
            traced: Traced::new(&spec.name),
            recorder: self.recorder.clone(),
            tracer: self.tracer.clone(),
            connections: Arc::default(),
        };
        let network = TurmoilNetwork {
            address,
            names: self.names.clone(),
            cuts: self.cuts.clone(),
            host: spec.name.as_str().into(),
        };
        let network = Arc::new(TappedNetwork { network, tap });
        let (shared, name, program, box_of_host) =
            (self.shared.clone(), spec.name.clone(), spec.program, mailbox.clone());
        let incarnations = Arc::new(AtomicU32::new(0));
        self.sim.host(spec.name.as_str(), move || {
            let (shared, name, network) = (shared.clone(), name.clone(), network.clone());
            let (program, mailbox, incarnations) = (program.clone(), box_of_host.clone(), incarnations.clone());
            async move {
                let number = incarnations.fetch_add(1, Ordering::Relaxed);
                let clock = Arc::new(HostClock::start());
                let env = env(&shared, Incarnation { name: &name, address, number, network, clock });
                let _program = env.spawn("program", program(env.clone()));
                // The agent: a host lives until it crashes, also when its program has returned.
                loop {
                    let job = mailbox.jobs().pop_front();
                    match job {
                        Some(job) => env.spawn("job", job(env.clone())).detach(),
                        None => mailbox.arrived.notified().await,
                    }
                }
            }
        });
        self.hosts.insert(spec.name, HostState { mailbox, up: true });
        Ok(())
    }

    fn now(&self) -> Moment {
        Moment::after(self.sim.elapsed())
    }

    fn advance_while(&mut self, until: Moment, go_on: &dyn Fn() -> bool) -> Result<(), WorldError> {
        while self.now() < until && go_on() {
            let now = self.sim.elapsed();
            self.clock.store(Moment::after(now).0, Ordering::Relaxed);
            set_now(now);
            let step =
                std::panic::catch_unwind(AssertUnwindSafe(|| self.sim.step().map_err(|error| error.to_string())));
            match step {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(WorldError::Engine(error)),
                Err(panic) => return Err(WorldError::Engine(panic_text(&*panic))),
            }
            let panicked = self.shared.panics.lock().unwrap_or_else(PoisonError::into_inner).take();
            let escaped = escapes();
            if escaped.sockets > 0 {
                return Err(WorldError::Escaped("it opened a real socket".to_owned()));
            }
            if escaped.threads > 0 {
                return Err(WorldError::Escaped("it started a real thread".to_owned()));
            }
            // After the escapes: a library may panic because the socket or thread that it asked for was refused.
            if let Some((host, text)) = panicked {
                return Err(WorldError::Panicked { host, text });
            }
        }
        let now = self.sim.elapsed();
        self.clock.store(Moment::after(now).0, Ordering::Relaxed);
        set_now(now);
        Ok(())
    }

    fn inflict(&mut self, fault: &Fault) -> Result<(), WorldError> {
        let capability = fault.needs();
        if !self.info.capabilities.contains(&capability) {
            return Err(WorldError::Incapable { engine: self.info.name, capability });
        }
        for host in fault.hosts() {
            self.known(host)?;
        }
        match fault {
            Fault::Crash { host, fin } => self.crash(host, *fin),
            Fault::BackendDown { host } | Fault::BackendEnd { host } => self.crash(host, true),
            Fault::Restart { host } | Fault::BackendUp { host } => self.restart(host),
            Fault::Cut { from, to } => self.links.cut(from, to, true),
            Fault::Heal { from, to } => self.links.cut(from, to, false),
            Fault::Hold { a, b } => self.links.hold(a, b, true),
            Fault::Release { a, b } => self.links.hold(a, b, false),
            Fault::Latency { a, b, latency } => self.links.latency(a, b, *latency),
            Fault::Loss { a, b, probability, .. } => self.links.loss(a, b, *probability),
            // Leases are the backend's; the run that owns it knows how. The others were refused above.
            Fault::LeaseLost { .. }
            | Fault::LeaderDown { .. }
            | Fault::LeaderUp { .. }
            | Fault::Pause { .. }
            | Fault::Resume { .. }
            | Fault::Link { .. }
            | Fault::Reset { .. }
            | Fault::BackendPause { .. }
            | Fault::BackendResume { .. }
            | Fault::Compaction { .. }
            | Fault::Toxic { .. }
            | Fault::Antidote { .. }
            | Fault::LinkDown { .. }
            | Fault::LinkUp { .. }
            | Fault::Skew { .. } => {}
        }
        self.apply_links();
        Ok(())
    }

    fn heal(&mut self) -> Result<(), WorldError> {
        self.links.mend();
        let down: Vec<String> =
            self.hosts.iter().filter(|(_, state)| !state.up).map(|(name, _)| name.clone()).collect();
        for host in down {
            self.restart(&host);
        }
        self.apply_links();
        Ok(())
    }

    fn submit(&mut self, host: &str, job: Job) -> Result<(), WorldError> {
        self.known(host)?;
        let state = &self.hosts[host];
        if !state.up {
            return Err(WorldError::NotRunning(host.to_owned()));
        }
        state.mailbox.jobs().push_back(job);
        state.mailbox.arrived.notify_one();
        Ok(())
    }

    fn is_running(&self, host: &str) -> bool {
        self.hosts.get(host).is_some_and(|state| state.up)
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    fn granularity(&self) -> Duration {
        self.tick
    }
}

impl std::fmt::Debug for TurmoilWorld {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TurmoilWorld").field("now", &self.now()).field("hosts", &self.hosts).finish()
    }
}
