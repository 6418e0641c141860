//! A watch on the shared state. It does not know who changes it.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::mailbox::Mailbox;
use super::State;
use crate::Result;
use crate::env::Instant;
use crate::registry::{Event, WatchOptions, Watcher};

/// Delivers changes of the shared state.
#[derive(Debug)]
pub(super) struct MemoryWatcher {
    state: Arc<State>,
    mailbox: Arc<Mailbox>,
    number: u64,
}

impl MemoryWatcher {
    /// Watches from now on.
    pub(super) fn open(state: Arc<State>, now: Instant, options: WatchOptions) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        let number = state.watch(now, options.service, mailbox.clone());
        Self { state, mailbox, number }
    }
}

#[async_trait]
impl Watcher for MemoryWatcher {
    async fn next(&self) -> Result<Event> {
        self.mailbox.next().await
    }

    fn stop(&self) {
        self.mailbox.stop();
        self.state.unwatch(self.number);
    }
}

impl Drop for MemoryWatcher {
    fn drop(&mut self) {
        self.stop();
    }
}
