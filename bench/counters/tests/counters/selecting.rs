//! A node of a thousand selected, and the service found in the cache of a registry.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use shaketable_bench_counters::Meter;
use shaketable_stack::registry::cache::{Cache, CacheConfig};
use shaketable_stack::registry::memory::Memory;
use shaketable_stack::registry::{Node, RegisterOptions, Registry, RegistryOptions, Service};
use shaketable_stack::selector::strategy::{Random, RoundRobin};
use shaketable_stack::selector::{
    CachedSelector, CachedSelectorConfig, SelectOptions, Selection, Selector, SelectorOptions, Strategy,
};

use crate::runtime;
use crate::wire::Wire;

const SERVICE: &str = "user";
const NODES: usize = 1_000;

/// Nothing runs out while it is counted.
const CACHE_TTL: Duration = Duration::from_secs(3_600);

/// What is counted here: a node picked for an attempt, by either strategy; the first node of a selection; the service got.
pub(crate) const OPERATIONS: [&str; 4] = ["round robin", "random", "round robin by select", "get"];

/// How often.
const TIMES: u64 = 1_000;

/// Counts `operation`, one of [`OPERATIONS`].
///
/// # Errors
/// When there is no operation of such a name.
pub(crate) fn count(operation: &str, meter: &mut Meter) -> Result<(), String> {
    let runtime = runtime()?;
    let entered = runtime.enter();
    let env = Wire::default().env();
    let registry: Arc<dyn Registry> = Arc::new(Memory::new(env.clone(), RegistryOptions::default()));
    let config = CacheConfig { ttl: CACHE_TTL, ..CacheConfig::default() };
    let cache: Arc<dyn Registry> = Arc::new(Cache::new(env.clone(), registry.clone(), config));
    let strategy: Arc<dyn Strategy> = match operation {
        "random" => Arc::new(Random::new(env.random("selector"))),
        _ => Arc::new(RoundRobin),
    };
    let options = SelectorOptions { registry: cache.clone(), strategy };
    let selector = CachedSelector::new(env, "counters", options, CachedSelectorConfig::default());
    runtime.block_on(async {
        registry.register(&service(), RegisterOptions::default()).await.expect("it is registered");
        selector.load(SERVICE).await.expect("it is found");
    });
    let options = SelectOptions::default();
    let select = || match selector.select(SERVICE, &options).expect("there are nodes") {
        Selection::Ready(next) => next.node().expect("there is one"),
        Selection::Miss => unreachable!("it was loaded and nothing runs out"),
    };
    let pick =
        || selector.pick(SERVICE, &options).expect("there are nodes").expect("it was loaded and nothing runs out");
    let get = || cache.cached(SERVICE).expect("it was loaded");
    match operation {
        "round robin" | "random" => {
            // The first works the nodes out, and the second is found by this thread from then on.
            (0..2).for_each(|_| drop(pick()));
            meter.count(TIMES, |times| (0..times).for_each(|_| drop(black_box(pick()))));
        }
        "round robin by select" => {
            (0..2).for_each(|_| drop(select()));
            meter.count(TIMES, |times| (0..times).for_each(|_| drop(black_box(select()))));
        }
        "get" => {
            assert_eq!(get().iter().map(|service| service.nodes.len()).sum::<usize>(), NODES);
            meter.count(TIMES, |times| (0..times).for_each(|_| drop(black_box(get()))));
        }
        _ => return Err(format!("no operation {operation}")),
    }
    drop(entered);
    Ok(())
}

fn service() -> Service {
    let node = |number: usize| Node {
        id: format!("{SERVICE}-{number:05}"),
        address: format!("10.0.{}.{}:8080", number / 250, number % 250 + 1),
        metadata: [("protocol".to_owned(), "grpc".to_owned())].into(),
    };
    let nodes = (0..NODES).map(node).collect();
    Service { name: SERVICE.to_owned(), version: "1".to_owned(), nodes, ..Service::default() }
}
