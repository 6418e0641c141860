//! The live world: real sockets, real time, real servers. Each host is a thread with a runtime of its own, and has an address
//! of this machine's loopback network; faults of links are done by what carries its connections. Nothing of it can be
//! replayed, and no engine of a sweep leads here.
#![expect(clippy::disallowed_methods, reason = "the live world lives in real time")]

mod clock;
mod datagram;
mod door;
mod ground;
mod host;
mod links;
mod network;
mod own;
mod relay;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use shaketable_stack::env::Namespace;
use tokio::sync::watch;
use tokio::time::Instant;

use self::clock::LiveClock;
use self::door::Door;
use self::host::{LiveHost, Pause, Start};
use self::network::{Cable, LiveNetwork};
use self::own::Stands;
use self::relay::Life;
use super::EngineInfo;
use super::host::Shared;
use crate::backend::{Entry, EntryListener, LiveBackend};
use crate::history::{Moment, Recorder, WorldClock};
use crate::world::{Capability, Fault, HostSpec, Job, Program, World, WorldError};

pub use ground::Ground;
pub use own::OwnHost;

/// What people write: `--world live`.
pub const NAME: &str = "live";

/// How often who lets time pass looks whether something is wrong.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The first worlds of processes with neighbouring numbers have addresses of their own.
const NETWORKS: u32 = 190;
const FIRST_NETWORK: u32 = 64;

/// What the live world is and can do. It is none of the engines that simulate.
pub fn info() -> EngineInfo {
    use Capability::{
        BackendEnd, BackendPause, BackendRestart, Compaction, Crash, CrashWithoutFin, Cut, Hold, LeaseLoss,
        LinkLatency, Pause, Reset, Skew, Toxics,
    };
    EngineInfo {
        name: NAME,
        summary: "real sockets, real time, real servers; nothing is replayed",
        capabilities: BTreeSet::from([
            Crash,
            CrashWithoutFin,
            Pause,
            Cut,
            Hold,
            LinkLatency,
            Reset,
            Skew,
            LeaseLoss,
            BackendRestart,
            BackendEnd,
            BackendPause,
            Compaction,
            Toxics,
        ]),
        ticks: false,
        is_live: true,
    }
}

/// What decides what can be decided of a live world.
#[derive(Debug)]
pub struct LiveSetup {
    /// Decides what loads and components draw, and nothing else: when something happens is the machine's business.
    pub seed: u64,
    /// What hosts share.
    pub namespace: Namespace,
    /// Servers that run and answer.
    pub backends: Vec<Arc<dyn LiveBackend>>,
}

/// A world of this machine. Dropping it ends its hosts.
pub struct LiveWorld {
    info: EngineInfo,
    shared: Shared,
    cable: Arc<Cable>,
    recorder: Recorder,
    origin: Instant,
    began: SystemTime,
    network: u8,
    hosts: BTreeMap<String, HostState>,
    /// Servers by host: those of a cluster are several.
    backends: BTreeMap<String, BackendState>,
    /// Hosts whose service is the user's own, by name; their programs of ours only look after it.
    own: BTreeMap<String, OwnHost>,
}

struct HostState {
    program: Program,
    address: Ipv4Addr,
    starts: u32,
    skew_ns: Arc<AtomicI64>,
    life: watch::Sender<Life>,
    running: Option<LiveHost>,
    /// Lets it go on when it is dropped.
    pause: Option<Pause>,
}

struct BackendState {
    backend: Arc<dyn LiveBackend>,
    is_up: bool,
    is_paused: bool,
}

impl LiveWorld {
    /// A world without hosts, which begins now.
    ///
    /// # Errors
    /// When this machine gives no thread, or a server cannot be observed.
    pub fn new(setup: LiveSetup) -> Result<Self, WorldError> {
        Self::on(Ground::lay(setup.seed)?, setup, Vec::new())
    }

