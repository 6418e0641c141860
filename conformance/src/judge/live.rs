//! A check in the live world: real sockets, real time, a real backend. Checks that only ask run side by side; those that
//! disturb the backend run alone.
#![expect(clippy::disallowed_methods, reason = "the live world lives in real time")]

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use shaketable_sim::history::{Moment, Recorder};
use shaketable_stack::env::{Namespace, os};
use shaketable_stack::plugin::Plugins;

use super::Subject;
use super::job::CheckReport;
use super::simulated::last_events;
use super::verify::VerifyRequest;
use crate::backend::{Act, Backend, Verb};
use crate::site::{LeapingClock, Reach, Shared, Site};
use crate::{Check, Finding, Need, Outcome, Requirement};

/// A check that is not over after this much real time hangs, whatever it waits for.
const LIMIT: Duration = Duration::from_secs(170);

/// Makes the backend of a live world, once for each session.
pub type BackendMaker = Arc<dyn Fn() -> Result<Arc<dyn Backend>, String> + Send + Sync>;

/// Where plugins are judged on real machines.
#[derive(Clone)]
pub struct LiveWorld {
    /// The backend, for plugins that need one.
    pub backend: Option<Arc<dyn Backend>>,
    /// How many checks run side by side.
    pub at_once: usize,
    /// The plugin is behind an adapter whose time passes when the harness lets it.
    pub virtual_clock: bool,
}

impl fmt::Debug for LiveWorld {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LiveWorld").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// Whether `requirement` disturbs the backend for others, or is disturbed by them.
pub(super) fn runs_alone(requirement: &Requirement) -> bool {
    requirement.needs.iter().any(|need| matches!(need, Need::Backend(_)))
}

/// Checks `requirement` in this process, on a thread of its own.
pub(super) fn run(
    requirement: &Requirement,
    request: &VerifyRequest,
    world: &LiveWorld,
    plugins: &Arc<Plugins>,
) -> CheckReport {
    let Check::Run { function, .. } = requirement.check else { return CheckReport::broken("there is no check") };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return CheckReport::broken(format!("failed to make a runtime: {error}")),
    };
    let promises = match request.interface.promises(plugins, &request.plugin) {
        Ok(promises) => promises,
        Err(error) => return CheckReport::broken(error.to_string()),
    };
    let began = Instant::now();
    let recorder = Recorder::new(Arc::new(move || Moment::after(began.elapsed())));
    let prefix = unique(requirement.id);
    let env = {
        let _entered = runtime.enter();
        os::env(Namespace::new(&prefix))
    };
    let leaping = world.virtual_clock.then(|| Arc::new(LeapingClock::new(env.clock().clone())));
    let env = leaping.as_ref().map_or_else(|| env.clone(), |clock| env.with_clock(clock.clone()));
    let backend = world.backend.clone().map(|inner| Arc::new(Shaken { inner, undone: Mutex::default() }));
    let shared = Arc::new(Shared {
        subject: Subject {
            interface: request.interface,
            plugin: request.plugin.clone(),
            addresses: world.backend.as_ref().map(|backend| backend.addresses()).unwrap_or_default(),
            beside: request.beside.clone(),
        },
        promises,
        plugins: plugins.clone(),
        recorder: recorder.clone(),
        reach: Reach::Live(backend.clone().map(|backend| backend as Arc<dyn Backend>)),
        leaping,
        prefix: prefix.clone(),
    });
    let panics = Panics::watch();
    let outcome = runtime.block_on(async {
        let check = tokio::spawn(function(Site { shared, env }));
        let outcome = match tokio::time::timeout(LIMIT, check).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Finding::violated("no panic", panics.said())),
            Err(_) => Err(Finding::violated(format!("an end within {LIMIT:?}"), "it hangs")),
        };
        match backend {
            Some(backend) => backend.undo().await.and(outcome),
            None => outcome,
        }
    });
    // What the plugin left behind ends with its tasks; a blocking one must not keep the suite.
    runtime.shutdown_background();
    let events = if outcome.is_err() { last_events(recorder.take().events) } else { Vec::new() };
    CheckReport { finding: outcome.err(), events, took: began.elapsed() }
}

/// The backend of one check, which remembers what was done to it: a check that ends early leaves the next one a backend that
/// works.
#[derive(Debug)]
struct Shaken {
    inner: Arc<dyn Backend>,
    /// What ends what was begun, in the order of the beginnings.
    undone: Mutex<Vec<Act>>,
}

impl Shaken {
    fn undone(&self) -> MutexGuard<'_, Vec<Act>> {
        self.undone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what the check has begun and not ended.
    async fn undo(&self) -> Outcome {
        let undone = std::mem::take(&mut *self.undone());
        for act in undone.into_iter().rev() {
            self.inner.act(&act).await.map_err(Finding::Broke)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for Shaken {
    fn addresses(&self) -> Vec<String> {
        self.inner.addresses()
    }

    fn verbs(&self) -> BTreeSet<Verb> {
        self.inner.verbs()
    }

    async fn act(&self, act: &Act) -> Result<(), String> {
        self.inner.act(act).await?;
        match act {
            Act::Stop => self.undone().push(Act::Start),
            Act::Pause => self.undone().push(Act::Resume),
            Act::Cut => self.undone().push(Act::Heal),
            ended => self.undone().retain(|due| due != ended),
        }
        Ok(())
    }

    async fn requests(&self) -> Result<u64, String> {
        self.inner.requests().await
    }

    async fn held(&self) -> Result<u64, String> {
        self.inner.held().await
    }
}

/// A prefix that no other check of this or another session uses.
fn unique(id: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{:x}-{:x}-{count}-", id.to_lowercase(), std::process::id(), now & 0xff_ffff)
}

/// What a panic on this thread said last; the default hook still prints it.
struct Panics;

static SAID: Mutex<Option<String>> = Mutex::new(None);

impl Panics {
    fn watch() -> Self {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                *SAID.lock().unwrap_or_else(PoisonError::into_inner) = Some(info.to_string());
                before(info);
            }));
        });
        Self
    }

    fn said(&self) -> String {
        let said = SAID.lock().unwrap_or_else(PoisonError::into_inner).take();
        said.unwrap_or_else(|| "a panic without a message".to_owned())
    }
}
