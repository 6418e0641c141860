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
    combinations: Vec<Combination>,
    uses: u64,
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
    last_use: u64,
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
        self.uses += 1;
        let index = self.find(filters, strategy.name());
        let combination = &mut self.combinations[index];
        combination.last_use = self.uses;
        if !Arc::ptr_eq(&combination.services, &services) || combination.revision != self.blacklist.revision() {
            if !Arc::ptr_eq(&combination.services, &services) {
                self.blacklist.keep_only(&services);
            }
            combination.refresh(service, services, &self.blacklist, random);
        }
        if combination.set.nodes.is_empty() {
            return Err(none_available(service, filters, combination));
        }
        Ok(Next::new(combination.set.clone(), strategy.clone(), combination.position.clone()))
    }

    /// The combination's index. The same filter values are found by identity, without allocating; equal ones that were
    /// made anew, by their descriptions: they go on at the same position, with nodes of their own.
    fn find(&mut self, filters: &[Arc<dyn Filter>], strategy: &'static str) -> usize {
        let same = |combination: &Combination| {
            combination.strategy == strategy
                && combination.filters.len() == filters.len()
                && combination.filters.iter().zip(filters).all(|(kept, given)| Arc::ptr_eq(kept, given))
        };
        if let Some(index) = self.combinations.iter().position(same) {
            return index;
        }
        let described = |combination: &Combination| {
            combination.strategy == strategy
                && combination.filters.len() == filters.len()
                && combination.filters.iter().zip(filters).all(|(kept, given)| kept.describe() == given.describe())
        };
        if let Some(index) = self.combinations.iter().position(described) {
            self.combinations[index].filters = filters.to_vec();
            self.combinations[index].services = Services::default();
            return index;
        }
        if self.combinations.len() == COMBINATIONS_MAX {
            let oldest = (0..COMBINATIONS_MAX).min_by_key(|index| self.combinations[*index].last_use).unwrap_or(0);
            self.combinations.remove(oldest);
        }
        self.combinations.push(Combination {
            filters: filters.to_vec(),
            strategy,
            set: Arc::default(),
            position: StrategyState::default(),
            services: Services::default(),
            revision: 0,
            last_use: 0,
        });
        self.combinations.len() - 1
    }
}

impl Combination {
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

fn none_available(service: &str, filters: &[Arc<dyn Filter>], combination: &Combination) -> Error {
    let mut error = Error::new(ErrorKind::NoneAvailable, "select").with("service", service);
    if !filters.is_empty() {
        let filters: Vec<String> = filters.iter().map(|filter| filter.describe()).collect();
        error = error.with("filters", filters.join(", "));
    }
    let nodes: usize = combination.services.iter().map(|service| service.nodes.len()).sum();
    error.with("nodes", nodes.to_string())
}
