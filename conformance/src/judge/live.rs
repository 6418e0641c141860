//! A check in the live world: real sockets, real time, a real backend. Checks that only ask run side by side; those that
//! disturb the backend run alone. Before the first of them it is seen whether there is a world at all: a backend that answers
//! and a namespace in which nothing is.
#![expect(clippy::disallowed_methods, reason = "the live world lives in real time")]

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shaketable_sim::history::{Moment, Recorder};
use shaketable_stack::Env;
use shaketable_stack::env::{Namespace, os};
use shaketable_stack::plugin::{Ability, Plugins};
use shaketable_stack::registry::{GetOptions, ListOptions};
use tokio::runtime::Runtime;

use super::Subject;
use super::job::CheckReport;
use super::shaken::Shaken;
use super::simulated::last_events;
use super::source::BackendSource;
use super::verify::VerifyRequest;
use crate::backend::Backend;
use crate::site::{LeapingClock, Reach, Shared, Site};
use crate::{Check, Finding, Interface, Need, Outcome, Requirement};

/// A check that is not over after this much real time hangs, whatever it waits for.
const LIMIT: Duration = Duration::from_secs(170);

/// How long a plugin is asked, before the first check, for what is in the namespace already.
const LOOK_WITHIN: Duration = Duration::from_secs(20);

/// How many checks run side by side when nobody says otherwise.
const AT_ONCE: usize = 16;

/// Where plugins are judged on real machines.
#[derive(Clone, Debug)]
pub struct LiveWorld {
    /// The backend, for plugins that need one.
    pub backend: Option<BackendSource>,
    /// How many checks run side by side.
    pub at_once: usize,
    /// The plugin is behind an adapter whose time passes when the harness lets it.
    pub virtual_clock: bool,
    /// What all names begin with that checks use; none is one that no other session uses.
    pub namespace: Option<String>,
}

impl LiveWorld {
    /// The world with this backend, in real time.
    pub fn new(backend: Option<BackendSource>) -> Self {
        Self { backend, at_once: AT_ONCE, virtual_clock: false, namespace: None }
    }
}

/// Where one check works.
struct Stage {
    runtime: Runtime,
    /// In real time, whatever the plugin's is.
    env: Env,
    site: Site,
    backend: Option<Arc<Shaken>>,
    recorder: Recorder,
}

impl Stage {
    /// A place for names that begin with `prefix`.
    fn set_up(
        request: &VerifyRequest,
        world: &LiveWorld,
        plugins: &Arc<Plugins>,
        prefix: String,
    ) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("failed to make a runtime: {error}"))?;
        let promises = request.interface.promises(plugins, &request.plugin).map_err(|error| error.to_string())?;
        let began = Instant::now();
        let recorder = Recorder::new(Arc::new(move || Moment::after(began.elapsed())));
        let env = {
            let _entered = runtime.enter();
            os::env(Namespace::new(&prefix))
        };
        let leaping = world.virtual_clock.then(|| Arc::new(LeapingClock::new(env.clock().clone())));
        let of_plugin = leaping.as_ref().map_or_else(|| env.clone(), |clock| env.with_clock(clock.clone()));
        let backend = world.backend.as_ref().map(BackendSource::made).transpose()?;
        let backend = backend.map(|inner| Arc::new(Shaken::new(inner)));
        let shared = Arc::new(Shared {
            subject: Subject {
                interface: request.interface,
                plugin: request.plugin.clone(),
                addresses: backend.as_ref().map(|backend| backend.addresses()).unwrap_or_default(),
                beside: request.beside.clone(),
            },
            promises,
            plugins: plugins.clone(),
            recorder: recorder.clone(),
            reach: Reach::Live(backend.clone().map(|backend| backend as Arc<dyn Backend>)),
            leaping,
            connections: OnceLock::new(),
            prefix,
            disturbed: AtomicBool::new(false),
        });
        Ok(Self { runtime, env: env.clone(), site: Site { shared, env: of_plugin }, backend, recorder })
    }
}

