//! What a selector keeps for one service between calls: the nodes and the position of each combination of filters and
//! strategy, and the blacklist. It asks no registry; it is handed what the registry's cache holds and works out the nodes
//! anew only when that, or the blacklist, has changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::Rng;

use super::blacklist::Blacklist;
use super::ready::{AllReady, Prepared, Ready, Unused};
use super::{Filter, Next, NodeSet, Strategy, StrategyState};
use crate::env::{Instant, Random};
use crate::registry::{Followed, Services};
use crate::{Error, ErrorKind, Result};

/// Combinations kept for one service; beyond it the one that was not used for longest is dropped, and with it its position.
const COMBINATIONS_MAX: usize = 64;

/// Services of which something is kept before those that nobody uses are looked for.
const SERVICES_MIN: usize = 64;

/// What is kept, by service: at most twice as much as is used between two looks for what is not.
#[derive(Debug)]
pub(super) struct AllKept {
    pub(super) services: BTreeMap<String, Kept>,
    /// So many services are a reason to look.
    full_at: usize,
}

/// Everything kept for one service.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// What was marked.
    pub(super) blacklist: Blacklist,
    /// The last one used comes first.
    combinations: Vec<Combination>,
    /// What is taken without asking here.
    ready: Option<Arc<Ready>>,
    /// Whether it was selected from here since the last look.
    is_used: bool,
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

impl Default for AllKept {
    fn default() -> Self {
        Self { services: BTreeMap::new(), full_at: SERVICES_MIN }
    }
}

impl AllKept {
    /// Forgets the services that nobody has selected from for long, where there are many: names come and go, and nobody says
    /// which will not come again. What was marked is kept for its time.
    pub(super) fn make_room(&mut self, now: Instant, ready: &AllReady) {
        if self.services.len() < self.full_at {
            return;
        }
        self.services.retain(|_, kept| kept.is_wanted(now));
        ready.retain(|service| self.services.get(service).is_some_and(|kept| kept.ready.is_some()));
        self.full_at = SERVICES_MIN.max(self.services.len() * 2);
    }
}

impl Kept {
    fn is_wanted(&mut self, now: Instant) -> bool {
        let was_taken = self.ready.as_ref().is_some_and(|ready| ready.take_use());
        if std::mem::take(&mut self.is_used) || was_taken {
            return true;
        }
        self.combinations.clear();
        // Threads may have it still.
        self.lock();
        self.ready = None;
        self.blacklist.expire(|| now);
        !self.blacklist.is_empty()
    }

    /// Nothing is taken but from here, until nodes are worked out again.
    pub(super) fn lock(&self) {
        if let Some(ready) = &self.ready {
            ready.lock();
        }
    }

    /// Lets the nodes that were selected last be taken without asking here, as long as `followed` is the registry's answer.
    pub(super) fn make_ready(
        &mut self,
        service: &str,
        followed: Followed,
        strategy: &Arc<dyn Strategy>,
        all_ready: &AllReady,
    ) {
        let Combination { set, position, .. } = &self.combinations[0];
        let (set, strategy, position) = (set.clone(), strategy.clone(), position.clone());
        let Followed { version, freshness, .. } = followed;
        let ready = self.ready.get_or_insert_with(|| Arc::new(Ready::new())).clone();
        all_ready.set(service, Prepared::new(set, strategy, position, version, freshness, ready));
    }

    /// Takes turns back that were taken and not used, where nobody has taken any since: then it is as if they never were.
    pub(super) fn give_back(&self, Unused { set, positions }: &Unused) {
        if let Some(of_set) = self.combinations.iter().find(|known| Arc::ptr_eq(&known.set, set)) {
            let (now, back) = (positions.end, positions.start);
            let _ = of_set.position.compare_exchange(now, back, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

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
        self.is_used = true;
        match self.combinations.iter().position(|known| known.is_of(filters, strategy.name())) {
            Some(index) => self.combinations[..=index].rotate_right(1),
            None => {
                if self.combinations.len() == COMBINATIONS_MAX {
                    // What is taken without asking here does not come first, and is in use.
                    let is_ready = |known: &Combination| self.ready.is_some() && known.filters.is_empty();
                    let oldest = self.combinations.iter().rposition(|known| !is_ready(known));
                    self.combinations.remove(oldest.unwrap_or_default());
                }
                self.combinations.insert(0, Combination::new(filters, strategy.name()));
            }
        }
        let combination = &mut self.combinations[0];
        if !combination.services.is_same(&services) || combination.revision != self.blacklist.revision() {
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
        let mut set = NodeSet::after(&self.set, service, &filtered);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{AllKept, AllReady, SERVICES_MIN};
    use crate::env::{Instant, Random};
    use crate::registry::{Node, Service};
    use crate::selector::{BlacklistOptions, Strategy, strategy};

    /// Selects from `name` for the first time or again.
    fn select(all: &mut AllKept, name: &str, second: u64, random: &mut Random) {
        all.make_room(at(second), &AllReady::default());
        let kept = all.services.entry(name.to_owned()).or_default();
        let strategy: Arc<dyn Strategy> = Arc::new(strategy::RoundRobin);
        let node = Node { id: "a".to_owned(), ..Node::default() };
        let service = Service { name: name.to_owned(), nodes: vec![node], ..Service::default() };
        kept.select(name, vec![service].into(), &[], &strategy, random).unwrap();
    }

    fn at(second: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(second))
    }

    #[test]
    fn of_a_thousand_services_that_were_used_once_few_are_kept_and_one_that_is_used_always() {
        let (mut all, mut random) = (AllKept::default(), Random::from_number(7));
        for number in 0..1_000 {
            select(&mut all, "user", 0, &mut random);
            select(&mut all, &format!("service-{number}"), 0, &mut random);
            assert!(all.services.contains_key("user"));
        }
        assert!(all.services.len() <= 3 * SERVICES_MIN, "{}", all.services.len());
    }

    #[test]
    fn what_was_marked_is_kept_for_its_time() {
        let (mut all, mut random) = (AllKept::default(), Random::from_number(7));
        select(&mut all, "user", 0, &mut random);
        let node = Node { id: "a".to_owned(), ..Node::default() };
        all.services.get_mut("user").unwrap().blacklist.failed(&node, at(0), &BlacklistOptions::default());
        for number in 0..500 {
            select(&mut all, &format!("service-{number}"), 29, &mut random);
        }
        assert!(all.services.contains_key("user"));
        for number in 0..500 {
            select(&mut all, &format!("other-{number}"), 30, &mut random);
        }
        assert!(!all.services.contains_key("user"));
    }
}
