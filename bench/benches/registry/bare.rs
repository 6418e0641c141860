//! `etcd-client` and nothing else: the same keys and values, written and read by hand, each operation with the requests that it
//! cannot do without.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use etcd_client::{Client, DeleteOptions, EventType, GetOptions, PutOptions, WatchOptions};
use shaketable_bench_room::{Spent, spent};
use shaketable_stack::env::{Env, Namespace, os};
use shaketable_stack::registry::Service;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::services::{Fresh, TTL, key, prefix, round, service, with_each};
use crate::watching::{Heard, rounds};
use crate::{Ground, runtime};

/// A client, and what it runs on.
pub(crate) struct Bare {
    client: Client,
    name: String,
    env: Env,
    runtime: Runtime,
}

impl Bare {
    /// One that registers under `name`.
    pub(crate) fn new(ground: &Ground, name: &str) -> Self {
        let runtime = runtime();
        let address = ground.etcd.address();
        let client = runtime.block_on(Client::connect([address], None)).expect("etcd answers");
        Self { client, name: name.to_owned(), env: os::env(Namespace::new("bench")), runtime }
    }

    /// Takes away everything under the keys that begin so.
    pub(crate) fn clean(self, prefix: &str) {
        let mut client = self.client.clone();
        let delete = client.delete(prefix, Some(DeleteOptions::new().with_prefix()));
        self.runtime.block_on(delete).expect("etcd deletes");
    }

    /// As with this stack's: a lease and a key for each node.
    pub(crate) fn registers(self, count: usize) -> impl FnMut(u64) -> Spent {
        let (mut fresh, storms) = (Fresh::new(&self.name), count > 1);
        move |times| {
            let mut sum = Spent::default();
            let each = if storms { vec![count; times as usize] } else { vec![times as usize] };
            for count in each {
                let (services, leases) = (fresh.take(count), RefCell::new(Vec::new()));
                let one = spent(|| {
                    self.runtime.block_on(with_each(&services, storms, async |service| {
                        let lease = self.grant().await;
                        self.put(service, lease).await;
                        leases.borrow_mut().push(lease);
                    }));
                });
                (sum.wall, sum.cpu) = (sum.wall + one.wall, sum.cpu + one.cpu);
                self.runtime.block_on(async {
                    for lease in leases.into_inner() {
                        self.client.lease_client().revoke(lease).await.expect("it is revoked");
                    }
                });
            }
            sum
        }
    }

    /// Sends a keep-alive and waits for its answer, over a stream that stays.
    pub(crate) fn renews(self) -> impl FnMut(u64) {
        let (mut keeper, mut answers) = self.runtime.block_on(async {
            let lease = self.grant().await;
            self.client.lease_client().keep_alive(lease).await.expect("it is kept alive")
        });
        move |times| {
            self.runtime.block_on(async {
                for _ in 0..times {
                    keeper.keep_alive().await.expect("it is sent");
                    let answer = answers.message().await.expect("it is answered").expect("the stream stays");
                    assert!(answer.ttl() > 0, "the lease lives");
                }
            });
        }
    }

    /// Reads the keys of a service that another has registered, and decodes them.
    pub(crate) fn gets(self, nodes: usize) -> impl FnMut(u64) {
        move |times| {
            self.runtime.block_on(async {
                for _ in 0..times {
                    let found = self.read(&prefix(&self.name)).await;
                    assert_eq!(
                        (found.len(), found.values().next().map(|service| service.nodes.len())),
                        (1, Some(nodes))
                    );
                }
            });
        }
    }

    /// Reads all keys, and decodes them.
    pub(crate) fn lists(self, count: usize) -> impl FnMut(u64) {
        move |times| {
            self.runtime.block_on(async {
                for _ in 0..times {
                    assert!(self.read("/micro/registry/").await.len() >= count);
                }
            });
        }
    }

    /// Puts a node with something new until all of so many watches have heard.
    pub(crate) fn watches(self, watchers: usize, worst: bool) -> impl FnMut(u64) -> Spent {
        let (local, heard) = (LocalSet::new(), Rc::new(Heard::default()));
        let lease = local.block_on(&self.runtime, async {
            for _ in 0..watchers {
                let options = WatchOptions::new().with_prefix().with_prev_key();
                let watched = self.client.watch_client().watch(prefix(&self.name), Some(options)).await;
                let (mut events, heard) = (watched.expect("it is watched"), heard.clone());
                drop(local.spawn_local(async move {
                    while let Ok(Some(answer)) = events.message().await {
                        for event in answer.events().iter().filter(|event| event.event_type() == EventType::Put) {
                            heard.hear(event.kv().map(|kv| decode(kv.value())).as_ref().and_then(round));
                        }
                    }
                }));
            }
            self.grant().await
        });
        move |times| {
            rounds(times, worst, || {
                let register = async |round| self.put(&service(&self.name, &self.name, round), lease).await;
                local.block_on(&self.runtime, heard.next_round(&self.env, watchers, register));
            })
        }
    }

    async fn grant(&self) -> i64 {
        let ttl = TTL.as_secs().cast_signed();
        self.client.lease_client().grant(ttl, None).await.expect("a lease is granted").id()
    }

    async fn put(&self, service: &Service, lease: i64) {
        let value = serde_json::to_vec(service).expect("it is written as JSON");
        let options = PutOptions::new().with_lease(lease);
        self.client.kv_client().put(key(service), value, Some(options)).await.expect("it is put");
    }

    /// The services below `prefix`, with all their nodes.
    async fn read(&self, prefix: &str) -> BTreeMap<String, Service> {
        let found = self.client.kv_client().get(prefix, Some(GetOptions::new().with_prefix())).await;
        let mut services = BTreeMap::<String, Service>::new();
        for kv in found.expect("it is read").kvs() {
            let record = decode(kv.value());
            match services.get_mut(&record.name) {
                Some(service) => service.nodes.extend(record.nodes),
                None => drop(services.insert(record.name.clone(), record)),
            }
        }
        services
    }
}

fn decode(value: &[u8]) -> Service {
    serde_json::from_slice(value).expect("it is a service")
}
