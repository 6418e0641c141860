//! What can be selected without a lock: for each service that is selected from without filters, the nodes as they were worked
//! out last, as long as the registry's answer is the same and nothing is held against anybody. A thread that has selected from
//! a service finds it again by itself, and then writes to no memory that others write to but for a position that they share;
//! where turns can be taken some at a time, to that seldom. It works out nothing, and asks nobody.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Next, NodeSet, Picked, Strategy, StrategyState, none_picked};
use crate::Result;
use crate::recent::{self, Owner, Recent};
use crate::registry::{Freshness, Node};
use crate::table::ByName;

thread_local! {
    static OWN: Recent<Own> = const { Recent::new() };
}

/// The services of which something is kept.
#[derive(Debug, Default)]
pub(super) struct AllReady {
    lines: ByName<Prepared>,
    owner: Owner,
}

/// Whether what is ready of one service may be taken, and whether it was. Alone on its line of memory: it is read for every
/// call, and its neighbours may be written to for every call.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Ready {
    /// What was worked out before this moved on is not taken: something is held against a node, or the options have changed,
    /// and whoever has the lock decides.
    locked: AtomicU64,
    is_used: AtomicBool,
}

/// Nodes that were worked out.
#[derive(Debug)]
pub(super) struct Prepared {
    set: Arc<NodeSet>,
    strategy: Arc<dyn Strategy>,
    position: StrategyState,
    /// Of the answer that they were worked out from.
    version: u64,
    freshness: Arc<Freshness>,
    locked: u64,
    ready: Arc<Ready>,
}

/// The same with a count of its own, alone on its line of memory: it is written to whenever a node is handed out.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Line {
    set: Arc<NodeSet>,
    prepared: Arc<Prepared>,
}

/// What a thread has of one service.
#[derive(Debug)]
struct Own {
    line: Arc<Line>,
    prepared: Arc<Prepared>,
    /// Turns that were taken and are not used yet.
    turns: Cell<Turns>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    /// Index of the next node.
    index: usize,
    left: usize,
    /// The position after them.
    end: usize,
}

/// Turns of which nothing came, to be given back.
#[derive(Debug)]
pub(super) struct Unused {
    pub(super) set: Arc<NodeSet>,
    pub(super) positions: Range<usize>,
}

impl AllReady {
    /// The nodes of `service`, if nothing has changed since they were worked out.
    #[inline]
    pub(super) fn take(&self, service: &str) -> Option<Next> {
        self.own(service, |own| Next::prepared(own.line.clone())).or_else(|| self.take_shared(service))
    }

    /// One of these nodes.
    #[inline]
    pub(super) fn pick(&self, service: &str) -> Option<Result<Picked>> {
        let own = self.own(service, |own| own.pick());
        own.or_else(|| Some(self.take_shared(service)?.node().map(Picked::from)))
    }

    /// What this thread's turns at `service` are that nothing will come of any more.
    pub(super) fn unused(&self, service: &str) -> Option<Unused> {
        recent::find(&OWN, &self.owner, service, Own::unused)
    }

    /// Whether nothing is held against any node of `service`, as far as can be told without a lock.
    #[inline]
    pub(super) fn is_innocent(&self, service: &str) -> bool {
        let own = recent::find(&OWN, &self.owner, service, |own| own.prepared.is_unlocked().then_some(()));
        own.is_some() || self.lines.get(service).is_some_and(|prepared| prepared.is_unlocked())
    }

    /// From now on these nodes of `service` are taken. For one writer at a time, as everything below.
    pub(super) fn set(&self, service: &str, prepared: Prepared) {
        self.lines.set(service, prepared);
    }

    /// Keeps the services that `wanted` says.
    pub(super) fn retain(&self, wanted: impl Fn(&str) -> bool) {
        self.lines.retain(wanted);
    }

    /// Keeps nothing.
    pub(super) fn clear(&self) {
        self.lines.take().iter().for_each(|prepared| prepared.ready.lock());
        recent::forget(&OWN, &self.owner);
    }

    #[inline]
    fn own<R>(&self, service: &str, take: impl FnOnce(&Own) -> R) -> Option<R> {
        recent::find(&OWN, &self.owner, service, |own| {
            let Prepared { freshness, ready, .. } = &*own.prepared;
            own.prepared.is_current().then(|| {
                freshness.use_it();
                ready.use_it();
                take(own)
            })
        })
    }

