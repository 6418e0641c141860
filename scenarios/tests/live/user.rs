//! A service as its owner might have written it, in a process of its own: this program serves as one when it is asked to. It
//! registers itself in etcd as go-micro does, and knows nothing of who looks at it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use shaketable_proto::probe::v1::{ProbeRequest, ProbeResponse};
use shaketable_stack::client::Context;
use shaketable_stack::codec::Codecs;
use shaketable_stack::env::{Namespace, os};
use shaketable_stack::plugin::{Plugins, Settings};
use shaketable_stack::server::{Handler, Server, ServerParts};
use shaketable_stack::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};

/// What makes a service of this program: `PROGRAM serve-user NAME PORT REGISTRY PROTOCOL FLAW MARK`; the mark tells
/// whose it is.
pub(crate) const WORD: &str = "serve-user";

/// It ends on SIGTERM without a word to its registry.
pub(crate) const STAYS: &str = "stays";

/// It registers without a lease.
pub(crate) const FOR_EVER: &str = "for-ever";

/// How long it registers for otherwise.
pub(crate) const TTL: Duration = Duration::from_secs(6);

/// Serves until it is told to end, if it was started for that.
pub(crate) fn serve_if_asked() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, word, name, port, registry, protocol, flaw, ..] = &arguments[..] else { return None };
    if word != WORD {
        return None;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        runtime.block_on(serve(name, port, registry, protocol, flaw)).map_err(|error| error.to_string())
    });
    Some(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    })
}

async fn serve(name: &str, port: &str, registry: &str, protocol: &str, flaw: &str) -> Result<()> {
    let failed = |error| Error::new(shaketable_stack::ErrorKind::Internal, "wait for signals").caused_by(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let server = server(name, port, registry, protocol, flaw).await?;
    server.start().await?;
    println!("{name} listens at port {port}");
    terminate.recv().await;
    if flaw == STAYS { Ok(()) } else { server.stop().await }
}

async fn server(name: &str, port: &str, registry: &str, protocol: &str, flaw: &str) -> Result<Arc<dyn Server>> {
    let (plugins, env) = (Plugins::reference(), os::env(Namespace::new(name)));
    let none = Settings::default;
    let transport = (plugins.transports.get("http")?.factory)(env.clone(), none()).await?;
    let mut codecs = Vec::new();
    for plugin in plugins.codecs.iter() {
        codecs.push((plugin.factory)(env.clone(), none()).await?);
    }
    let settings = Settings::new(vec![registry.to_owned()], BTreeMap::new());
    let registry = (plugins.registries.get("etcd")?.factory)(env.clone(), settings).await?;
    let broker = (plugins.brokers.get("memory")?.factory)(env.clone(), registry.clone(), none()).await?;
    let parts = ServerParts { transport, codecs: Codecs::new(codecs), registry, broker };
    let server = (plugins.servers.get(protocol)?.factory)(env, parts, none()).await?;
    let mut options = server.options();
    options.name = name.to_owned();
    options.address = format!("127.0.0.1:{port}");
    options.register_ttl = if flaw == FOR_EVER { Duration::ZERO } else { TTL };
    options.register_interval = TTL / 3;
    server.init(options)?;
    let handler = Handler::new("Probe").unary("Echo", |_: Context, request: ProbeRequest| async move {
        Ok(ProbeResponse { id: request.id, payload: request.payload, ..ProbeResponse::default() })
    });
    server.handle(handler)?;
    Ok(server)
}
