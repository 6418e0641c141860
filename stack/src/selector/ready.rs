//! What can be selected without a lock: for each service that is selected from without filters, the nodes as they were worked
//! out last, as long as the registry's answer is the same and nothing is held against anybody. It works out nothing, and asks
//! nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Next, NodeSet, Strategy, StrategyState};
use crate::registry::Freshness;
use crate::table::{ByName, Held};

/// The services of which something is kept.
#[derive(Debug, Default)]
pub(super) struct AllReady {
    lines: ByName<Prepared>,
}

/// Whether what is ready of one service may be taken, and whether it was.
#[derive(Debug)]
pub(super) struct Ready {
    /// Something is held against a node, or the options have changed: whoever has the lock decides.
    is_locked: AtomicBool,
    is_used: AtomicBool,
}

/// Nodes that were worked out.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) set: Arc<NodeSet>,
    pub(super) strategy: Arc<dyn Strategy>,
    pub(super) position: StrategyState,
    /// Of the answer that they were worked out from.
    pub(super) version: u64,
    pub(super) freshness: Arc<Freshness>,
    pub(super) ready: Arc<Ready>,
}

/// What is held while nodes are taken from it: a selection is made for every call.
pub(super) type HeldNodes = Held<Prepared>;

impl AllReady {
    /// The nodes of `service`, if nothing has changed since they were worked out.
    #[inline]
    pub(super) fn take(&self, service: &str) -> Option<Next> {
        let prepared = self.lines.get(service)?;
        let Prepared { version, freshness, ready, .. } = &*prepared;
        if ready.is_locked.load(Ordering::Acquire) || !freshness.is_of(*version) {
            return None;
        }
        freshness.use_it();
        ready.use_it();
        Some(Next::prepared(prepared))
    }

    /// Whether nothing is held against any node of `service`, as far as can be told without a lock.
    pub(super) fn is_innocent(&self, service: &str) -> bool {
        self.lines.get(service).is_some_and(|prepared| !prepared.ready.is_locked.load(Ordering::Acquire))
    }

    /// From now on these nodes of `service` are taken. For one writer at a time, as everything below.
    pub(super) fn set(&self, service: &str, prepared: Prepared) {
        let ready = prepared.ready.clone();
        self.lines.set(service, prepared);
        ready.is_locked.store(false, Ordering::Release);
    }

    /// Keeps the services that `wanted` says.
    pub(super) fn retain(&self, wanted: impl Fn(&str) -> bool) {
        self.lines.retain(wanted);
    }

    /// Keeps nothing.
    pub(super) fn clear(&self) {
        self.lines.take();
    }
}

impl Ready {
    /// Of a service that was just selected from.
    pub(super) fn new() -> Self {
        Self { is_locked: AtomicBool::new(true), is_used: AtomicBool::new(true) }
    }

    /// From now on nothing is taken without a lock.
    pub(super) fn lock(&self) {
        self.is_locked.store(true, Ordering::Release);
    }

    /// Whether it was selected from since this was last asked.
    pub(super) fn take_use(&self) -> bool {
        self.is_used.swap(false, Ordering::Relaxed)
    }

    fn use_it(&self) {
        // A line of memory that is only read can be read by all cores at once.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }
}