    /// A world on `ground` without hosts, which begins now; the services of `own` run, and their hosts will be added.
    ///
    /// # Errors
    /// When this machine gives no port, or a server cannot be observed.
    pub fn on(ground: Ground, setup: LiveSetup, own: Vec<OwnHost>) -> Result<Self, WorldError> {
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id().wrapping_add(WORLDS.fetch_add(1, Ordering::Relaxed)) % NETWORKS;
        let network = u8::try_from(FIRST_NETWORK + number).unwrap_or(u8::MAX);
        let cable = ground.cable;
        let (origin, began) = (Instant::now(), SystemTime::now());
        let clock: WorldClock = Arc::new(move || Moment::after(origin.elapsed()));
        let recorder = Recorder::new(clock.clone());
        for own in &own {
            let opening = Door::open(own.clone(), recorder.clone(), began);
            let broke = |error| WorldError::Engine(format!("there is no door to {}: {error}", own.host()));
            cable.add_door(cable.wait(opening).map_err(broke)?);
        }
        let mut backends = BTreeMap::new();
        for backend in setup.backends {
            backend.observe(clock.clone(), listener(&own, &recorder, began)).map_err(WorldError::Engine)?;
            for (host, addresses) in backend.hosts() {
                cable.add_server(&host, &addresses);
                backends.insert(host, BackendState { backend: backend.clone(), is_up: true, is_paused: false });
            }
        }
        Ok(Self {
            info: info(),
            shared: Shared { seed: setup.seed, namespace: setup.namespace, panics: Arc::default() },
            cable,
            recorder,
            origin,
            began,
            network,
            hosts: BTreeMap::new(),
            backends,
            own: own.into_iter().map(|own| (own.host().to_string(), own)).collect(),
        })
    }

    /// The date at which it began.
    pub fn began(&self) -> SystemTime {
        self.began
    }

    fn host(&mut self, name: &str) -> Result<&mut HostState, WorldError> {
        self.hosts.get_mut(name).ok_or_else(|| WorldError::UnknownHost(name.to_owned()))
    }

    /// Starts `name` if it does not run.
    fn start(&mut self, name: &str) -> Result<(), WorldError> {
        let (shared, cable, origin) = (self.shared.clone(), self.cable.clone(), self.origin);
        let own = self.own.get(name).cloned();
        let state = self.host(name)?;
        if state.running.is_some() {
            return Ok(());
        }
        if let Some(own) = own.filter(|_| state.starts > 0) {
            own.set(Stands::Up);
            own.service().start_again().map_err(WorldError::Engine)?;
            // Who waits to connect must not find the machine up and the service not yet.
            cable.change(|links| links.revive(name));
        }
        // What was left of its last life ends, as far as its peers can see, when it comes up again.
        state.life.send_replace(Life::Over);
        let (life, seen) = watch::channel(Life::Alive);
        state.life = life;
        let network = LiveNetwork::new(cable, name, state.address, seen);
        let start = Start {
            name: name.to_owned(),
            address: IpAddr::V4(state.address),
            number: state.starts,
            shared,
            network: Arc::new(network),
            clock: Arc::new(LiveClock::new(origin, state.skew_ns.clone())),
            program: state.program.clone(),
        };
        state.starts += 1;
        state.running = Some(LiveHost::start(start)?);
        Ok(())
    }

    fn crash(&mut self, name: &str, fin: bool) -> Result<(), WorldError> {
        let recorder = self.recorder.clone();
        let own = self.own.get(name).cloned();
        let cable = self.cable.clone();
        let state = self.host(name)?;
        let Some(running) = state.running.take() else { return Ok(()) };
        if !fin {
            state.life.send_replace(Life::Silent);
        }
        let pause = state.pause.take();
        if let Some(own) = own {
            if !fin {
                cable.change(|links| links.silence(name));
            }
            own.set(Stands::Down(recorder.now()));
            own.service().kill().map_err(WorldError::Engine)?;
        }
        recorder.while_dying(name, || running.end(pause))
    }

    /// Keeps `name` from executing.
    fn pause(&mut self, name: &str) -> Result<(), WorldError> {
        let (own, now) = (self.own.get(name).cloned(), self.now());
        let state = self.host(name)?;
        if let (Some(running), None) = (&state.running, &state.pause) {
            state.pause = Some(running.pause()?);
            if let Some(own) = own {
                own.set(Stands::Paused(now));
                own.service().pause(true).map_err(WorldError::Engine)?;
            }
        }
        Ok(())
    }

