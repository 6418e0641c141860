//! What a selector keeps for one service between calls: the nodes and the position of each combination of filters and
//! strategy, and the blacklist. It asks no registry; it is handed what the registry's cache holds and works out the nodes
//! anew only when that, or the blacklist, has changed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::Rng;

use super::blacklist::Blacklist;
use super::{Filter, Next, NodeSet, Strategy, StrategyState};
use crate::env::Random;
use crate::registry::Services;
use crate::{Error, ErrorKind, Result};

/// Combinations kept for one service; beyond it the one that was not used for longest is dropped, and with it its position.
const COMBINATIONS_MAX: usize = 64;

/// Everything kept for one service.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// What was marked.
    pub(super) blacklist: Blacklist,
    /// The last one used comes first.
    combinations: Vec<Combination>,
}

/// One combination of filters and strategy.
#[derive(Debug)]
struct Combination {
    filters: Vec<Arc<dyn Filter>>,
    strategy: &'static str,
    set: Arc<NodeSet>,
    position: StrategyState,
    /// What `set` was worked out from; empty before the first time.
    services: Services,
    revision: u64,
}

impl Kept {
    /// The nodes of `services` that are left, with the position that belongs to them.
    ///
    /// # Errors
    /// `NoneAvailable` when none is left.
    pub(super) fn select(
        &mut self,
        service: &str,
        services: Services,
        filters: &[Arc<dyn Filter>],
        strategy: &Arc<dyn Strategy>,
        random: &mut Random,
    ) -> Result<Next> {
        match self.combinations.iter().position(|known| known.is_of(filters, strategy.name())) {
            Some(index) => self.combinations[..=index].rotate_right(1),
            None => {
                self.combinations.insert(0, Combination::new(filters, strategy.name()));
                self.combinations.truncate(COMBINATIONS_MAX);
            }
        }
        let combination = &mut self.combinations[0];
        if !Arc::ptr_eq(&combination.services, &services) || combination.revision != self.blacklist.revision() {
            combination.refresh(service, services, &self.blacklist, random);
        }
        if combination.set.nodes.is_empty() {
            return Err(none_available(service, combination));
        }
        Ok(Next::new(combination.set.clone(), strategy.clone(), combination.position.clone()))
    }
}

impl Combination {
    fn new(filters: &[Arc<dyn Filter>], strategy: &'static str) -> Self {
        Self {
            filters: filters.to_vec(),
            strategy,
            set: Arc::default(),
            position: StrategyState::default(),
            services: Services::default(),
            revision: 0,
        }
    }

    fn is_of(&self, filters: &[Arc<dyn Filter>], strategy: &'static str) -> bool {
        self.strategy == strategy
            && self.filters.len() == filters.len()
            && self.filters.iter().zip(filters).all(|(kept, given)| is_same(kept, given))
    }

    fn refresh(&mut self, service: &str, services: Services, blacklist: &Blacklist, random: &mut Random) {
        let mut filtered = services.clone();
        for filter in &self.filters {
            filtered = filter.apply(&filtered).into();
        }
        let mut set = NodeSet::of(service, &filtered);
        set.nodes.retain(|node| !blacklist.holds(node));
        let position = self.next_position(&set, random);
        self.position.store(position, Ordering::Relaxed);
        self.set = Arc::new(set);
        self.services = services;
        self.revision = blacklist.revision();
    }

    /// Where to go on among the nodes of `set`: at the first node from the old position on that is still there. Whoever
    /// comes and goes, two nodes that stay are thus taken in turns. The first position is random, so that many selectors
    /// that make few calls do not all begin with the same node.
    fn next_position(&self, set: &NodeSet, random: &mut Random) -> usize {
        let old = &self.set.nodes;
        if !old.is_empty() {
            let start = self.position.load(Ordering::Relaxed) % old.len();
            let order = old[start..].iter().chain(&old[..start]);
            for candidate in order {
                if let Some(index) = set.nodes.iter().position(|node| node.id == candidate.id) {
                    return index;
                }
            }
        }
        if set.nodes.is_empty() { 0 } else { random.random_range(0..set.nodes.len() as u64) as usize }
    }
}

/// The same filter, or one that was made anew and keeps the same, so that both take turns together. Filters that only code
/// can tell apart are never taken for each other.
fn is_same(kept: &Arc<dyn Filter>, given: &Arc<dyn Filter>) -> bool {
    Arc::ptr_eq(kept, given) || kept.criterion().is_some_and(|own| given.criterion() == Some(own))
}

fn none_available(service: &str, combination: &Combination) -> Error {
    let nodes: usize = combination.services.iter().map(|service| service.nodes.len()).sum();
    Error::new(ErrorKind::NoneAvailable, "select")
        .with("service", service)
        .with("filters", format!("{:?}", combination.filters))
        .with("nodes", nodes.to_string())
}