    /// From what all threads share; the next time this one finds it by itself.
    fn take_shared(&self, service: &str) -> Option<Next> {
        let prepared = self.lines.get(service).filter(|prepared| prepared.is_current())?;
        prepared.freshness.use_it();
        prepared.ready.use_it();
        let Prepared { set, strategy, position, .. } = &*prepared;
        recent::keep(&OWN, &self.owner, service, |own| own.prepared.is_current(), || Own::new(prepared.shared()));
        Some(Next::new(set.clone(), strategy.clone(), position.clone()))
    }
}

impl Drop for AllReady {
    fn drop(&mut self) {
        recent::forget(&OWN, &self.owner);
    }
}

impl Prepared {
    /// Nodes of `set` to be taken by `strategy`, as long as they are those of the answer `version` and `ready` is not locked.
    pub(super) fn new(
        set: Arc<NodeSet>,
        strategy: Arc<dyn Strategy>,
        position: StrategyState,
        version: u64,
        freshness: Arc<Freshness>,
        ready: Arc<Ready>,
    ) -> Self {
        let locked = ready.locked.load(Ordering::Acquire);
        Self { set, strategy, position, version, freshness, locked, ready }
    }

    #[inline]
    fn is_unlocked(&self) -> bool {
        self.ready.locked.load(Ordering::Acquire) == self.locked
    }

    #[inline]
    fn is_current(&self) -> bool {
        self.is_unlocked() && self.freshness.is_of(self.version)
    }
}

impl Line {
    pub(super) fn set(&self) -> &Arc<NodeSet> {
        &self.set
    }

    pub(super) fn strategy(&self) -> &Arc<dyn Strategy> {
        &self.prepared.strategy
    }

    pub(super) fn position(&self) -> &StrategyState {
        &self.prepared.position
    }

    /// The node at `index`, of which it was seen that it is there.
    #[inline]
    pub(super) fn node(&self, index: usize) -> &Node {
        &self.set.nodes[index]
    }
}

impl Own {
    fn new(prepared: Arc<Prepared>) -> Self {
        let line = Arc::new(Line { set: prepared.set.clone(), prepared: prepared.clone() });
        Self { line, prepared, turns: Cell::default() }
    }

    #[inline]
    fn pick(&self) -> Result<Picked> {
        let Prepared { set, strategy, position, .. } = &*self.prepared;
        let mut turns = self.turns.get();
        if turns.left == 0 {
            match strategy.reserve(set, position).filter(|positions| !positions.is_empty()) {
                Some(Range { start, end }) if !set.nodes.is_empty() => {
                    turns = Turns { index: start % set.nodes.len(), left: end - start, end };
                }
                _ => return self.picked(strategy.pick(set, position)),
            }
        }
        let index = turns.index;
        turns.index = if index + 1 == set.nodes.len() { 0 } else { index + 1 };
        turns.left -= 1;
        self.turns.set(turns);
        self.picked(index)
    }

    #[inline]
    fn picked(&self, index: usize) -> Result<Picked> {
        let set = &self.prepared.set;
        if index < set.nodes.len() { Ok(Picked::of(self.line.clone(), index)) } else { Err(none_picked(set)) }
    }

    fn unused(&self) -> Option<Unused> {
        let Turns { left, end, .. } = self.turns.take();
        (left > 0).then(|| Unused { set: self.prepared.set.clone(), positions: end.wrapping_sub(left)..end })
    }
}

impl Ready {
    /// Of a service that was just selected from.
    pub(super) fn new() -> Self {
        Self { locked: AtomicU64::new(0), is_used: AtomicBool::new(true) }
    }

    /// From now on nothing that was worked out before is taken without a lock.
    pub(super) fn lock(&self) {
        self.locked.fetch_add(1, Ordering::Release);
    }

    /// Whether it was selected from since this was last asked.
    pub(super) fn take_use(&self) -> bool {
        self.is_used.swap(false, Ordering::Relaxed)
    }

    #[inline]
    fn use_it(&self) {
        // A line of memory that is only read can be read by all cores at once.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }
}
