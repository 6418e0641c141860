//! `etcd-client` and nothing else: the same keys and values, written and read by hand, each operation with the requests that it
//! cannot do without.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use etcd_client::{
    Client, DeleteOptions, EventType, GetOptions, LeaseTimeToLiveOptions, PutOptions, Txn, TxnOp, TxnOpResponse,
    WatchOptions,
};
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

    /// As with this stack's: a key for each node, and one lease that all of them hang on.
    pub(crate) fn registers(self, count: usize) -> impl FnMut(u64) -> Spent {
        let (mut fresh, storms) = (Fresh::new(&self.name), count > 1);
        move |times| {
            let mut sum = Spent::default();
            let each = if storms { vec![count; times as usize] } else { vec![times as usize] };
            for count in each {
                let (services, mut lease) = (fresh.take(count), 0);
                let one = spent(|| {
                    self.runtime.block_on(async {
                        lease = self.grant().await;
                        with_each(&services, storms, async |service| self.put(service, lease).await).await;
                    });
                });
                (sum.wall, sum.cpu) = (sum.wall + one.wall, sum.cpu + one.cpu);
                self.runtime.block_on(async {
                    self.client.lease_client().revoke(lease).await.expect("it is revoked");
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

    /// Asks for the keys of the lease on which so many hang: the least that etcd can be asked by who registers again and wants
    /// to know whether they are still there.
    pub(crate) fn looks_at_lease(self, nodes: usize) -> impl FnMut(u64) {
        let services = Fresh::new(&self.name).take(nodes);
        let mut keys: Vec<Vec<u8>> = services.iter().map(|service| key(service).into_bytes()).collect();
        keys.sort();
        let lease = self.runtime.block_on(async {
            let lease = self.grant().await;
            with_each(&services, true, async |service| self.put(service, lease).await).await;
            lease
        });
        move |times| {
            self.runtime.block_on(async {
                for _ in 0..times {
                    let options = LeaseTimeToLiveOptions::new().with_keys();
                    let mut client = self.client.lease_client();
                    let answer = client.time_to_live(lease, Some(options)).await.expect("it is told");
                    let mut found: Vec<&Vec<u8>> = answer.keys().iter().collect();
                    found.sort();
                    assert!(found.into_iter().eq(&keys));
                }
            });
        }
    }

    /// Asks which lease each of so many keys hangs on, in one request.
    pub(crate) fn looks(self, nodes: usize) -> impl FnMut(u64) {
        let services = Fresh::new(&self.name).take(nodes);
        let keys: Vec<String> = services.iter().map(key).collect();
        let lease = self.runtime.block_on(async {
            let lease = self.grant().await;
            with_each(&services, true, async |service| self.put(service, lease).await).await;
            lease
        });
        let keys_only = || Some(GetOptions::new().with_keys_only());
        move |times| {
            self.runtime.block_on(async {
                for _ in 0..times {
                    let mut client = self.client.kv_client();
                    if let [key] = &keys[..] {
                        let found = client.get(key.as_str(), keys_only()).await.expect("it is read");
                        assert_eq!(found.kvs()[0].lease(), lease);
                        continue;
                    }
                    let gets: Vec<TxnOp> = keys.iter().map(|key| TxnOp::get(key.as_str(), keys_only())).collect();
                    let found = client.txn(Txn::new().and_then(gets)).await.expect("they are read").op_responses();
                    let there = found.iter().filter(|answer| match answer {
                        TxnOpResponse::Get(found) => found.kvs().first().is_some_and(|kv| kv.lease() == lease),
                        _ => false,
                    });
                    assert_eq!(there.count(), nodes);
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

    /// Finds what was read once, as whoever keeps it to himself would.
    pub(crate) fn gets_kept(self, nodes: usize) -> impl FnMut(u64) {
        let found = self.block_on(self.find());
        let kept: BTreeMap<String, Arc<Service>> =
            found.into_iter().map(|(name, service)| (name, Arc::new(service))).collect();
        let kept = ArcSwap::from_pointee(kept);
        move |times| {
            for _ in 0..times {
                let service = kept.load().get(&self.name).cloned().expect("it is known");
                assert_eq!(service.nodes.len(), nodes);
            }
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

    /// The services under its name, with all their nodes.
    pub(crate) async fn find(&self) -> BTreeMap<String, Service> {
        self.read(&prefix(&self.name)).await
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
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
