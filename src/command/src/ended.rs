//! The end of a command that goes on until somebody ends it.

use tokio::signal::unix::{SignalKind, signal};

use crate::Stop;

/// Completes when somebody ends this program, by Ctrl-C or SIGTERM. From this call on neither ends it by itself.
pub(crate) fn ended() -> Result<impl Future<Output = ()>, Stop> {
    let failed = |error| Stop::Harness(format!("signals cannot be waited for: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
