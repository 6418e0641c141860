//! This stack's registry, as a service uses it.

use std::rc::Rc;
use std::sync::Arc;

use shaketable_bench_room::{Spent, spent};
use shaketable_stack::env::{Env, Namespace, os};
use shaketable_stack::registry::cache::{Cache, CacheConfig};
use shaketable_stack::registry::etcd::Etcd;
use shaketable_stack::registry::{
    DeregisterOptions, GetOptions, ListOptions, RegisterOptions, Registry, RegistryOptions, Service, WatchOptions,
};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::services::{Fresh, TTL, listed, round, service, with_each};
use crate::watching::{Heard, rounds};
use crate::{Ground, runtime};

/// A registry, and what it runs on.
pub(crate) struct Ours {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) name: String,
    env: Env,
    runtime: Runtime,
}

impl Ours {
    /// One that registers under `name`.
    pub(crate) fn new(ground: &Ground, name: &str) -> Self {
        let (runtime, env) = (runtime(), os::env(Namespace::new("bench")));
        let addresses = vec![ground.etcd.address().to_owned()];
        let registry = Arc::new(Etcd::new(env.clone(), RegistryOptions { addresses, ..RegistryOptions::default() }));
        Self { registry, name: name.to_owned(), env, runtime }
    }

    /// Registers `count` new nodes at a time; they are deregistered after the time was taken.
    pub(crate) fn registers(self, count: usize) -> impl FnMut(u64) -> Spent {
        let (mut fresh, storms) = (Fresh::new(&self.name), count > 1);
        move |times| {
            let mut sum = Spent::default();
            let each = if storms { vec![count; times as usize] } else { vec![times as usize] };
            for count in each {
                let services = fresh.take(count);
                let one = spent(|| {
                    self.runtime.block_on(with_each(&services, storms, async |service| self.register(service).await));
                });
                (sum.wall, sum.cpu) = (sum.wall + one.wall, sum.cpu + one.cpu);
                self.runtime.block_on(with_each(&services, true, async |service| {
                    self.registry.deregister(service, DeregisterOptions::default()).await.expect("it is deregistered");
                }));
            }
            sum
        }
    }

    /// Registers a service again of which none of so many nodes has changed.
    pub(crate) fn registers_again(self, nodes: usize) -> impl FnMut(u64) {
        let mut service = service(&self.name, &self.name, 0);
        service.nodes = Fresh::new(&self.name).take(nodes).into_iter().flat_map(|one| one.nodes).collect();
        self.runtime.block_on(self.register(&service));
        move |times| {
            self.runtime.block_on(async {
                for _ in 0..times {
                    self.register(&service).await;
                }
            });
        }
    }

    /// Looks up a service with so many nodes, which it has registered.
    pub(crate) fn gets(self, nodes: usize) -> impl FnMut(u64) {
        let services = Fresh::new(&self.name).take(nodes);
        self.runtime.block_on(with_each(&services, true, async |service| self.register(service).await));
        move |times| {
            self.runtime.block_on(async {
                for _ in 0..times {
                    let found =
                        self.registry.get_service(&self.name, GetOptions::default()).await.expect("it is found");
                    assert_eq!((found.len(), found[0].nodes.len()), (1, nodes));
                }
            });
        }
    }

    /// Looks up the same in the cache over the registry, which has it already.
    pub(crate) fn gets_cached(self, nodes: usize) -> impl FnMut(u64) {
        let services = Fresh::new(&self.name).take(nodes);
        let cache = self.runtime.block_on(async {
            with_each(&services, true, async |service| self.register(service).await).await;
            let config = CacheConfig { ttl: TTL, ..CacheConfig::default() };
            let cache: Arc<dyn Registry> = Arc::new(Cache::new(self.env.clone(), self.registry.clone(), config));
            cache.get_service(&self.name, GetOptions::default()).await.expect("it is found");
            cache
        });
        move |times| {
            // What it runs on is held as long as it.
            let _guard = self.runtime.enter();
            for _ in 0..times {
                let found = cache.cached(&self.name).expect("it is known");
                assert_eq!((found.len(), found[0].nodes.len()), (1, nodes));
            }
        }
    }

    /// Lists all services, of which it has registered so many.
    pub(crate) fn lists(self, count: usize) -> impl FnMut(u64) {
        let services = listed(&self.name, count);
        self.runtime.block_on(with_each(&services, true, async |service| self.register(service).await));
        move |times| {
            self.runtime.block_on(async {
                for _ in 0..times {
                    let found = self.registry.list_services(ListOptions::default()).await.expect("they are listed");
                    assert!(found.len() >= count);
                }
            });
        }
    }

    /// Registers a node with something new until all of so many watchers have heard.
    pub(crate) fn watches(self, watchers: usize, worst: bool) -> impl FnMut(u64) -> Spent {
        let (local, heard) = (LocalSet::new(), Rc::new(Heard::default()));
        local.block_on(&self.runtime, async {
            for _ in 0..watchers {
                let options = WatchOptions { service: Some(self.name.clone()) };
                let (watcher, heard) = (self.registry.watch(options).await.expect("it is watched"), heard.clone());
                drop(local.spawn_local(async move {
                    while let Ok(event) = watcher.next().await {
                        heard.hear(round(&event.service));
                    }
                }));
            }
        });
        move |times| {
            rounds(times, worst, || {
                let register = async |round| self.register(&service(&self.name, &self.name, round)).await;
                local.block_on(&self.runtime, heard.next_round(&self.env, watchers, register));
            })
        }
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub(crate) async fn register(&self, service: &Service) {
        let options = RegisterOptions { ttl: Some(TTL) };
        self.registry.register(service, options).await.expect("it is registered");
    }
}
