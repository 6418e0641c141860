//! Selector: which node serves the next request. It knows registries and nothing of connections. Methods as in go-micro's
//! `selector/selector.go`. The hot path is synchronous and returns concrete types: `select` answers from what the registry
//! cache holds, and only a [`Selection::Miss`] makes the caller wait in `load`. Who wants one node only, as a client does for
//! an attempt, asks `pick`.

mod blacklist;
mod cached;
pub mod filter;
mod kept;
#[cfg(test)]
mod pick_tests;
mod picked;
mod ready;
pub mod strategy;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;

use crate::registry::{Node, Registry, Service, Services};
use crate::{Error, ErrorKind, Result};

pub use blacklist::BlacklistOptions;
pub use cached::{CachedSelector, CachedSelectorConfig};
pub use picked::Picked;
use ready::Line;

/// How a selector is set up. go-micro: `selector.Options`.
#[derive(Clone, Debug)]
pub struct SelectorOptions {
    /// Where nodes are looked up; the selector puts a cache before it unless it is one.
    pub registry: Arc<dyn Registry>,
    /// Picks among nodes when a call names no other.
    pub strategy: Arc<dyn Strategy>,
}

/// How one selection is made. go-micro: `selector.SelectOptions`.
#[derive(Clone, Debug, Default)]
pub struct SelectOptions {
    /// Applied in order to what the registry gives.
    pub filters: Vec<Arc<dyn Filter>>,
    /// Picks among the nodes that are left, instead of the selector's own.
    pub strategy: Option<Arc<dyn Strategy>>,
}

impl SelectOptions {
    /// Whether they leave everything to the selector.
    fn is_plain(&self) -> bool {
        self.filters.is_empty() && self.strategy.is_none()
    }
}

/// Picks nodes of services.
#[async_trait]
pub trait Selector: Send + Sync + fmt::Debug {
    /// Replaces the options.
    fn init(&self, options: SelectorOptions) -> Result<()>;

    /// The options in force.
    fn options(&self) -> SelectorOptions;

    /// Selects among the nodes of `service` that are known now.
    ///
    /// # Errors
    /// `NoneAvailable` when filters and the blacklist leave no node, `NotFound` when the cache knows that there is none.
    fn select(&self, service: &str, options: &SelectOptions) -> Result<Selection>;

    /// A node of `service` for one attempt: the first of those that [`select`](Self::select) would hand out now. `None` where
    /// that is a miss.
    ///
    /// # Errors
    /// Those of `select`, and of [`Next::node`].
    fn pick(&self, service: &str, options: &SelectOptions) -> Result<Option<Picked>> {
        match self.select(service, options)? {
            Selection::Ready(next) => next.node().map(|node| Some(node.into())),
            Selection::Miss => Ok(None),
        }
    }

    /// Looks `service` up, so that the next [`select`](Self::select) hits.
    ///
    /// # Errors
    /// `NotFound` for an unknown service, and what the registry answers.
    async fn load(&self, service: &str) -> Result<()>;

    /// Tells how a request to `node` ended.
    fn mark(&self, service: &str, node: &Node, outcome: Outcome);

    /// Forgets what was marked for `service`.
    fn reset(&self, service: &str);

    /// Releases what the selector holds; `select` then answers `Closed`.
    async fn close(&self) -> Result<()>;

    /// The plugin's name.
    fn name(&self) -> &'static str;
}

/// What [`Selector::select`] found.
#[derive(Debug)]
pub enum Selection {
    /// Nodes to take from.
    Ready(Next),
    /// Nothing is known of the service: [`Selector::load`] it, then select again.
    Miss,
}

/// How a request ended, as far as the node is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The node answered; an error that a handler returned is an answer too.
    Answered,
    /// The node could not be reached, did not answer in time or broke the connection.
    Failed,
}

impl Outcome {
    /// The outcome that `error` stands for: errors of applications never count against a node.
    pub fn of(result: Result<(), &Error>) -> Self {
        match result.map_err(Error::kind) {
            Err(ErrorKind::Unreachable | ErrorKind::Disconnected | ErrorKind::Timeout) => Self::Failed,
            _ => Self::Answered,
        }
    }
}

/// A node is looked for among so many that were there before: both are in the same order, and few go at once.
const MOVED_MAX: usize = 8;

/// The nodes that a selection left, in a fixed order. go-micro hands its strategies `[]*Service` and has each of them
/// flatten it; here that happens once per change of membership.
#[derive(Debug, Default)]
pub struct NodeSet {
    /// Name of the service.
    pub service: String,
    /// The nodes, ordered by version and id.
    pub nodes: Vec<Arc<Node>>,
}

impl NodeSet {
    /// All nodes of all versions.
    pub fn of(service: &str, services: &Services) -> Self {
        Self::after(&Self::default(), service, services)
    }

