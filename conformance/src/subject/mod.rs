//! Plugins in other languages: an adapter process serves one over gRPC, and the harness's side of that is one more
//! implementation of the interface, so that the same checks judge it. It knows no plugin and no verdict.

mod adapter;
mod broker;
mod codec;
mod handshake;
mod process;
mod registry;
mod status;
mod transport;

use std::sync::{Arc, Mutex, PoisonError};

use shaketable_proto::subject::v1::StatsRequest;
use shaketable_proto::subject::v1::subject_client::SubjectClient;
use shaketable_stack::env::Env;
use shaketable_stack::plugin::{Made, Plugins, Settings};
use shaketable_stack::{Error, ErrorKind, Result};

use crate::Interface;
use adapter::Adapter;

pub use handshake::{Handshake, PROTOCOL_VERSION};
pub use process::START_WITHIN;

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
}

impl SubjectCommand {
    /// Starts the adapter once, reads what it says of itself, and ends it.
    ///
    /// # Errors
    /// One sentence: it does not start, says nothing in time, or something that is no handshake.
    pub fn introduce(&self) -> std::result::Result<Handshake, String> {
        let process = process::Process::start(&self.line)?;
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
        match interface {
            Interface::Registry => {
                let line = self.line.clone();
                let make = move |env, settings| made(registry::open(env, line.clone(), settings));
                plugins.registries.add(PLUGIN, summary, promises, Arc::new(make));
            }
            Interface::Broker => {
                let line = self.line.clone();
                let make = move |env, _, settings| made(broker::open(env, line.clone(), settings));
                plugins.brokers.add(PLUGIN, summary, promises, Arc::new(make));
            }
            Interface::Transport => {
                let line = self.line.clone();
                let make = move |env, settings| made(transport::open(env, line.clone(), settings));
                plugins.transports.add(PLUGIN, summary, promises, Arc::new(make));
            }
            Interface::Codec => {
                let line = self.line.clone();
                let types = handshake.content_types();
                let make = move |env, settings| made(codec::open(env, line.clone(), settings, types));
                plugins.codecs.add(PLUGIN, summary, promises, Arc::new(make));
            }
            Interface::Selector | Interface::Client | Interface::Server | Interface::Service => {
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
fn adapter(env: &Env, line: &str) -> Result<Arc<Adapter>> {
    let slot = env.namespace().shared::<Slot>();
    let mut adapter = slot.adapter.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(adapter) = &*adapter {
        return Ok(adapter.clone());
    }
    let started =
        Adapter::start(line).map_err(|text| Error::new(ErrorKind::Internal, "start the adapter").detail(text))?;
    let started = Arc::new(started);
    *adapter = Some(started.clone());
    Ok(started)
}

/// How many tasks the adapter of the check that `env` belongs to runs; none when it has none yet.
pub(crate) async fn tasks(env: &Env) -> Result<usize> {
    let slot = env.namespace().shared::<Slot>();
    let adapter = slot.adapter.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(adapter) = adapter else { return Ok(0) };
    let mut client = adapter::client!(SubjectClient, adapter);
    let stats = adapter.call("count tasks", async move { client.stats(StatsRequest::default()).await }).await?;
    Ok(usize::try_from(stats.tasks).unwrap_or(usize::MAX))
}

/// What the harness asks for when it opens an instance.
fn open_request(env: &Env, settings: Settings) -> Result<shaketable_proto::subject::v1::OpenRequest> {
    let (addresses, scope) = (settings.addresses.clone(), env.namespace().name().to_owned());
    settings.finish()?;
    Ok(shaketable_proto::subject::v1::OpenRequest { addresses, scope })
}
