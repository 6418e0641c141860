//! The strategies: random and round robin. They see the nodes of one selection and the position kept for it, and nothing
//! else. As in go-micro's `selector/strategy.go`, except that round robin goes on where the last selection stopped; there
//! it starts anew at random for every call and is fair in name only (GM#116).

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rand::Rng;

use super::{NodeSet, Strategy, StrategyState};
use crate::env::Random as RandomStream;
use crate::recent::{self, Owner, Recent};

/// Turns that a thread takes at once where there are very many nodes.
const TURNS_MAX: usize = 16;

/// A thread takes a turn at once for each so many nodes, and never less than one.
const NODES_PER_TURN: usize = 64;

thread_local! {
    static STREAMS: Recent<Stream> = const { Recent::new() };
}

/// Each node is as likely as any other, at every draw.
#[derive(Debug)]
pub struct Random {
    source: Arc<Mutex<Source>>,
    owner: Owner,
}

#[derive(Debug)]
struct Source {
    /// The first thread's, until it has taken it.
    first: Option<RandomStream>,
    /// Seeds of the other threads' streams.
    seeds: RandomStream,
}

/// A thread's own, so that none waits for another.
#[derive(Debug)]
struct Stream {
    source: Weak<Mutex<Source>>,
    stream: RefCell<RandomStream>,
}

impl Random {
    /// Draws from `stream` on the first thread that draws, and on each further one from a stream that `stream` decides.
    pub fn new(stream: RandomStream) -> Self {
        let seeds = RandomStream::from_seed(stream.clone().random());
        Self { source: Arc::new(Mutex::new(Source { first: Some(stream), seeds })), owner: Owner::default() }
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_stream(&self) {
        let stream = || {
            let mut source = self.source();
            let stream = source.first.take().unwrap_or_else(|| RandomStream::from_seed(source.seeds.random()));
            Stream { source: Arc::downgrade(&self.source), stream: RefCell::new(stream) }
        };
        recent::keep(&STREAMS, &self.owner, "", |kept| kept.source.strong_count() > 0, stream);
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        recent::forget(&STREAMS, &self.owner);
    }
}

impl Strategy for Random {
    fn pick(&self, set: &NodeSet, _state: &StrategyState) -> usize {
        // 64 bits on every machine, so that a seed draws the same nodes everywhere.
        let count = set.nodes.len() as u64;
        if count < 2 {
            return 0;
        }
        let draw = |own: &Stream| Some(own.stream.try_borrow_mut().ok()?.random_range(0..count));
        let drawn = recent::find(&STREAMS, &self.owner, "", draw).or_else(|| {
            self.keep_stream();
            recent::find(&STREAMS, &self.owner, "", draw)
        });
        // A thread that keeps too many streams, or is ending, has none of its own.
        drawn.unwrap_or_else(|| self.source().seeds.random_range(0..count)) as usize
    }

    fn name(&self) -> &'static str {
        "random"
    }
}

/// One node after the other. The position is kept per service, so that n selections give each of k nodes n/k of them,
/// exact to one, while the nodes stay the same. From 128 nodes on a thread that picks takes some turns at once, at most
/// 16: then a node may lack one more for each other thread that has stopped in the midst of its turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin;

impl Strategy for RoundRobin {
    fn pick(&self, set: &NodeSet, state: &StrategyState) -> usize {
        let position = state.fetch_add(1, Ordering::Relaxed);
        position.checked_rem(set.nodes.len()).unwrap_or(0)
    }

    fn reserve(&self, set: &NodeSet, state: &StrategyState) -> Option<Range<usize>> {
        // Few enough that all threads of a machine together hold a small part of a round.
        let turns = (set.nodes.len() / NODES_PER_TURN).clamp(1, TURNS_MAX);
        let start = state.fetch_add(turns, Ordering::Relaxed);
        // Once in 2^64 picks it comes round.
        start.checked_add(turns).map(|end| start..end)
    }

    fn name(&self) -> &'static str {
        "round_robin"
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Random, RoundRobin};
    use crate::env::Random as RandomStream;
    use crate::registry::Node;
    use crate::selector::{NodeSet, Strategy, StrategyState};

    fn set(count: usize) -> NodeSet {
        let node = |index| Arc::new(Node { id: format!("n-{index}"), ..Node::default() });
        NodeSet { service: "user".into(), nodes: (0..count).map(node).collect() }
    }

    #[test]
    fn an_empty_set_gives_some_index_and_no_panic() {
        let state = StrategyState::default();
        assert_eq!(RoundRobin.pick(&set(0), &state), 0);
        assert_eq!(Random::new(RandomStream::from_number(1)).pick(&set(0), &state), 0);
    }

    #[test]
    fn random_draws_every_node_about_equally_often() {
        let (strategy, set, state) = (Random::new(RandomStream::from_number(1)), set(4), StrategyState::default());
        let mut counts = [0_i32; 4];
        for _ in 0..4000 {
            counts[strategy.pick(&set, &state)] += 1;
        }
        // Five standard deviations (27.4 each) around 1000.
        assert!(counts.iter().all(|count| (count - 1000).abs() < 137), "{counts:?}");
    }
}