/// The world in which the checks of `requirements` can be made: with its backend, which answers, and a namespace of its own.
///
/// # Errors
/// One sentence with the mend, when there is no such world.
pub(super) fn open(
    world: &LiveWorld,
    request: &VerifyRequest,
    plugins: &Arc<Plugins>,
    requirements: &[&Requirement],
) -> Result<LiveWorld, String> {
    let namespace = world.namespace.clone().unwrap_or_else(unique);
    let world = LiveWorld { namespace: Some(namespace.clone()), ..world.clone() };
    let Stage { runtime, env, site, backend, .. } = Stage::set_up(request, &world, plugins, namespace.clone())?;
    let names: Vec<String> =
        requirements.iter().map(|requirement| format!("{}user", prefix(&namespace, requirement))).collect();
    let looked = runtime.block_on(async {
        if let Some(backend) = &backend {
            backend.ready(&env).await?;
            if let Some(count @ 1..) = backend.held_in(&namespace).await? {
                return Err(not_empty(&namespace, &format!("the backend holds {count} things in it")));
            }
        }
        if request.interface != Interface::Registry {
            return Ok(());
        }
        // What a plugin does instead of answering is for the checks to judge.
        let look = tokio::spawn(async move { site.env().timeout(LOOK_WITHIN, known(&site, &names)).await });
        match look.await {
            Ok(Ok(Some(name))) => Err(not_empty(&namespace, &format!("the plugin knows the service '{name}'"))),
            _ => Ok(()),
        }
    });
    runtime.shutdown_background();
    looked.map(|()| world)
}

fn not_empty(namespace: &str, why: &str) -> String {
    format!(
        "the namespace '{namespace}' is not empty: {why}; nothing was checked. Empty the backend, or let the session choose a \
         namespace of its own"
    )
}

/// A service of the site's prefix that the registry under judgement knows, or one of `names` where it has no list.
async fn known(site: &Site, names: &[String]) -> Option<String> {
    let registry = site.registry().await.ok()?;
    let mut found = None;
    if site.promises().lacks.contains(&Ability::List) {
        for name in names {
            let services = registry.get_service(name, GetOptions::default()).await;
            if services.is_ok_and(|services| !services.is_empty()) {
                found = Some(name.clone());
                break;
            }
        }
    } else {
        let listed = registry.list_services(ListOptions::default()).await.unwrap_or_default();
        found = listed.iter().map(|service| service.name.clone()).find(|name| site.is_own(name));
    }
    // Whether it closes well is judged elsewhere.
    let _ = registry.close().await;
    found
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
    let began = Instant::now();
    let namespace = world.namespace.clone().unwrap_or_else(unique);
    let stage = match Stage::set_up(request, world, plugins, prefix(&namespace, requirement)) {
        Ok(stage) => stage,
        Err(why) => return CheckReport::broken(why),
    };
    let Stage { runtime, env, site, backend, recorder } = stage;
    let panics = Panics::watch();
    let outcome = runtime.block_on(async {
        let check = tokio::spawn(function(site));
        let outcome = match tokio::time::timeout(LIMIT, check).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Finding::violated("no panic", panics.said())),
            Err(_) => Err(Finding::violated(format!("an end within {LIMIT:?}"), "it hangs")),
        };
        #[cfg(feature = "subject")]
        let outcome = crate::subject::explained(&env, outcome).await;
        match backend {
            Some(backend) => not_blamed(&env, &backend, outcome).await,
            None => outcome,
        }
    });
    // What the plugin left behind ends with its tasks; a blocking one must not keep the suite.
    runtime.shutdown_background();
    let events = if outcome.is_err() { last_events(recorder.take().events) } else { Vec::new() };
    CheckReport { finding: outcome.err(), events, took: began.elapsed() }
}

/// Ends what the check did to `backend`. What the plugin is accused of while the backend is gone, although nothing is done to
/// it any more, says nothing of the plugin.
async fn not_blamed(env: &Env, backend: &Shaken, outcome: Outcome) -> Outcome {
    backend.undo().await?;
    match outcome {
        Err(Finding::Violated { expected, observed }) => match backend.ready(env).await {
            Ok(()) => Err(Finding::Violated { expected, observed }),
            Err(why) => Err(Finding::Broke(format!("{why}; before that: expected {expected}; observed {observed}"))),
        },
        other => other,
    }
}

/// What the names of one check begin with.
fn prefix(namespace: &str, requirement: &Requirement) -> String {
    format!("{namespace}{}-", requirement.id.to_lowercase())
}

/// A namespace that no other session uses.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("st-{:x}-{:x}-{count}-", std::process::id(), now & 0xff_ffff)
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
