//! What the environments of simulated hosts have in common, whichever engine carries them: random streams of their own, and
//! tasks on the host's own runtime, which a crash drops.
#![expect(clippy::disallowed_methods, reason = "this is where tokio's tasks are wrapped")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use shaketable_stack::env::{
    BoxTask, Clock, Env, EnvParts, HostIdentity, LiveTasks, Namespace, Network, Random, RandomSource, Spawner, Task,
};

use crate::history::{current_cause, with_cause};
use crate::plan::stream;

/// What the environments of all incarnations of all hosts share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) seed: u64,
    pub(super) namespace: Namespace,
    pub(super) panics: Panics,
}

/// The first task that panicked: its host and what it said. tokio keeps a panic for who joins the task, and nobody may.
pub(super) type Panics = Arc<Mutex<Option<(String, String)>>>;

/// One incarnation of a host.
pub(super) struct Incarnation<'a> {
    pub(super) name: &'a str,
    pub(super) address: IpAddr,
    pub(super) number: u32,
    pub(super) network: Arc<dyn Network>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Makes the environment of one incarnation; called on the host's runtime.
pub(super) fn env(shared: &Shared, incarnation: Incarnation<'_>) -> Env {
    let Incarnation { name, address, number, network, clock } = incarnation;
    Env::new(EnvParts {
        network,
        clock,
        random: Arc::new(HostRandom { seed: shared.seed, host: format!("{name}/{number}"), opened: Mutex::default() }),
        spawner: Arc::new(HostSpawner { live: Arc::default(), host: name.to_owned(), panics: shared.panics.clone() }),
        host: HostIdentity { name: name.to_owned(), address, incarnation: number },
        namespace: shared.namespace.clone(),
    })
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
                let text = panic_text(&*panic);
                panics.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((host, text));
                std::panic::resume_unwind(panic);
            }
        };
        // A task works for the operation that started it.
        let task = with_cause(current_cause(), task);
        Task::new(tokio::spawn(self.live.track(name, task)))
    }

    fn live(&self) -> Arc<LiveTasks> {
        self.live.clone()
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panic: {}", text.unwrap_or_else(|| "without a message".to_owned()))
}