    /// Lets `name` go on if it is paused.
    fn resume(&mut self, name: &str) -> Result<(), WorldError> {
        let own = self.own.get(name).cloned();
        let Some(pause) = self.host(name)?.pause.take() else { return Ok(()) };
        if let Some(own) = own {
            own.service().pause(false).map_err(WorldError::Engine)?;
            own.set(Stands::Up);
        }
        drop(pause);
        Ok(())
    }

    fn backend_down(&mut self, name: &str, in_order: bool) -> Result<(), WorldError> {
        let state = self.backends.get_mut(name).ok_or_else(|| WorldError::UnknownHost(name.to_owned()))?;
        if std::mem::replace(&mut state.is_up, false) {
            // It dies as it stands, but what is paused in a container is killed by nobody.
            if std::mem::replace(&mut state.is_paused, false) {
                state.backend.pause(name, false).map_err(WorldError::Engine)?;
            }
            let ends = if in_order { state.backend.end(name) } else { state.backend.stop(name) };
            ends.map_err(WorldError::Engine)?;
        }
        Ok(())
    }

    fn backend_up(&mut self, name: &str) -> Result<(), WorldError> {
        let state = self.backends.get_mut(name).ok_or_else(|| WorldError::UnknownHost(name.to_owned()))?;
        if !state.is_up {
            state.backend.start_again(name).map_err(WorldError::Engine)?;
            state.is_up = true;
        }
        Ok(())
    }

    fn backend_pause(&mut self, name: &str, paused: bool) -> Result<(), WorldError> {
        let state = self.backends.get_mut(name).ok_or_else(|| WorldError::UnknownHost(name.to_owned()))?;
        if state.is_up && std::mem::replace(&mut state.is_paused, paused) != paused {
            state.backend.pause(name, paused).map_err(WorldError::Engine)?;
        }
        Ok(())
    }

    fn is_known(&self, name: &str) -> bool {
        self.hosts.contains_key(name) || self.backends.contains_key(name)
    }

    /// Refuses what this world cannot do, or cannot do to this server.
    fn check(&self, fault: &Fault) -> Result<(), WorldError> {
        let capability = fault.needs();
        let incapable = || WorldError::Incapable { engine: NAME, capability };
        if !self.info.capabilities.contains(&capability) {
            return Err(incapable());
        }
        for host in fault.hosts() {
            if !self.is_known(host) {
                return Err(WorldError::UnknownHost(host.to_owned()));
            }
        }
        if let Fault::BackendDown { host }
        | Fault::BackendEnd { host }
        | Fault::BackendUp { host }
        | Fault::BackendPause { host }
        | Fault::BackendResume { host } = fault
            && !self.backends.get(host).is_some_and(|state| state.backend.capabilities().contains(&capability))
        {
            return Err(incapable());
        }
        Ok(())
    }
}

impl World for LiveWorld {
    fn engine(&self) -> &EngineInfo {
        &self.info
    }

    fn add_host(&mut self, spec: HostSpec) -> Result<(), WorldError> {
        if self.is_known(&spec.name) {
            return Err(WorldError::HostExists(spec.name));
        }
        let number = u16::try_from(self.hosts.len() + 1)
            .map_err(|_| WorldError::Engine("a live world has no more than 65535 hosts".to_owned()))?;
        let [high, low] = number.to_be_bytes();
        let address = Ipv4Addr::new(127, self.network, high, low);
        self.cable.add_host(&spec.name, address);
        let state = HostState {
            program: spec.program,
            address,
            starts: 0,
            skew_ns: Arc::default(),
            life: watch::channel(Life::Alive).0,
            running: None,
            pause: None,
        };
        self.hosts.insert(spec.name.clone(), state);
        self.start(&spec.name)
    }

    fn now(&self) -> Moment {
        Moment::after(self.origin.elapsed())
    }

    fn advance_while(&mut self, until: Moment, go_on: &dyn Fn() -> bool) -> Result<(), WorldError> {
        loop {
            let panicked = self.shared.panics.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some((host, text)) = panicked {
                return Err(WorldError::Panicked { host, text });
            }
            let now = self.now();
            if now >= until || !go_on() {
                return Ok(());
            }
            std::thread::sleep(until.since(now).min(LOOK_EVERY));
        }
    }

