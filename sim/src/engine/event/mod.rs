//! The engine of our own: discrete events. Time jumps to the next packet or timer, so that a run costs what happens in it.
//! Each host is a tokio runtime that runs only while it has something to do, above a simulated machine with TCP and UDP.

mod clock;
mod fabric;
mod kernel;
mod links;
mod network;
mod packet;
mod queue;
mod runtime;
mod tcp;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::Duration;

use indexmap::IndexMap;
use rand::Rng;
use shaketable_stack::Env;

use self::clock::{HostClock, Skew, WorldTime};
use self::fabric::{Fabric, Ran, SharedFabric};
use self::kernel::Up;
use self::links::Links;
use self::network::HostNetwork;
use self::runtime::HostRuntime;
use super::host::{Incarnation, Shared, env, panic_text};
use super::tap::{Tap, TappedNetwork};
use super::{EngineInfo, Setup};
use crate::determinism::{escapes, is_active, set_now, set_refinement};
use crate::history::{Moment, Recorder};
use crate::plan::stream;
use crate::scenario::model::LossGranularity;
use crate::trace::{Traced, Tracer};
use crate::world::{Fault, HostSpec, Job, Program, World, WorldError};

/// Waits poll as often as this.
const GRANULARITY: Duration = Duration::from_millis(1);

/// A simulated world of discrete events.
pub struct EventWorld {
    info: EngineInfo,
    shared: Shared,
    fabric: SharedFabric,
    time: WorldTime,
    tracer: Tracer,
    recorder: Recorder,
    hosts: IndexMap<String, Host>,
    wakers: Vec<Waker>,
    /// How often the namespace was used before there was a host.
    shared_before: u64,
}

struct Host {
    number: u32,
    address: IpAddr,
    program: Program,
    network: Arc<TappedNetwork<HostNetwork>>,
    skew: Skew,
    incarnations: u32,
    running: Option<Running>,
}

/// One incarnation of a host.
struct Running {
    runtime: HostRuntime,
    env: Env,
}

impl EventWorld {
    /// An empty world.
    ///
    /// # Errors
    /// When the interposition is not active, or not possible here: libraries would wait in real time.
    pub fn new(setup: Setup) -> Result<Self, WorldError> {
        if !is_active() {
            let text =
                "engine event needs interposed clocks, which this process does not have; engine turmoil does not";
            return Err(WorldError::Engine(text.to_owned()));
        }
        set_refinement(None);
        let (latency, quality) = (setup.network.latency, setup.network.quality());
        let time = WorldTime::default();
        let clock = time.clone();
        Ok(Self {
            info: super::event_info(),
            shared_before: setup.namespace.times_shared(),
            shared: Shared { seed: setup.seed, namespace: setup.namespace, panics: Arc::default() },
            fabric: SharedFabric::new(Fabric::new(Links::new(setup.seed, latency, quality))),
            time,
            tracer: setup.tracer,
            recorder: Recorder::new(Arc::new(move || Moment(clock.now()))),
            hosts: IndexMap::new(),
            wakers: Vec::new(),
        })
    }

    fn host(&mut self, name: &str) -> Result<&mut Host, WorldError> {
        self.hosts.get_mut(name).ok_or_else(|| WorldError::UnknownHost(name.to_owned()))
    }

    fn set_time(&self, now: u64) {
        self.time.set(now);
        set_now(Duration::from_nanos(now));
    }

    fn start(&mut self, name: &str) -> Result<(), WorldError> {
        let (shared, fabric, time) = (self.shared.clone(), self.fabric.clone(), self.time.clone());
        let host = self.host(name)?;
        if host.running.is_some() {
            return Ok(());
        }
        let runtime = HostRuntime::new(time.now())
            .map_err(|error| WorldError::Engine(format!("failed to make the runtime of {name}: {error}")))?;
        let number = host.number;
        let clock = HostClock { fabric: fabric.clone(), host: number, time, skew: host.skew.clone() };
        let incarnation = Incarnation {
            name,
            address: host.address,
            number: host.incarnations,
            network: host.network.clone(),
            clock: Arc::new(clock),
        };
        host.incarnations += 1;
        let program = host.program.clone();
        let env = runtime.enter(|| {
            let env = env(&shared, incarnation);
            env.spawn("program", program(env.clone())).detach();
            env
        });
        host.running = Some(Running { runtime, env });
        let mut fabric = fabric.lock();
        let kernel = &mut fabric.kernels[number as usize];
        (kernel.up, kernel.paused, kernel.ready) = (Up::Program, false, false);
        fabric.make_ready(number);
        Ok(())
    }

