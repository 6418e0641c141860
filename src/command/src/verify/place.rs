//! The live world that `verify` is asked for: the backend, and who owns it.

use std::sync::Arc;

use shaketable_conformance::backend::{Backend, Untouchable};
use shaketable_conformance::judge::LiveWorld;
use shaketable_fixtures::backend::EtcdBackend;
use shaketable_fixtures::zookeeper::ZookeeperBackend;
use shaketable_stack::plugin::Plugins;

use super::Arguments;
use crate::Stop;

/// The live world with the backend that was asked for.
pub(super) fn live(
    arguments: &Arguments,
    backend: Option<&str>,
    plugins: &Plugins,
    virtual_clock: bool,
) -> Result<LiveWorld, Stop> {
    let promises =
        arguments.interface.promises(plugins, arguments.plugin()).map_err(|error| Stop::BadInput(error.to_string()))?;
    let backend: Option<Arc<dyn Backend>> = match (backend, promises.backend) {
        (None, None) => None,
        (None, Some(_)) => {
            return Err(Stop::BadInput(
                "the plugin needs a backend: say where with --backend process or --backend ADDRESS".to_owned(),
            ));
        }
        (Some("process"), Some("etcd" | "given")) => Some(Arc::new(start(EtcdBackend::start())?)),
        (Some("zookeeper"), Some("zookeeper" | "given")) => Some(Arc::new(start(ZookeeperBackend::start())?)),
        (Some("process"), Some(kind)) => {
            return Err(Stop::BadInput(format!("no {kind} can be started here; give --backend an address")));
        }
        (Some("process"), None) => {
            return Err(Stop::BadInput("the plugin has no backend; leave --backend out".to_owned()));
        }
        // Nobody said that it may be shaken, wherever it is.
        (Some(address), _) => Some(Arc::new(Untouchable { addresses: vec![address.to_owned()] })),
    };
    Ok(LiveWorld { backend, at_once: arguments.side_by_side.get(), virtual_clock })
}

/// Waits until a server of our own has started.
fn start<Server>(starting: impl Future<Output = Result<Server, String>>) -> Result<Server, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::Harness(format!("failed to make a runtime: {error}")))?;
    runtime.block_on(starting).map_err(Stop::Harness)
}
