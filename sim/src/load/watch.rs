//! Watches of the registry, opened again when they end.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::env::Task;
use shaketable_stack::registry::WatchOptions;

use crate::scenario::model::Watch;
use crate::stand::Standing;

/// How long a host waits before it watches again.
const PAUSE: Duration = Duration::from_millis(200);

/// Starts a watch of one host.
pub(super) fn start(standing: &Arc<Standing>, watch: &Watch) -> Task {
    let (standing, watch) = (standing.clone(), watch.clone());
    let env = standing.env.clone();
    env.spawn("load", async move {
        loop {
            if let Ok(watcher) = standing.registry.watch(WatchOptions { service: watch.service.clone() }).await {
                // The decorator records what comes.
                while watcher.next().await.is_ok() {}
                watcher.stop();
            }
            standing.env.sleep(PAUSE).await;
        }
    })
}