    fn inflict(&mut self, fault: &Fault) -> Result<(), WorldError> {
        self.check(fault)?;
        match fault {
            Fault::Crash { host, fin } => self.crash(host, *fin)?,
            Fault::Restart { host } => self.start(host)?,
            Fault::Pause { host } => self.pause(host)?,
            Fault::Resume { host } => self.resume(host)?,
            Fault::Skew { host, by_ns } => self.host(host)?.skew_ns.store(*by_ns, Ordering::Relaxed),
            Fault::BackendDown { host } => self.backend_down(host, false)?,
            Fault::BackendEnd { host } => self.backend_down(host, true)?,
            Fault::BackendUp { host } => self.backend_up(host)?,
            Fault::BackendPause { host } => self.backend_pause(host, true)?,
            Fault::BackendResume { host } => self.backend_pause(host, false)?,
            Fault::Cut { from, to } => self.cable.change(|links| links.cut(from, to, true)),
            Fault::Heal { from, to } => self.cable.change(|links| links.cut(from, to, false)),
            Fault::Hold { a, b } => self.cable.change(|links| links.hold(a, b, true)),
            Fault::Release { a, b } => self.cable.change(|links| links.hold(a, b, false)),
            Fault::Latency { a, b, latency } => self.cable.change(|links| links.slow(a, b, *latency)),
            Fault::Reset { a, b } => self.cable.change(|links| links.reset(a, b)),
            Fault::Toxic { a, b, toxic } => self.cable.change(|links| links.poison(a, b, toxic)),
            Fault::Antidote { a, b, toxic } => self.cable.change(|links| links.cure(a, b, toxic)),
            Fault::LinkDown { a, b } => self.cable.change(|links| links.down(a, b, true)),
            Fault::LinkUp { a, b } => self.cable.change(|links| links.down(a, b, false)),
            // Leases and history are the server's; the run that has it knows how. The others were refused above.
            Fault::LeaseLost { .. }
            | Fault::Compaction { .. }
            | Fault::Loss { .. }
            | Fault::Link { .. }
            | Fault::LeaderDown { .. }
            | Fault::LeaderUp { .. } => {}
        }
        Ok(())
    }

    fn heal(&mut self) -> Result<(), WorldError> {
        self.cable.change(links::Links::mend);
        for name in self.backends.keys().cloned().collect::<Vec<_>>() {
            self.backend_pause(&name, false)?;
            self.backend_up(&name)?;
        }
        for name in self.hosts.keys().cloned().collect::<Vec<_>>() {
            self.resume(&name)?;
            self.host(&name)?.skew_ns.store(0, Ordering::Relaxed);
            self.start(&name)?;
        }
        Ok(())
    }

    fn submit(&mut self, host: &str, job: Job) -> Result<(), WorldError> {
        let not_running = || WorldError::NotRunning(host.to_owned());
        let running = self.host(host)?.running.as_ref().ok_or_else(not_running)?;
        running.submit(job).map_err(|_| not_running())
    }

    fn is_running(&self, host: &str) -> bool {
        let server = || self.backends.get(host).is_some_and(|state| state.is_up);
        self.hosts.get(host).map_or_else(server, |state| state.running.is_some())
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    fn granularity(&self) -> Duration {
        LOOK_EVERY
    }
}

/// Tells the hosts of `own` what registries were seen to have written.
fn listener(own: &[OwnHost], recorder: &Recorder, began: SystemTime) -> EntryListener {
    let (own, recorder) = (own.to_vec(), recorder.clone());
    Arc::new(move |at: Moment, entry: Entry| {
        for own in &own {
            own.hear(&recorder, began + at.since_start(), at, &entry);
        }
    })
}

impl Drop for LiveWorld {
    fn drop(&mut self) {
        for state in self.hosts.values_mut() {
            let pause = state.pause.take();
            // A host that does not end is left to the end of the process; its world is over.
            let _ = state.running.take().map(|running| running.end(pause));
        }
    }
}

impl std::fmt::Debug for LiveWorld {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LiveWorld").field("now", &self.now()).field("hosts", &self.hosts.keys()).finish()
    }
}
