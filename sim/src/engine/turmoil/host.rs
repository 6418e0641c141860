//! The environment of a simulated host: turmoil's network, simulated clocks, random streams of its own, tasks on the host's
//! own runtime, which a crash drops.
#![expect(clippy::disallowed_methods, reason = "this is where tokio's paused clock and tasks are wrapped")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use shaketable_stack::env::{
    BoxTask, Clock, Env, EnvParts, HostIdentity, Instant, LiveTasks, Namespace, Random, RandomSource, Sleep, Spawner,
    Task,
};

use super::network::{Cuts, Names, Tap, TurmoilNetwork, inherit_cause};
use crate::determinism::EPOCH_S;
use crate::plan::stream;

/// What the environments of all incarnations of all hosts have in common.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) seed: u64,
    pub(super) namespace: Namespace,
    pub(super) names: Names,
    pub(super) cuts: Cuts,
    pub(super) panics: Panics,
}

/// The first task that panicked: its host and what it said. tokio keeps a panic for who joins the task, and nobody may.
pub(super) type Panics = Arc<Mutex<Option<(String, String)>>>;

/// Makes the environment of one incarnation; called on the host's runtime.
pub(super) fn env(shared: &Shared, name: &str, address: IpAddr, incarnation: u32, tap: Tap) -> Env {
    Env::new(EnvParts {
        network: Arc::new(TurmoilNetwork { address, names: shared.names.clone(), cuts: shared.cuts.clone(), tap }),
        clock: Arc::new(HostClock::start()),
        random: Arc::new(HostRandom {
            seed: shared.seed,
            host: format!("{name}/{incarnation}"),
            opened: Mutex::default(),
        }),
        spawner: Arc::new(HostSpawner { live: Arc::default(), host: name.to_owned(), panics: shared.panics.clone() }),
        host: HostIdentity { name: name.to_owned(), address, incarnation },
        namespace: shared.namespace.clone(),
    })
}

/// Simulated time. Its origin is the world's, so that instants of simulated hosts are comparable.
#[derive(Debug)]
struct HostClock {
    started: tokio::time::Instant,
    world_time_at_start: Duration,
}

impl HostClock {
    fn start() -> Self {
        Self { started: tokio::time::Instant::now(), world_time_at_start: turmoil::sim_elapsed().unwrap_or_default() }
    }
}

impl Clock for HostClock {
    fn now(&self) -> Instant {
        Instant::from_origin(self.world_time_at_start + self.started.elapsed())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_S) + self.now().since_origin()
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        let after_start = deadline.since_origin().saturating_sub(self.world_time_at_start);
        Sleep::new(tokio::time::sleep_until(self.started + after_start))
    }
}

/// Streams by (seed, host, incarnation, name, how often the name was opened before).
#[derive(Debug)]
struct HostRandom {
    seed: u64,
    host: String,
    opened: Mutex<BTreeMap<String, u64>>,
}

impl RandomSource for HostRandom {
    fn stream(&self, name: &str) -> Random {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let count = opened.entry(name.to_owned()).or_default();
        *count += 1;
        stream(self.seed, &format!("host/{}/{name}/{count}", self.host))
    }
}

#[derive(Debug)]
struct HostSpawner {
    live: Arc<LiveTasks>,
    host: String,
    panics: Panics,
}

impl Spawner for HostSpawner {
    fn spawn(&self, name: &'static str, task: BoxTask) -> Task {
        let (host, panics) = (self.host.clone(), self.panics.clone());
        let task = async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                let text = super::panic_text(&*panic);
                panics.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((host, text));
                std::panic::resume_unwind(panic);
            }
        };
        Task::new(tokio::spawn(self.live.track(name, inherit_cause(task))))
    }

    fn live(&self) -> Arc<LiveTasks> {
        self.live.clone()
    }
}
