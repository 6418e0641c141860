//! A check in the live world: real sockets, real time, a real backend. Checks that only ask run side by side; those that
//! disturb the backend run alone.
#![expect(clippy::disallowed_methods, reason = "the live world lives in real time")]

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shaketable_sim::history::{Moment, Recorder};
use shaketable_stack::env::{Namespace, os};
use shaketable_stack::plugin::Plugins;

use super::Subject;
use super::job::CheckReport;
use super::simulated::last_events;
use super::verify::VerifyRequest;
use crate::backend::{Act, Backend, Verb};
use crate::site::{Reach, Shared, Site};
use crate::{Check, Finding, Need, Requirement};

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
        reach: Reach::Live(world.backend.clone()),
        prefix: prefix.clone(),
    });
    let panics = Panics::watch();
    let outcome = runtime.block_on(async {
        let env = os::env(Namespace::new(&prefix));
        let check = tokio::spawn(function(Site { shared, env }));
        match tokio::time::timeout(LIMIT, check).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Finding::violated("no panic", panics.said())),
            Err(_) => Err(Finding::violated(format!("an end within {LIMIT:?}"), "it hangs")),
        }
    });
    if let (Err(_), true, Some(backend)) = (&outcome, runs_alone(requirement), &world.backend) {
        runtime.block_on(mend(backend.as_ref()));
    }
    // What the plugin left behind ends with its tasks; a blocking one must not keep the suite.
    runtime.shutdown_background();
    let events = if outcome.is_err() { last_events(recorder.take().events) } else { Vec::new() };
    CheckReport { finding: outcome.err(), events, took: began.elapsed() }
}

/// Ends the faults that a check did and did not live to end, so that the next one finds the backend working.
async fn mend(backend: &dyn Backend) {
    let verbs = backend.verbs();
    let acts =
        [(Verb::Cut, Act::Heal), (Verb::Pause, Act::Resume), (Verb::Restart, Act::Stop), (Verb::Restart, Act::Start)];
    for (verb, act) in acts {
        if verbs.contains(&verb) {
            // What was not done cannot be ended; a backend that is gone for good is what the next check tells of.
            let _ = backend.act(&act).await;
        }
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