    /// The same after `before`, with which it shares the nodes that stay.
    fn after(before: &Self, service: &str, services: &Services) -> Self {
        let mut known = before.nodes.as_slice();
        let mut share = |node: &Node| match known.iter().take(MOVED_MAX).position(|known| **known == *node) {
            Some(index) => {
                let shared = known[index].clone();
                known = &known[index + 1..];
                shared
            }
            None => Arc::new(node.clone()),
        };
        let nodes = services.iter().flat_map(|service| &service.nodes).map(&mut share).collect();
        Self { service: service.to_owned(), nodes }
    }
}

/// Hands out nodes, one per attempt. go-micro: `selector.Next`.
#[derive(Debug)]
pub struct Next {
    source: Source,
}

impl Clone for Next {
    fn clone(&self) -> Self {
        Self {
            source: match &self.source {
                Source::Prepared(line) => Source::Prepared(line.clone()),
                Source::Set { set, strategy, state } => {
                    Source::Set { set: set.clone(), strategy: strategy.clone(), state: state.clone() }
                }
                Source::Elsewhere(source) => Source::Elsewhere(source.clone()),
            },
        }
    }
}

#[derive(Debug)]
enum Source {
    Prepared(Arc<Line>),
    Set { set: Arc<NodeSet>, strategy: Arc<dyn Strategy>, state: StrategyState },
    Elsewhere(Arc<dyn NodeSource>),
}

/// Picks the nodes of one selection where this process does not see them all, as a selector in another process does.
pub trait NodeSource: Send + Sync + fmt::Debug {
    /// The next node.
    ///
    /// # Errors
    /// `NoneAvailable` when there is none, and what keeps the other process from answering.
    fn node(&self) -> Result<Arc<Node>>;
}

impl Next {
    /// Takes from `set` by `strategy`; `state` is what the strategy keeps per service across selections.
    pub fn new(set: Arc<NodeSet>, strategy: Arc<dyn Strategy>, state: StrategyState) -> Self {
        Self { source: Source::Set { set, strategy, state } }
    }

    /// Takes from what was prepared.
    #[inline]
    fn prepared(line: Arc<Line>) -> Self {
        Self { source: Source::Prepared(line) }
    }

    /// Takes what `source` picks.
    pub fn elsewhere(source: Arc<dyn NodeSource>) -> Self {
        Self { source: Source::Elsewhere(source) }
    }

    /// The next node.
    ///
    /// # Errors
    /// `NoneAvailable` when the set is empty.
    pub fn node(&self) -> Result<Arc<Node>> {
        match &self.source {
            Source::Prepared(line) => pick(line.set(), &**line.strategy(), line.position()),
            Source::Set { set, strategy, state } => pick(set, &**strategy, state),
            Source::Elsewhere(source) => source.node(),
        }
    }

    /// The nodes that it takes from, where this process sees them all.
    pub fn set(&self) -> Option<&Arc<NodeSet>> {
        match &self.source {
            Source::Prepared(line) => Some(line.set()),
            Source::Set { set, .. } => Some(set),
            Source::Elsewhere(_) => None,
        }
    }
}

#[inline]
fn pick(set: &NodeSet, strategy: &dyn Strategy, state: &StrategyState) -> Result<Arc<Node>> {
    set.nodes.get(strategy.pick(set, state)).cloned().ok_or_else(|| none_picked(set))
}

/// There is no node where the strategy says.
#[cold]
fn none_picked(set: &NodeSet) -> Error {
    Error::new(ErrorKind::NoneAvailable, "select").with("service", set.service.clone())
}

/// What a strategy keeps for one service across selections: a position that every selection moves on.
pub type StrategyState = Arc<std::sync::atomic::AtomicUsize>;

/// Picks one of several nodes. go-micro: `selector.Strategy`.
pub trait Strategy: Send + Sync + fmt::Debug {
    /// The index of the node to take; any index when the set is empty. Must not allocate.
    fn pick(&self, set: &NodeSet, state: &StrategyState) -> usize;

    /// Moves `state` on by some picks at once, where the n-th pick takes the node at index n of `set`, counted round: whoever
    /// asks then takes these positions by itself. `None` where nodes are taken one by one, by [`pick`](Self::pick). Must not
    /// allocate.
    fn reserve(&self, set: &NodeSet, state: &StrategyState) -> Option<Range<usize>> {
        let _ = (set, state);
        None
    }

    /// The strategy's name.
    fn name(&self) -> &'static str;
}

/// Leaves out what must not be selected. go-micro: `selector.Filter`.
pub trait Filter: Send + Sync + fmt::Debug {
    /// The services and nodes that may be selected; the input is not touched.
    fn apply(&self, services: &[Service]) -> Vec<Service>;

    /// What it keeps, for a selector that filters where this code cannot run, and for turns that go on though each call makes
    /// its filters anew; `None` for a filter that only code can say.
    fn criterion(&self) -> Option<Criterion<'_>> {
        None
    }
}

/// What a filter keeps, in words that another process understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion<'a> {
    /// Services of this version.
    Version(&'a str),
    /// Services with this endpoint.
    Endpoint(&'a str),
    /// Nodes whose metadata says `value` under `key`.
    Label {
        /// The key.
        key: &'a str,
        /// Its value.
        value: &'a str,
    },
}
