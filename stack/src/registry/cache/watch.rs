//! The task that keeps one cached service true: it watches, looks the service up again when its answer grows old or
//! changes may have been missed, and ends when the service is gone or nobody asks for it. It answers no caller.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use super::Shared;
use crate::ErrorKind;
use crate::env::{Elapsed, Instant, Random};
use crate::registry::{GetOptions, WatchOptions, Watcher};

/// Keeps one service.
pub(super) struct Follower {
    shared: Arc<Shared>,
    name: String,
    random: Random,
    /// Changes may have been missed, so the answer must be looked up again whatever its age.
    gap: bool,
    /// Not before this.
    refresh_after: Instant,
    refresh_failures: u32,
    watch_failures: u32,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, name: String) -> Self {
        let random = shared.env.random("registry-cache");
        let (gap, refresh_after) = (true, Instant::default());
        Self { shared, name, random, gap, refresh_after, refresh_failures: 0, watch_failures: 0 }
    }

    /// Runs until the service is gone, or unused for a TTL.
    pub(super) async fn run(mut self) {
        while self.round().await.is_continue() {}
    }

    /// One watch from its beginning to its end, and the pause before the next.
    async fn round(&mut self) -> ControlFlow<()> {
        let options = WatchOptions { service: Some(self.name.clone()) };
        let limit = self.shared.limit();
        if let Ok(Ok(watcher)) = self.shared.env.timeout(limit, self.shared.inner.watch(options)).await {
            // What changed before the watch began is found only by looking.
            self.gap = true;
            self.deliver(&*watcher).await?;
        }
        self.watch_failures += 1;
        let reopen_at = self.pause_after(self.watch_failures);
        while let Some(refresh_at) = self.refresh_at() {
            if refresh_at >= reopen_at {
                self.shared.env.clock().sleep_until(reopen_at).await;
                return ControlFlow::Continue(());
            }
            self.shared.env.clock().sleep_until(refresh_at).await;
            self.refresh().await?;
        }
        ControlFlow::Break(())
    }

    /// Merges what `watcher` delivers until it fails.
    async fn deliver(&mut self, watcher: &dyn Watcher) -> ControlFlow<()> {
        let mut next = watcher.next();
        while let Some(refresh_at) = self.refresh_at() {
            // `next` is not dropped when a refresh is due: a stranger's watcher might lose an event with it.
            match self.shared.env.timeout_at(refresh_at, &mut next).await {
                Ok(Ok(event)) => {
                    self.watch_failures = 0;
                    self.shared.apply(&self.name, &event)?;
                    next = watcher.next();
                }
                Ok(Err(_)) => return ControlFlow::Continue(()),
                Err(Elapsed) => self.refresh().await?,
            }
        }
        ControlFlow::Break(())
    }

    /// When to look the service up again; `None` when it is not cached any more.
    fn refresh_at(&self) -> Option<Instant> {
        let stale_at = self.shared.stale_at(&self.name)?;
        Some(if self.gap { self.refresh_after } else { stale_at.max(self.refresh_after) })
    }

    async fn refresh(&mut self) -> ControlFlow<()> {
        if !self.gap && self.refresh_failures == 0 {
            self.shared.forget_if_unused(&self.name)?;
        }
        let asked_at = self.shared.env.now();
        let lookup = self.shared.inner.get_service(&self.name, GetOptions::default());
        match self.shared.env.timeout(self.shared.limit(), lookup).await {
            Ok(Ok(services)) if !services.is_empty() => {
                self.shared.replace(&self.name, services, asked_at);
                (self.gap, self.refresh_failures) = (false, 0);
            }
            Ok(Err(error)) if error.kind() != ErrorKind::NotFound => self.fail(),
            Err(Elapsed) => self.fail(),
            Ok(_) => {
                self.shared.forget(&self.name);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn fail(&mut self) {
        self.refresh_failures += 1;
        self.refresh_after = self.pause_after(self.refresh_failures);
    }

    /// When to try again: go-micro's 10^n ms (`registry/cache/cache.go`), up to the limit, and jitter.
    fn pause_after(&mut self, failures: u32) -> Instant {
        let config = &self.shared.config;
        let backoff = Duration::from_millis(10_u64.saturating_pow(failures)).min(config.backoff_max);
        let jitter = config.jitter_max.mul_f64(self.random.random());
        self.shared.env.now() + backoff + jitter
    }
}
