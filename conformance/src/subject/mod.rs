//! Plugins in other languages: an adapter process serves one over gRPC, and the harness's side of that is one more
//! implementation of the interface, so that the same checks judge it. It knows no plugin and no verdict.

mod adapter;
mod broker;
mod codec;
mod group;
mod handshake;
mod process;
mod registry;
mod selector;
mod served;
mod status;
mod transport;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shaketable_proto::subject::v1::subject_client::SubjectClient;
use shaketable_proto::subject::v1::{AdvanceRequest, StatsRequest, StatsResponse};
use shaketable_stack::env::Env;
use shaketable_stack::plugin::{Made, Plugins, Settings};
use shaketable_stack::{Error, ErrorKind, Result};

use crate::{Finding, Interface, Outcome};
use adapter::Adapter;

pub use handshake::{Handshake, PROTOCOL_VERSION, SubjectClock};

/// The largest message between harness and adapter, in bytes: 64 MiB.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// What an adapter's plugin is called in the tables.
pub const PLUGIN: &str = "subject";

/// The kind of a backend whose address the adapter is given.
pub(crate) const GIVEN: &str = "given";

/// A command that starts an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectCommand {
    /// As a shell reads it.
    pub line: String,
    /// How long it may take.
    pub limits: SubjectLimits,
}

/// How long an adapter may take, in real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectLimits {
    /// From its start until it says its handshake; 20 s by default.
    pub start_within: Duration,
    /// Until it answers a call that nobody can wait for otherwise, and a question for its `Stats`; 20 s by default. How long
    /// its plugin may take for anything else is said by the requirements.
    pub answer_within: Duration,
}

impl Default for SubjectLimits {
    fn default() -> Self {
        Self { start_within: Duration::from_secs(20), answer_within: Duration::from_secs(20) }
    }
}

impl SubjectCommand {
    /// What a shell reads as `line`, with the limits that there are by default.
    pub fn new(line: impl Into<String>) -> Self {
        Self { line: line.into(), limits: SubjectLimits::default() }
    }

    /// Starts the adapter once, reads what it says of itself, and ends it.
    ///
    /// # Errors
    /// One sentence: it does not start, says nothing in time, or something that is no handshake.
    pub fn introduce(&self) -> std::result::Result<Handshake, String> {
        let process = process::Process::start(self)?;
        Ok(process.handshake().clone())
    }

    /// Adds the plugin of `interface` behind this command to `plugins`, with what `handshake` promises. Each check has an
    /// adapter process of its own, which ends with it. With `has_backend` it is given the address of one, also when the
    /// handshake names none.
    ///
    /// # Errors
    /// When the adapter does not serve the interface, or nobody could: a client's or server's types are Rust's.
    pub fn add_to(
        &self,
        plugins: &mut Plugins,
        interface: Interface,
        handshake: &Handshake,
        has_backend: bool,
    ) -> std::result::Result<(), String> {
        if !handshake.interfaces.iter().any(|served| served == interface.as_str()) {
            return Err(format!(
                "the adapter serves {}, not {interface}; its handshake names what it serves",
                handshake.interfaces.join(", ")
            ));
        }
        let mut promises = handshake.promises()?;
        if has_backend {
            promises.backend = promises.backend.or(Some(GIVEN));
        }
        let summary = "behind an adapter";
        let command = self.clone();
        match interface {
            Interface::Registry => {
                let make = move |env, settings| made(registry::open(env, command.clone(), settings));
                plugins.registries.add(PLUGIN, summary, promises, Arc::new(make));
            }
            Interface::Broker => {
                let make = move |env, _, settings| made(broker::open(env, command.clone(), settings));
                plugins.brokers.add(PLUGIN, summary, promises, Arc::new(make));
            }
            Interface::Transport => {
                let make = move |env, settings| made(transport::open(env, command.clone(), settings));
                plugins.transports.add(PLUGIN, summary, promises, Arc::new(make));
            }
            Interface::Codec => {
                let types = handshake.content_types();
                let make = move |env, settings| made(codec::open(env, command.clone(), settings, types));
                plugins.codecs.add(PLUGIN, summary, promises, Arc::new(make));
            }
            Interface::Selector => {
                let make =
                    move |env, registry, settings| made(selector::open(env, command.clone(), registry, settings));
                plugins.selectors.add(PLUGIN, summary, promises, Arc::new(make));
            }
            Interface::Client | Interface::Server | Interface::Service => {
                return Err(format!(
                    "a {interface} cannot be judged behind an adapter: it is made of the other components' values"
                ));
            }
        }
        Ok(())
    }
}

fn made<T: Send + 'static>(making: impl Future<Output = Result<T>> + Send + 'static) -> Made<T> {
    Box::pin(making)
}

/// The adapter of one check: its first instance starts it, all share it, and it ends with the check.
#[derive(Debug, Default)]
struct Slot {
    adapter: Mutex<Option<Arc<Adapter>>>,
}

/// The adapter of the check that `env` belongs to.
fn adapter(env: &Env, command: &SubjectCommand) -> Result<Arc<Adapter>> {
    let slot = env.namespace().shared::<Slot>();
    let mut adapter = slot.adapter.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(adapter) = &*adapter {
        return Ok(adapter.clone());
    }
    let started =
        Adapter::start(command).map_err(|text| Error::new(ErrorKind::Internal, "start the adapter").detail(text))?;
    let started = Arc::new(started);
    *adapter = Some(started.clone());
    Ok(started)
}

/// The adapter of the check that `env` belongs to, if it has started one.
fn running(env: &Env) -> Option<Arc<Adapter>> {
    env.namespace().shared::<Slot>().adapter.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What the adapter of the check that `env` belongs to tells of its process.
///
/// # Errors
/// One sentence: no adapter runs yet, or it does not tell.
pub(crate) async fn stats(env: &Env) -> std::result::Result<StatsResponse, String> {
    let adapter = running(env).ok_or("no adapter runs yet")?;
    let mut client = adapter::client!(SubjectClient, adapter);
    let stats = adapter.call("ask for statistics", async move { client.stats(StatsRequest {}).await }).await;
    stats.map_err(|error| error.to_string())
}

/// Lets the time of the adapter of the check that `env` belongs to pass; nothing where none runs yet.
///
/// # Errors
/// One sentence: the adapter does not.
pub(crate) async fn advance(env: &Env, time: Duration) -> std::result::Result<(), String> {
    let Some(adapter) = running(env) else { return Ok(()) };
    let mut client = adapter::client!(SubjectClient, adapter);
    let request = AdvanceRequest { nanoseconds: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) };
    let advanced = adapter.call("let time pass", async move { client.advance(request).await }).await;
    advanced.map(drop).map_err(|error| error.to_string())
}

/// `outcome` of the check that `env` belongs to. Whatever a check was waiting for, a violation says when the adapter itself has
/// ended or hangs.
pub(crate) async fn explained(env: &Env, outcome: Outcome) -> Outcome {
    let (Err(Finding::Violated { expected, observed }), Some(adapter)) = (&outcome, running(env)) else {
        return outcome;
    };
    match adapter.complaint().await {
        Some(complaint) if !observed.contains(&complaint) => {
            Err(Finding::violated(expected, format!("{observed}; {complaint}")))
        }
        _ => outcome,
    }
}

/// What the harness asks for when it opens an instance.
fn open_request(env: &Env, settings: Settings) -> Result<shaketable_proto::subject::v1::OpenRequest> {
    let (addresses, scope) = (settings.addresses.clone(), env.namespace().name().to_owned());
    settings.finish()?;
    Ok(shaketable_proto::subject::v1::OpenRequest { addresses, scope })
}