    fn crash(&mut self, name: &str, fin: bool) -> Result<(), WorldError> {
        let (fabric, recorder) = (self.fabric.clone(), self.recorder.clone());
        let host = self.host(name)?;
        let number = host.number;
        let Some(running) = host.running.take() else { return Ok(()) };
        if !fin {
            // Before its sockets are dropped: a machine without power sends nothing.
            fabric.lock().kernels[number as usize].forget();
        }
        recorder.while_dying(name, || drop(running));
        let mut fabric = fabric.lock();
        if fin {
            let kernel = &mut fabric.kernels[number as usize];
            (kernel.up, kernel.runtime_event) = (Up::Machine, None);
            kernel.timers.clear();
            kernel.wakers.clear();
        }
        fabric.ready.retain(|ready| *ready != number);
        Ok(())
    }

    fn pause(&mut self, name: &str, paused: bool) -> Result<(), WorldError> {
        let number = self.host(name)?.number;
        let mut fabric = self.fabric.lock();
        let kernel = &mut fabric.kernels[number as usize];
        if kernel.paused == paused {
            return Ok(());
        }
        kernel.paused = paused;
        kernel.ready = false;
        if paused {
            fabric.ready.retain(|ready| *ready != number);
        } else {
            // Its clocks have gone on: timers that are overdue go off now.
            fabric.make_ready(number);
        }
        Ok(())
    }

    fn pairs(&self, from: &[String], to: &[String], both_ways: bool) -> Vec<(u32, u32)> {
        let fabric = self.fabric.lock();
        let number = |name: &String| fabric.number(name);
        let mut pairs = Vec::new();
        for from in from.iter().filter_map(number) {
            for to in to.iter().filter_map(number).filter(|to| *to != from) {
                pairs.push((from, to));
                if both_ways {
                    pairs.push((to, from));
                }
            }
        }
        pairs
    }

    /// Runs every program that has something to do at this moment, until none has.
    fn run_ready(&mut self) -> Result<(), WorldError> {
        let mut ran = None;
        loop {
            let mut fabric = self.fabric.lock();
            let Some(number) = fabric.next_ready(ran.take(), &mut self.wakers) else {
                if fabric.acknowledge() {
                    continue;
                }
                drop(fabric);
                if self.hosts_share_memory() && self.find_woken() {
                    continue;
                }
                return Ok(());
            };
            drop(fabric);
            ran = self.run_host(number)?;
        }
    }

    fn run_host(&mut self, number: u32) -> Result<Option<Ran>, WorldError> {
        let now = self.time.now();
        let running = self.hosts.get_index_mut(number as usize).and_then(|(_, host)| {
            let skew = host.skew.get();
            host.running.as_mut().map(|running| (running, skew))
        });
        let Some((running, skew)) = running else {
            self.wakers.clear();
            return Ok(None);
        };
        let wakers = &mut self.wakers;
        let wants = std::panic::catch_unwind(AssertUnwindSafe(|| running.runtime.run(now, skew, wakers)))
            .map_err(|panic| WorldError::Engine(panic_text(&*panic)))?;
        self.complain()?;
        Ok(Some(Ran { host: number, wants }))
    }

    /// Whether tasks of one host may wake those of another without a packet.
    fn hosts_share_memory(&self) -> bool {
        self.shared.namespace.times_shared() > self.shared_before
    }

    /// Looks for hosts whose tasks were woken by something else than their own timers and packets.
    fn find_woken(&mut self) -> bool {
        let mut fabric = self.fabric.lock();
        for host in self.hosts.values() {
            if host.running.as_ref().is_some_and(|running| running.runtime.was_woken()) {
                fabric.make_ready(host.number);
            }
        }
        !fabric.ready.is_empty()
    }

    fn complain(&self) -> Result<(), WorldError> {
        let escaped = escapes();
        if escaped.sockets > 0 {
            return Err(WorldError::Escaped("it opened a real socket".to_owned()));
        }
        if escaped.threads > 0 {
            return Err(WorldError::Escaped("it started a real thread".to_owned()));
        }
        // After the escapes: a library may panic because the socket or thread that it asked for was refused.
        match self.shared.panics.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some((host, text)) => Err(WorldError::Panicked { host, text }),
            None => Ok(()),
        }
    }
}

impl World for EventWorld {
    fn engine(&self) -> &EngineInfo {
        &self.info
    }

    fn add_host(&mut self, spec: HostSpec) -> Result<(), WorldError> {
        if self.hosts.contains_key(&spec.name) {
            return Err(WorldError::HostExists(spec.name));
        }
        let first_port = stream(self.shared.seed, &format!("ports/{}", spec.name)).random_range(49_152..65_535);
        let (number, address) = self.fabric.lock().add(&spec.name, first_port);
        let tap = Tap {
            traced: Traced::new(&spec.name),
            recorder: self.recorder.clone(),
            tracer: self.tracer.clone(),
            connections: Arc::default(),
        };
        let network = HostNetwork { fabric: self.fabric.clone(), host: number };
        let host = Host {
            number,
            address,
            program: spec.program,
            network: Arc::new(TappedNetwork { network, tap }),
            skew: Skew::default(),
            incarnations: 0,
            running: None,
        };
        self.hosts.insert(spec.name.clone(), host);
        self.start(&spec.name)
    }

