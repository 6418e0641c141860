//! The strategies: random and round robin. They see the nodes of one selection and the position kept for it, and nothing
//! else. As in go-micro's `selector/strategy.go`, except that round robin goes on where the last selection stopped; there
//! it starts anew at random for every call and is fair in name only (GM#116).

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use rand::Rng;

use super::{NodeSet, Strategy, StrategyState};
use crate::env::Random as RandomStream;

/// Each node is as likely as any other, at every draw.
#[derive(Debug)]
pub struct Random {
    stream: Mutex<RandomStream>,
}

impl Random {
    /// Draws from `stream`.
    pub fn new(stream: RandomStream) -> Self {
        Self { stream: Mutex::new(stream) }
    }
}

impl Strategy for Random {
    fn pick(&self, set: &NodeSet, _state: &StrategyState) -> usize {
        // 64 bits on every machine, so that a seed draws the same nodes everywhere.
        let count = set.nodes.len() as u64;
        if count < 2 {
            return 0;
        }
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..count) as usize
    }

    fn name(&self) -> &'static str {
        "random"
    }
}

/// One node after the other. The position is kept per service, so that n selections give each of k nodes n/k of them,
/// exact to one, while the nodes stay the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin;

impl Strategy for RoundRobin {
    fn pick(&self, set: &NodeSet, state: &StrategyState) -> usize {
        let position = state.fetch_add(1, Ordering::Relaxed);
        position.checked_rem(set.nodes.len()).unwrap_or(0)
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
