//! What the etcd registry asks of an etcd: requests, and bytes there and back. The etcd is the simulated one, on a clock that
//! jumps to the next thing that is due.

use std::time::Duration;

use shaketable_bench_counters::Meter;
use shaketable_sim::backend::etcd::server::run;
use shaketable_sim::backend::etcd::{Etcd as EtcdServer, EtcdConfig, EtcdHandle};
use shaketable_stack::env::{Env, Task};
use shaketable_stack::registry::etcd::Etcd;
use shaketable_stack::registry::{
    DeregisterOptions, GetOptions, ListOptions, Node, RegisterOptions, Registry, RegistryOptions, Service,
};

use crate::runtime;
use crate::wire::Wire;

const ADDRESS: &str = "etcd:2379";

/// After so long without renewal etcd forgets a node.
const TTL: Duration = Duration::from_secs(30);

/// How long renewals are watched.
const RENEWING: Duration = Duration::from_secs(60);

/// A registry, the etcd that it asks, and what passes between.
struct Asked {
    env: Env,
    wire: Wire,
    handle: EtcdHandle,
    registry: Etcd,
    _server: Task,
}

impl Asked {
    /// With a connection that is open.
    async fn new() -> Self {
        let wire = Wire::default();
        let (env, handle) = (wire.env(), EtcdHandle::new(EtcdServer::new(EtcdConfig::default(), Duration::ZERO)));
        let serving = (env.clone(), handle.clone());
        let server = env.spawn("etcd", async move {
            let (env, handle) = serving;
            run(env, ADDRESS, handle).await.expect("it serves");
        });
        tokio::task::yield_now().await;
        let timeout = Duration::from_secs(2);
        let options = RegistryOptions { addresses: vec![ADDRESS.to_owned()], timeout, secure: false };
        let registry = Etcd::new(env.clone(), options);
        registry.list_services(ListOptions::default()).await.expect("it answers");
        Self { env, wire, handle, registry, _server: server }
    }

    async fn register(&self, name: &str, nodes: usize) {
        let options = RegisterOptions { ttl: Some(TTL) };
        self.registry.register(&service(name, nodes), options).await.expect("it is registered");
    }

    /// So many services, each with so many nodes.
    async fn register_all(&self, services: usize, nodes: usize) {
        for number in 0..services {
            self.register(&format!("service-{number:03}"), nodes).await;
        }
    }

    async fn get(&self, name: &str, nodes: usize) {
        let found = self.registry.get_service(name, GetOptions::default()).await.expect("it is found");
        assert_eq!(found.iter().map(|service| service.nodes.len()).sum::<usize>(), nodes);
    }
}

/// Counts `operation`.
///
/// # Errors
/// When there is none of such a name.
pub(crate) fn count(operation: &str, meter: &mut Meter) -> Result<(), String> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let asked = Asked::new().await;
        match operation {
            "register 1 node" => counted(meter, &asked, async || asked.register("user", 1).await).await,
            "register 10 nodes" => counted(meter, &asked, async || asked.register("user", 10).await).await,
            "register 10 nodes again" => {
                asked.register("user", 10).await;
                counted(meter, &asked, async || asked.register("user", 10).await).await;
            }
            "renew 1 node for a minute" => {
                asked.register("user", 1).await;
                counted(meter, &asked, async || asked.env.sleep(RENEWING).await).await;
                asked.get("user", 1).await;
            }
            "renew 10 nodes for a minute" => {
                asked.register("user", 10).await;
                counted(meter, &asked, async || asked.env.sleep(RENEWING).await).await;
                asked.get("user", 10).await;
            }
            "get 1 of 100 nodes" => {
                asked.register("user", 100).await;
                counted(meter, &asked, async || asked.get("user", 100).await).await;
            }
            "list 100 services" => {
                asked.register_all(100, 1).await;
                let list = async || {
                    let found = asked.registry.list_services(ListOptions::default()).await.expect("it answers");
                    assert_eq!(found.len(), 100);
                };
                counted(meter, &asked, list).await;
            }
            "deregister 10 nodes" => {
                asked.register("user", 10).await;
                let leave = async || {
                    let leaving = service("user", 10);
                    let left = asked.registry.deregister(&leaving, DeregisterOptions::default()).await;
                    left.expect("it leaves");
                };
                counted(meter, &asked, leave).await;
            }
            _ => return Err(format!("no operation {operation}")),
        }
        asked.registry.close().await.map_err(|error| format!("it cannot be closed: {error}"))
    })
}

async fn counted(meter: &mut Meter, asked: &Asked, work: impl AsyncFnOnce()) {
    let (requests, bytes) = (asked.handle.requests(), asked.wire.bytes());
    work().await;
    let after = asked.wire.bytes();
    meter.add("times", 1);
    meter.add("requests", asked.handle.requests() - requests);
    meter.add("bytes sent", after.0 - bytes.0);
    meter.add("bytes answered", after.1 - bytes.1);
}

fn service(name: &str, nodes: usize) -> Service {
    let node = |number: usize| Node {
        id: format!("{name}-{number:05}"),
        address: format!("10.0.{}.{}:8080", number / 250, number % 250 + 1),
        metadata: [("protocol".to_owned(), "grpc".to_owned())].into(),
    };
    let nodes = (0..nodes).map(node).collect();
    Service { name: name.to_owned(), version: "1".to_owned(), nodes, ..Service::default() }
}