    fn now(&self) -> Moment {
        Moment(self.time.now())
    }

    fn advance_while(&mut self, until: Moment, go_on: &dyn Fn() -> bool) -> Result<(), WorldError> {
        self.set_time(self.time.now());
        // Whoever drives the world may have told a host something since.
        self.find_woken();
        loop {
            self.run_ready()?;
            if !go_on() {
                return Ok(());
            }
            let mut fabric = self.fabric.lock();
            match fabric.next_at() {
                Some(at) if at <= until.0 => {
                    // Everything that happens at one moment happens before programs see any of it.
                    while fabric.next_at() == Some(at) {
                        fabric.step();
                    }
                    let now = fabric.now;
                    drop(fabric);
                    self.set_time(now);
                }
                _ => {
                    fabric.now = fabric.now.max(until.0);
                    let now = fabric.now;
                    drop(fabric);
                    self.set_time(now);
                    return Ok(());
                }
            }
        }
    }

    fn inflict(&mut self, fault: &Fault) -> Result<(), WorldError> {
        let capability = fault.needs();
        if !self.info.capabilities.contains(&capability) {
            return Err(WorldError::Incapable { engine: self.info.name, capability });
        }
        for host in fault.hosts() {
            self.host(host)?;
        }
        match fault {
            Fault::Crash { host, fin } => return self.crash(host, *fin),
            Fault::BackendDown { host } | Fault::BackendEnd { host } => return self.crash(host, true),
            Fault::Restart { host } | Fault::BackendUp { host } => return self.start(host),
            Fault::Pause { host } | Fault::BackendPause { host } => return self.pause(host, true),
            Fault::Resume { host } | Fault::BackendResume { host } => return self.pause(host, false),
            Fault::Skew { host, by_ns } => {
                self.host(host)?.skew.set(*by_ns);
                return Ok(());
            }
            Fault::Reset { a, b } => {
                let pairs = self.pairs(a, b, true);
                let mut fabric = self.fabric.lock();
                pairs.into_iter().for_each(|(host, peer)| fabric.reset(host, peer));
                return Ok(());
            }
            // The backend does it; the run that owns the backend knows how.
            Fault::LeaseLost { .. } | Fault::Compaction { .. } | Fault::LeaderDown { .. } | Fault::LeaderUp { .. } => {
                return Ok(());
            }
            _ => {}
        }
        let (from, to, both_ways) = match fault {
            Fault::Cut { from, to } | Fault::Heal { from, to } => (from, to, false),
            Fault::Hold { a, b } | Fault::Release { a, b } | Fault::Latency { a, b, .. } | Fault::Loss { a, b, .. } => {
                (a, b, true)
            }
            Fault::Link { from, to, .. } => (from, to, false),
            _ => return Ok(()),
        };
        let pairs = self.pairs(from, to, both_ways);
        self.fabric.lock().change_links(|links, now, queue| match fault {
            Fault::Cut { .. } => links.cut(now, &pairs, true, queue),
            Fault::Heal { .. } => links.cut(now, &pairs, false, queue),
            Fault::Hold { .. } => links.hold(now, &pairs, true, queue),
            Fault::Release { .. } => links.hold(now, &pairs, false, queue),
            Fault::Latency { latency, .. } => links.latency(now, &pairs, *latency, queue),
            Fault::Loss { probability, granularity: LossGranularity::Packet, .. } => {
                links.packet_loss(now, &pairs, *probability, queue);
            }
            Fault::Loss { probability, .. } => links.breaks(now, &pairs, *probability, queue),
            Fault::Link { quality, .. } => links.quality(now, &pairs, *quality, queue),
            _ => {}
        });
        Ok(())
    }

    fn heal(&mut self) -> Result<(), WorldError> {
        self.fabric.lock().change_links(Links::mend);
        let names: Vec<String> = self.hosts.keys().cloned().collect();
        for name in names {
            self.host(&name)?.skew.set(0);
            self.pause(&name, false)?;
            self.start(&name)?;
        }
        Ok(())
    }

    fn submit(&mut self, host: &str, job: Job) -> Result<(), WorldError> {
        let fabric = self.fabric.clone();
        let host = self.hosts.get(host).ok_or_else(|| WorldError::UnknownHost(host.to_owned()))?;
        let Some(running) = &host.running else {
            let name = self.hosts.get_index(host.number as usize).map(|(name, _)| name.clone());
            return Err(WorldError::NotRunning(name.unwrap_or_default()));
        };
        running.runtime.enter(|| running.env.spawn("job", job(running.env.clone())).detach());
        fabric.lock().make_ready(host.number);
        Ok(())
    }

    fn is_running(&self, host: &str) -> bool {
        self.hosts.get(host).is_some_and(|host| host.running.is_some())
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    fn granularity(&self) -> Duration {
        GRANULARITY
    }
}

impl std::fmt::Debug for EventWorld {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EventWorld").field("now", &self.now()).field("hosts", &self.hosts.keys()).finish()
    }
}
