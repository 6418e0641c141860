//! This stack's selectors over the cache of a registry in memory, as a client has them.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shaketable_stack::env::{Env, Namespace, os};
use shaketable_stack::registry::cache::{Cache, CacheConfig};
use shaketable_stack::registry::memory::Memory;
use shaketable_stack::registry::{
    DeregisterOptions, Node, RegisterOptions, Registry, RegistryOptions, Service, Services,
};
use shaketable_stack::selector::strategy::{Random, RoundRobin};
use shaketable_stack::selector::{
    CachedSelector, CachedSelectorConfig, Picked, SelectOptions, Selection, Selector, SelectorOptions, Strategy,
};
use tokio::runtime::{Builder, Runtime};

use crate::churn::Changing;
use crate::{Picks, SERVICE, node, nodes, use_it};

/// Nothing runs out while it is measured.
const CACHE_TTL: Duration = Duration::from_secs(3_600);

/// A selector, what it selects from, and what its tasks run on.
pub(crate) struct Ours {
    selector: Arc<dyn Selector>,
    cache: Arc<dyn Registry>,
    registry: Arc<dyn Registry>,
    options: SelectOptions,
    /// The node that was changed last.
    last: Mutex<Node>,
    env: Env,
    /// Runs while nodes are changed: the cache hears of it in a task.
    runtime: Runtime,
}

impl Ours {
    /// One node after the other of `count`.
    pub(crate) fn round_robin(count: usize) -> Self {
        let ours = Self::new(count, |_| Arc::new(RoundRobin));
        // Everybody is picked once in `count` picks: it does what is measured.
        let picked: BTreeSet<String> = (0..count).map(|_| ours.next().id.clone()).collect();
        assert_eq!(picked.len(), count, "round robin takes them in turns");
        ours
    }

    /// Any of `count` nodes.
    pub(crate) fn random(count: usize) -> Self {
        let ours = Self::new(count, |env| Arc::new(Random::new(env.random("selector"))));
        // Four draws for each node leave out one of 55, on average.
        let picked: BTreeSet<String> = (0..4 * count).map(|_| ours.next().id.clone()).collect();
        assert!(picked.len() > count / 2, "random takes most of them: {} of {count}", picked.len());
        ours
    }

    fn new(count: usize, strategy: impl FnOnce(&Env) -> Arc<dyn Strategy>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let guard = runtime.enter();
        let env = os::env(Namespace::new("bench"));
        let registry: Arc<dyn Registry> = Arc::new(Memory::new(env.clone(), RegistryOptions::default()));
        let config = CacheConfig { ttl: CACHE_TTL, ..CacheConfig::default() };
        let cache: Arc<dyn Registry> = Arc::new(Cache::new(env.clone(), registry.clone(), config));
        let options = SelectorOptions { registry: cache.clone(), strategy: strategy(&env) };
        let config = CachedSelectorConfig::default();
        let selector: Arc<dyn Selector> = Arc::new(CachedSelector::new(env.clone(), "bench", options, config));
        runtime.block_on(async {
            registry.register(&service(nodes(count)), RegisterOptions::default()).await.expect("it is registered");
            selector.load(SERVICE).await.expect("it is found");
        });
        drop(guard);
        let last = Mutex::new(node(count - 1));
        Self { selector, cache, registry, options: SelectOptions::default(), last, env, runtime }
    }

    /// What the cache knows of the service.
    pub(crate) fn get(&self) -> Option<Services> {
        self.cache.cached(black_box(SERVICE))
    }

    /// The next node, as a client takes it for an attempt.
    fn next(&self) -> Picked {
        match self.selector.pick(SERVICE, &self.options) {
            Ok(Some(picked)) => picked,
            other => unreachable!("it was loaded and nothing runs out: {other:?}"),
        }
    }

    /// The first node of a selection that could hand out more.
    fn first_of_selection(&self) -> Arc<Node> {
        match &self.selector.select(black_box(SERVICE), &self.options) {
            Ok(Selection::Ready(next)) => next.node().expect("there is one"),
            other => unreachable!("it was loaded and nothing runs out: {other:?}"),
        }
    }

    fn holds(&self, id: &str) -> bool {
        self.get().is_some_and(|services| services.iter().flat_map(|service| &service.nodes).any(|node| node.id == id))
    }
}

impl Picks for Ours {
    fn pick(&self) {
        match &self.selector.pick(black_box(SERVICE), &self.options) {
            Ok(Some(picked)) => use_it(&**picked),
            other => unreachable!("it was loaded and nothing runs out: {other:?}"),
        }
    }
}

/// The same in two steps: a selection, and a node of it.
pub(crate) struct Selecting(pub(crate) Ours);

impl Picks for Selecting {
    fn pick(&self) {
        use_it(self.0.first_of_selection());
    }
}

/// What `get_service` answers without asking a backend, instead of a node.
pub(crate) struct Getting(pub(crate) Ours);

impl Getting {
    pub(crate) fn new(count: usize) -> Self {
        let ours = Ours::round_robin(count);
        assert_eq!(ours.get().expect("it was loaded")[0].nodes.len(), count);
        Self(ours)
    }
}

impl Picks for Getting {
    fn pick(&self) {
        black_box(self.0.get());
    }
}

impl Changing for Getting {
    fn change(&self, number: usize) {
        self.0.change(number);
    }

    fn state(&self, number: usize) -> (usize, bool) {
        self.0.state(number)
    }
}

impl Changing for Ours {
    fn change(&self, number: usize) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let coming = node(number);
        self.runtime.block_on(async {
            let leaving = service(vec![std::mem::replace(&mut *last, coming.clone())]);
            let leaving_id = leaving.nodes[0].id.clone();
            self.registry.register(&service(vec![coming.clone()]), RegisterOptions::default()).await.expect("it comes");
            self.registry.deregister(&leaving, DeregisterOptions::default()).await.expect("it goes");
            let seen = async {
                while !self.holds(&coming.id) || self.holds(&leaving_id) {
                    tokio::task::yield_now().await;
                }
            };
            self.env.timeout(Duration::from_secs(10), seen).await.expect("the cache hears of it");
        });
    }

    fn state(&self, number: usize) -> (usize, bool) {
        let services = self.get().expect("it was loaded");
        (services.iter().map(|service| service.nodes.len()).sum(), self.holds(&node(number).id))
    }
}

fn service(nodes: Vec<Node>) -> Service {
    Service { name: SERVICE.to_owned(), version: "1".to_owned(), nodes, ..Service::default() }
}
