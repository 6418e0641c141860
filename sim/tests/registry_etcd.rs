//! The etcd registry against the simulated etcd, over pipes in one process with paused time: what it restores, what it
//! explains, and what its watches see through partitions and compactions. The engines are not needed for that.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use shaketable_proto::etcd::v3::rpc::PutRequest;
use shaketable_sim::backend::etcd::server::run;
use shaketable_sim::backend::etcd::{Etcd as EtcdServer, EtcdConfig, EtcdEvent, EtcdHandle};
use shaketable_stack::env::{Datagram, Env, Listener, Namespace, Network, Stream, Task, os, split_host_port};
use shaketable_stack::registry::etcd::Etcd;
use shaketable_stack::registry::{
    Action, DeregisterOptions, GetOptions, ListOptions, Node, RegisterOptions, Registry, RegistryOptions, Service,
    WatchOptions, Watcher,
};
use shaketable_stack::{ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{mpsc, watch};

/// One etcd and the hosts that reach it.
struct Bench {
    wires: Arc<Wires>,
    env: Env,
    handle: EtcdHandle,
    _server: Task,
}

/// A host's way to etcd, which can be cut.
#[derive(Clone, Debug)]
struct Host {
    env: Env,
    cable: Arc<Cable>,
}

#[derive(Debug, Default)]
struct Wires {
    listeners: Mutex<BTreeMap<u16, mpsc::Sender<Stream>>>,
}

/// Odd while cut. Connections of an earlier number are dead for ever, as after a partition that swallowed bytes. While the last
/// is set what is sent arrives, and nothing comes back.
#[derive(Debug)]
struct Cable(watch::Sender<u64>, AtomicU64, AtomicBool);

impl Bench {
    fn new() -> Self {
        let wires = Arc::new(Wires::default());
        let env = host(&wires).env;
        let handle = EtcdHandle::new(EtcdServer::new(EtcdConfig::default(), Duration::ZERO));
        let serving = (env.clone(), handle.clone());
        let server = env.spawn("etcd", async move {
            let (env, handle) = serving;
            run(env, "etcd:2379", handle).await.unwrap();
        });
        Self { wires, env, handle, _server: server }
    }

    fn registry(&self) -> (Etcd, Host) {
        let host = host(&self.wires);
        // The first address is nobody's: the second is tried in turn.
        let addresses = vec!["etcd:1".to_owned(), "etcd:2379".to_owned()];
        let options = RegistryOptions { addresses, timeout: Duration::from_secs(2), secure: false };
        (Etcd::new(host.env.clone(), options), host)
    }

    fn with<T>(&self, act: impl FnOnce(&mut EtcdServer, Duration) -> T) -> T {
        let now = self.env.now().since_origin();
        self.handle.with(|etcd| act(etcd, now))
    }
}

fn host(wires: &Arc<Wires>) -> Host {
    let cable = Arc::new(Cable(watch::Sender::new(0), AtomicU64::new(0), AtomicBool::new(false)));
    let network = Arc::new(Pipes { wires: wires.clone(), cable: cable.clone() });
    Host { env: os::env(Namespace::new("test")).with(|parts| parts.network = network), cable }
}

impl Host {
    fn cut(&self) {
        self.turn();
    }

    fn mend(&self) {
        self.turn();
    }

    fn deafen(&self, deaf: bool) {
        self.cable.2.store(deaf, Ordering::Relaxed);
    }

    fn turn(&self) {
        self.cable.0.send_replace(self.cable.1.fetch_add(1, Ordering::Relaxed) + 1);
    }
}

#[derive(Debug)]
struct Pipes {
    wires: Arc<Wires>,
    cable: Arc<Cable>,
}

fn somewhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[async_trait]
impl Network for Pipes {
    async fn connect(&self, address: &str) -> io::Result<Stream> {
        let mut state = self.cable.0.subscribe();
        let number = *state.wait_for(|number| number.is_multiple_of(2)).await.unwrap();
        let (_, port) = split_host_port(address)?;
        let listener = self.wires.listeners.lock().unwrap().get(&port).cloned();
        let listener = listener.ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, far) = tokio::io::duplex(64 << 10);
        let (local, peer) = (somewhere(50_000), somewhere(port));
        listener.send(Stream::new(far, peer, local)).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Stream::new(Wire { near, number, cable: self.cable.clone() }, local, peer))
    }

    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let (_, port) = split_host_port(address)?;
        let (sender, streams) = mpsc::channel(16);
        self.wires.listeners.lock().unwrap().insert(port, sender);
        Ok(Box::new(Ends { streams, port }))
    }

    async fn datagram(&self, _address: &str) -> io::Result<Box<dyn Datagram>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn lookup(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
    }
}

#[derive(Debug)]
struct Ends {
    streams: mpsc::Receiver<Stream>,
    port: u16,
}

#[async_trait]
impl Listener for Ends {
    async fn accept(&mut self) -> io::Result<Stream> {
        self.streams.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn local_address(&self) -> SocketAddr {
        somewhere(self.port)
    }
}

struct Wire {
    near: DuplexStream,
    number: u64,
    cable: Arc<Cable>,
}

impl Wire {
    fn is_dead(&self) -> bool {
        self.cable.1.load(Ordering::Relaxed) != self.number
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_dead() || self.cable.2.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.near).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_dead() {
            // The sender does not notice that its bytes are lost.
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.near).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_shutdown(context)
    }
}

fn service(name: &str, version: &str, nodes: &[&str]) -> Service {
    let node = |id: &&str| Node { id: (*id).to_owned(), address: "10.0.0.1:80".to_owned(), ..Node::default() };
    Service {
        name: name.to_owned(),
        version: version.to_owned(),
        nodes: nodes.iter().map(node).collect(),
        ..Service::default()
    }
}

fn ttl(seconds: u64) -> RegisterOptions {
    RegisterOptions { ttl: Some(Duration::from_secs(seconds)) }
}

/// The ids of the nodes of `name`.
async fn nodes(registry: &Etcd, name: &str) -> Result<Vec<String>> {
    let services = registry.get_service(name, GetOptions::default()).await?;
    Ok(services.iter().flat_map(|service| &service.nodes).map(|node| node.id.clone()).collect())
}

async fn watch_all(registry: &Etcd) -> Arc<dyn Watcher> {
    registry.watch(WatchOptions::default()).await.unwrap()
}

/// The next changes, as `create user/1/a`.
async fn changes(watcher: &Arc<dyn Watcher>, count: usize) -> Vec<String> {
    let mut changes = Vec::new();
    for _ in 0..count {
        let event = watcher.next().await.unwrap();
        let Service { name, version, nodes, .. } = event.service;
        changes.push(format!("{} {name}/{version}/{}", Action::as_str(event.action), nodes[0].id));
    }
    changes
}

async fn seconds(env: &Env, seconds: u64) {
    env.sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn what_one_host_registers_another_finds_lists_and_watches() {
    let bench = Bench::new();
    let ((one, _), (other, _)) = (bench.registry(), bench.registry());
    assert_eq!(nodes(&other, "user").await.unwrap_err().kind(), ErrorKind::NotFound);
    let watcher = watch_all(&other).await;
    one.register(&service("user", "1", &["b", "a"]), ttl(60)).await.unwrap();
    one.register(&service("user", "1", &["b", "a"]), ttl(60)).await.unwrap();
    one.register(&service("user", "2", &["a"]), ttl(60)).await.unwrap();
    one.register(&service("book", "1", &["x"]), RegisterOptions::default()).await.unwrap();
    let listed = other.list_services(ListOptions::default()).await.unwrap();
    assert_eq!(&*listed, &[service("book", "1", &["x"]), service("user", "1", &["b"]), service("user", "2", &["a"])]);
    assert_eq!(
        changes(&watcher, 4).await,
        ["create user/1/a", "create user/1/b", "update user/2/a", "create book/1/x"]
    );
    let stranger = service("user", "1", &["a", "b"]);
    other.deregister(&stranger, DeregisterOptions::default()).await.unwrap();
    assert_eq!(nodes(&one, "user").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(changes(&watcher, 2).await, ["delete user/2/a", "delete user/1/b"]);
}

#[tokio::test(start_paused = true)]
async fn leases_are_renewed_without_any_register_and_end_with_the_registry() {
    let bench = Bench::new();
    let ((one, host), (other, _)) = (bench.registry(), bench.registry());
    one.register(&service("user", "1", &["a", "b", "c"]), ttl(6)).await.unwrap();
    seconds(&bench.env, 600).await;
    assert_eq!(nodes(&other, "user").await.unwrap(), ["a", "b", "c"]);
    assert!(one.losses().is_empty(), "{:?}", one.losses());
    one.close().await.unwrap();
    drop(one);
    seconds(&bench.env, 10).await;
    assert_eq!(nodes(&other, "user").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(host.env.live_tasks().counts(), BTreeMap::new());
}

/// How many leases there are, and how many requests were made so far.
fn leases_and_requests(bench: &Bench) -> (usize, u64) {
    (bench.with(|etcd, _| etcd.leases()), bench.handle.requests())
}

/// Leaves, within the time-out.
async fn leave(registry: &Etcd, name: &str, ids: &[&str]) {
    registry.deregister(&service(name, "1", ids), DeregisterOptions::default()).await.unwrap();
}

fn key(node: &str) -> Bytes {
    Bytes::from(format!("/micro/registry/user/{node}"))
}

#[tokio::test(start_paused = true)]
async fn all_nodes_of_one_ttl_share_a_lease_that_the_last_one_revokes() {
    let bench = Bench::new();
    let ((one, _), (other, _)) = (bench.registry(), bench.registry());
    one.list_services(ListOptions::default()).await.unwrap();
    let (_, before) = leases_and_requests(&bench);
    let all = service("user", "1", &["a", "b", "c", "d"]);
    one.register(&all, ttl(15)).await.unwrap();
    // One grant, and a put for each.
    assert_eq!(leases_and_requests(&bench), (1, before + 5));
    one.register(&service("book", "1", &["x"]), ttl(15)).await.unwrap();
    one.register(&service("book", "1", &["y"]), ttl(30)).await.unwrap();
    other.register(&service("book", "1", &["z"]), ttl(15)).await.unwrap();
    // Another TTL and another process have leases of their own.
    assert_eq!(leases_and_requests(&bench).0, 3);
    leave(&one, "user", &["a", "b", "c", "d"]).await;
    assert_eq!(leases_and_requests(&bench).0, 3, "x hangs on it still");
    leave(&one, "book", &["x"]).await;
    assert_eq!(leases_and_requests(&bench).0, 2);
    seconds(&bench.env, 100).await;
    assert_eq!(nodes(&other, "book").await.unwrap(), ["y", "z"]);
    assert!(one.losses().is_empty() && other.losses().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_and_its_keys_are_looked_at_with_as_many_requests_as_one_key_takes() {
    let mut made = Vec::new();
    for count in [1, 100] {
        let bench = Bench::new();
        let (one, _) = bench.registry();
        let ids: Vec<String> = (0..count).map(|number| format!("n{number:03}")).collect();
        for id in &ids {
            one.register(&service("user", "1", &[id.as_str()]), ttl(30)).await.unwrap();
            bench.env.sleep(Duration::from_millis(20)).await;
        }
        seconds(&bench.env, 60).await;
        let (_, before) = leases_and_requests(&bench);
        seconds(&bench.env, 600).await;
        made.push(leases_and_requests(&bench).1 - before);
    }
    assert_eq!(made[0], made[1]);
    assert!(made[0] <= 2 * 60 + 1, "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn many_who_register_at_once_are_granted_one_lease() {
    let bench = Bench::new();
    let (one, _) = bench.registry();
    let registered = (0..50).map(|number| {
        let one = &one;
        async move { one.register(&service("user", "1", &[format!("n{number:02}").as_str()]), ttl(15)).await }
    });
    for outcome in futures_util::future::join_all(registered).await {
        outcome.unwrap();
    }
    assert_eq!(leases_and_requests(&bench), (1, 51));
}

#[tokio::test(start_paused = true)]
async fn who_registers_while_the_last_one_leaves_gets_a_lease_that_stays() {
    for after in 0..40 {
        let bench = Bench::new();
        let ((one, _), (other, _)) = (bench.registry(), bench.registry());
        one.register(&service("user", "1", &["a"]), ttl(15)).await.unwrap();
        let come = async {
            // Between the requests of the other.
            for _ in 0..after {
                tokio::task::yield_now().await;
            }
            one.register(&service("user", "1", &["b"]), ttl(15)).await.unwrap();
        };
        tokio::join!(leave(&one, "user", &["a"]), come);
        assert_eq!(nodes(&other, "user").await.unwrap(), ["b"], "{after}");
        seconds(&bench.env, 60).await;
        assert_eq!(nodes(&other, "user").await.unwrap(), ["b"], "{after}");
        assert!(one.losses().is_empty(), "{after}: {:?}", one.losses());
        assert_eq!(leases_and_requests(&bench).0, 1, "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_lease_that_is_lost_is_a_loss_of_each_node_and_one_new_lease_restores_all() {
    let bench = Bench::new();
    let ((one, _), (other, _)) = (bench.registry(), bench.registry());
    let ids: Vec<String> = (0..20).map(|number| format!("n{number:02}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    one.register(&service("user", "1", &ids), ttl(15)).await.unwrap();
    bench.with(|etcd, _| drop(etcd.take_events()));
    assert!(bench.with(|etcd, now| etcd.lose_lease_of(now, &key("n07"))).is_some());
    assert!(nodes(&other, "user").await.is_err(), "all of them hung on it");
    seconds(&bench.env, 7).await;
    assert_eq!(nodes(&other, "user").await.unwrap(), ids);
    let losses = one.losses();
    assert_eq!(losses.iter().map(|loss| loss.node_id.as_str()).collect::<Vec<_>>(), ids);
    assert!(losses.iter().all(|loss| loss.restored && loss.reason.starts_with("the lease was gone, ")), "{losses:?}");
    let events = bench.with(|etcd, _| etcd.take_events());
    let granted = events.iter().filter(|told| matches!(told.event, EtcdEvent::LeaseGranted { .. })).count();
    assert_eq!((granted, leases_and_requests(&bench).0), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_register_that_finds_the_shared_lease_gone_leaves_none_of_its_neighbours_behind() {
    let bench = Bench::new();
    let (one, _) = bench.registry();
    one.register(&service("user", "1", &["a", "b", "c"]), ttl(90)).await.unwrap();
    assert!(bench.with(|etcd, now| etcd.lose_lease_of(now, &key("a"))).is_some());
    one.register(&service("user", "2", &["b"]), ttl(90)).await.unwrap();
    // Long before the next renewal.
    seconds(&bench.env, 1).await;
    assert_eq!(nodes(&one, "user").await.unwrap(), ["a", "c", "b"]);
    assert_eq!((one.losses().len(), leases_and_requests(&bench).0), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_registered_with_another_ttl_moves_to_the_lease_of_that() {
    let bench = Bench::new();
    let (one, _) = bench.registry();
    one.register(&service("user", "1", &["a", "b"]), ttl(15)).await.unwrap();
    let shared = bench.with(|etcd, _| etcd.lease_of(&key("a")));
    one.register(&service("user", "1", &["a"]), ttl(30)).await.unwrap();
    let (of_a, of_b) = bench.with(|etcd, _| (etcd.lease_of(&key("a")), etcd.lease_of(&key("b"))));
    assert!(of_a.is_some() && of_a != shared && of_b == shared);
    one.register(&service("user", "1", &["b"]), ttl(30)).await.unwrap();
    assert_eq!(bench.with(|etcd, _| (etcd.lease_of(&key("b")), etcd.leases())), (of_a, 1), "nobody needs the first");
    one.register(&service("user", "1", &["a", "b"]), RegisterOptions::default()).await.unwrap();
    assert_eq!(bench.with(|etcd, _| (etcd.lease_of(&key("b")), etcd.leases())), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn keys_that_somebody_else_hangs_on_the_lease_outlive_the_last_node() {
    let bench = Bench::new();
    let (one, _) = bench.registry();
    one.register(&service("user", "1", &["a"]), ttl(15)).await.unwrap();
    let lease = bench.with(|etcd, _| etcd.lease_of(&key("a"))).unwrap();
    let theirs = PutRequest { key: "theirs".into(), lease, ..PutRequest::default() };
    bench.with(|etcd, now| etcd.put(now, theirs)).unwrap();
    leave(&one, "user", &["a"]).await;
    assert_eq!(bench.with(|etcd, _| etcd.lease_of(b"theirs")), Some(lease));
    seconds(&bench.env, 20).await;
    assert_eq!(bench.with(|etcd, _| etcd.leases()), 0, "nobody renews it");
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_etcd_did_and_nobody_heard_of_does_not_live_on_with_its_neighbours() {
    for gives_up in [false, true] {
        let bench = Bench::new();
        let ((one, host), (other, _)) = (bench.registry(), bench.registry());
        one.register(&service("user", "1", &["a"]), ttl(15)).await.unwrap();
        host.deafen(true);
        let new = service("user", "1", &["b"]);
        let registering = one.register(&new, ttl(15));
        if gives_up {
            bench.env.timeout(Duration::from_millis(100), registering).await.unwrap_err();
        } else {
            assert_eq!(registering.await.unwrap_err().kind(), ErrorKind::Timeout);
        }
        host.deafen(false);
        assert_eq!(nodes(&other, "user").await.unwrap(), ["a", "b"], "it is there");
        seconds(&bench.env, 15).await;
        assert_eq!(nodes(&other, "user").await.unwrap(), ["a"], "given up: {gives_up}");
        // Whoever tries again has it.
        one.register(&new, ttl(15)).await.unwrap();
        seconds(&bench.env, 60).await;
        assert_eq!(nodes(&other, "user").await.unwrap(), ["a", "b"]);
        assert_eq!((leases_and_requests(&bench).0, one.losses()), (1, Vec::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_etcd_did_and_nobody_heard_of_is_undone_by_who_registers_what_was_before() {
    for ttl in [ttl(15), RegisterOptions::default()] {
        let bench = Bench::new();
        let ((one, host), (other, _)) = (bench.registry(), bench.registry());
        let old = service("user", "1", &["a"]);
        let mut new = old.clone();
        new.nodes[0].address = "10.9.9.9:9".to_owned();
        one.register(&old, ttl.clone()).await.unwrap();
        host.deafen(true);
        assert_eq!(one.register(&new, ttl.clone()).await.unwrap_err().kind(), ErrorKind::Timeout);
        host.deafen(false);
        let held = async || other.get_service("user", GetOptions::default()).await.unwrap()[0].nodes[0].address.clone();
        assert_eq!(held().await, new.nodes[0].address, "etcd did it");
        one.register(&old, ttl).await.unwrap();
        assert_eq!(held().await, old.nodes[0].address);
    }
}

#[tokio::test(start_paused = true)]
async fn who_registers_while_the_same_leaves_is_looked_at_by_one_request_again() {
    for after in 0..40 {
        let bench = Bench::new();
        let (one, _) = bench.registry();
        let all = service("user", "1", &["a", "b", "c"]);
        one.register(&all, ttl(15)).await.unwrap();
        let come = async {
            // Between the requests of the other.
            for _ in 0..after {
                tokio::task::yield_now().await;
            }
            one.register(&all, ttl(15)).await.unwrap();
        };
        tokio::join!(leave(&one, "user", &["a", "b", "c"]), come);
        one.register(&all, ttl(15)).await.unwrap();
        assert_eq!(nodes(&one, "user").await.unwrap(), ["a", "b", "c"], "{after}");
        let (_, before) = leases_and_requests(&bench);
        one.register(&all, ttl(15)).await.unwrap();
        assert_eq!(leases_and_requests(&bench).1 - before, 1, "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deregistration_that_failed_is_made_good_before_the_ttl_is_over() {
    let bench = Bench::new();
    let ((one, host), (other, _)) = (bench.registry(), bench.registry());
    one.register(&service("user", "1", &["a", "b"]), ttl(30)).await.unwrap();
    host.cut();
    let failed = one.deregister(&service("user", "1", &["a"]), DeregisterOptions::default()).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Timeout);
    host.mend();
    assert_eq!(nodes(&other, "user").await.unwrap(), ["a", "b"]);
    seconds(&bench.env, 30).await;
    assert_eq!(nodes(&other, "user").await.unwrap(), ["b"], "it does not live as long as its neighbour");
    // Somebody else's registration of that id is not ours to delete.
    other.register(&service("user", "1", &["a"]), ttl(30)).await.unwrap();
    one.register(&service("user", "1", &["c"]), ttl(30)).await.unwrap();
    seconds(&bench.env, 100).await;
    assert_eq!(nodes(&other, "user").await.unwrap(), ["a", "b", "c"]);
    assert!(one.losses().is_empty() && other.losses().is_empty());
}

#[tokio::test(start_paused = true)]
async fn any_number_of_keys_on_a_lease_is_looked_at_by_one_request() {
    let bench = Bench::new();
    let (one, _) = bench.registry();
    let ids: Vec<String> = (0..300).map(|number| format!("n{number:03}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    one.register(&service("user", "1", &ids), ttl(15)).await.unwrap();
    let (_, before) = leases_and_requests(&bench);
    one.register(&service("user", "1", &ids), ttl(15)).await.unwrap();
    assert_eq!(leases_and_requests(&bench).1 - before, 1);
    for lost in ["n000", "n128", "n299"] {
        assert!(bench.with(|etcd, now| etcd.delete_key(now, &key(lost))));
    }
    seconds(&bench.env, 7).await;
    assert_eq!(nodes(&one, "user").await.unwrap(), ids);
    let lost: Vec<String> = one.losses().into_iter().map(|loss| loss.node_id).collect();
    assert_eq!(lost, ["n000", "n128", "n299"]);
}

#[tokio::test(start_paused = true)]
async fn nodes_whose_keys_come_in_another_order_than_their_ids_are_looked_at_by_one_request_too() {
    let bench = Bench::new();
    let (one, _) = bench.registry();
    // In a key a slash is a dash, which comes before a dot; a slash comes behind it.
    let service = service("user", "1", &["a.0", "a.1", "a/0", "a/1"]);
    one.register(&service, ttl(15)).await.unwrap();
    let (_, before) = leases_and_requests(&bench);
    one.register(&service, ttl(15)).await.unwrap();
    assert_eq!(leases_and_requests(&bench).1 - before, 1);
}

#[tokio::test(start_paused = true)]
async fn who_registers_again_in_time_leaves_nothing_to_look_at_in_the_background() {
    let bench = Bench::new();
    let (one, _) = bench.registry();
    let all = service("user", "1", &["a", "b", "c"]);
    let mut made = Vec::new();
    one.register(&all, ttl(15)).await.unwrap();
    seconds(&bench.env, 60).await;
    for every in [4, 20] {
        one.register(&all, ttl(15)).await.unwrap();
        let (_, before) = leases_and_requests(&bench);
        for _ in 0..60 / every {
            seconds(&bench.env, every).await;
            one.register(&all, ttl(15)).await.unwrap();
        }
        made.push(leases_and_requests(&bench).1 - before);
    }
    let keep_alives = 12;
    assert_eq!(
        made,
        [15 + keep_alives, 3 + 12 + keep_alives],
        "what was just seen, the background does not look at, too"
    );
}

#[tokio::test(start_paused = true)]
async fn who_changes_one_node_of_many_has_that_one_written_and_all_others_looked_at_together() {
    let bench = Bench::new();
    let (one, _) = bench.registry();
    let mut all = service("user", "1", &["a", "b", "c", "d"]);
    // One by one and all at once is the same to those that are there.
    for id in ["a", "b"] {
        one.register(&service("user", "1", &[id]), ttl(15)).await.unwrap();
    }
    let mut made = Vec::new();
    for id in ["", "c", "c", ""] {
        all.nodes.iter_mut().filter(|node| node.id == id).for_each(|node| node.address.push('0'));
        let (_, before) = leases_and_requests(&bench);
        one.register(&all, ttl(15)).await.unwrap();
        made.push(leases_and_requests(&bench).1 - before);
    }
    assert_eq!(made, [3, 2, 2, 1], "a look at all that were known, and a write of each that was not");
}

#[tokio::test(start_paused = true)]
async fn more_keys_than_a_transaction_may_have_are_looked_at_all_the_same() {
    let bench = Bench::new();
    let (one, _) = bench.registry();
    let ids: Vec<String> = (0..300).map(|number| format!("n{number:03}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    // They hang on no lease that could tell of them.
    one.register(&service("user", "1", &ids), RegisterOptions::default()).await.unwrap();
    let (_, before) = leases_and_requests(&bench);
    one.register(&service("user", "1", &ids), RegisterOptions::default()).await.unwrap();
    assert_eq!(leases_and_requests(&bench).1 - before, 3);
    for lost in ["n000", "n128", "n299"] {
        assert!(bench.with(|etcd, now| etcd.delete_key(now, &key(lost))));
    }
    seconds(&bench.env, 31).await;
    assert_eq!(nodes(&one, "user").await.unwrap(), ids);
    let lost: Vec<String> = one.losses().into_iter().map(|loss| loss.node_id).collect();
    assert_eq!(lost, ["n000", "n128", "n299"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_somebody_else_has_written_is_told_from_the_others_of_its_lease() {
    let bench = Bench::new();
    let (one, _) = bench.registry();
    let (all, ttl) = (service("user", "1", &["a", "b", "c"]), ttl(15));
    one.register(&all, ttl.clone()).await.unwrap();
    let ours = bench.with(|etcd, _| etcd.lease_of(&key("a"))).unwrap();
    let theirs = PutRequest { key: key("b"), value: "theirs".into(), ..PutRequest::default() };
    bench.with(|etcd, now| etcd.put(now, theirs)).unwrap();
    seconds(&bench.env, 60).await;
    assert_eq!(bench.with(|etcd, _| etcd.lease_of(&key("b"))), None, "in the background it is left to them");
    assert!(one.losses().is_empty(), "it is there");
    one.register(&all, ttl).await.unwrap();
    assert_eq!(bench.with(|etcd, _| etcd.lease_of(&key("b"))), Some(ours), "who registers again takes it back");
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_and_a_deleted_key_are_restored_in_the_background_with_the_reason() {
    let bench = Bench::new();
    let ((one, _), (other, _)) = (bench.registry(), bench.registry());
    let watcher = watch_all(&other).await;
    one.register(&service("user", "1", &["a"]), ttl(15)).await.unwrap();
    let key = Bytes::from_static(b"/micro/registry/user/a");
    assert!(bench.with(|etcd, now| etcd.lose_lease_of(now, &key)).is_some());
    seconds(&bench.env, 6).await;
    assert_eq!(nodes(&other, "user").await.unwrap(), ["a"]);
    assert!(bench.with(|etcd, now| etcd.delete_key(now, &key)));
    seconds(&bench.env, 6).await;
    assert_eq!(nodes(&other, "user").await.unwrap(), ["a"]);
    let life = ["create user/1/a", "delete user/1/a", "create user/1/a", "delete user/1/a", "create user/1/a"];
    assert_eq!(changes(&watcher, 5).await, life);
    let reasons: Vec<_> = one.losses().into_iter().map(|loss| (loss.reason, loss.restored)).collect();
    assert!(reasons[0].0.starts_with("the lease was gone, ") && reasons[0].1, "{reasons:?}");
    assert!(reasons[1].0.starts_with("the key was gone, ") && reasons[1].1, "{reasons:?}");
    assert_eq!(reasons.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_register_after_a_loss_has_restored_when_it_returns() {
    let bench = Bench::new();
    let (one, _) = bench.registry();
    one.register(&service("user", "1", &["a"]), ttl(90)).await.unwrap();
    let key = Bytes::from_static(b"/micro/registry/user/a");
    bench.with(|etcd, now| etcd.lose_lease_of(now, &key));
    one.register(&service("user", "1", &["a"]), ttl(90)).await.unwrap();
    assert_eq!(nodes(&one, "user").await.unwrap(), ["a"]);
    assert!(one.losses()[0].restored);
}

#[tokio::test(start_paused = true)]
async fn a_partition_longer_than_the_lease_ends_it_and_afterwards_it_is_restored_and_explained() {
    let bench = Bench::new();
    let ((one, host), (other, _)) = (bench.registry(), bench.registry());
    let watcher = watch_all(&other).await;
    one.register(&service("user", "1", &["a"]), ttl(15)).await.unwrap();
    host.cut();
    seconds(&bench.env, 20).await;
    assert_eq!(nodes(&other, "user").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(nodes(&one, "user").await.unwrap_err().kind(), ErrorKind::Timeout);
    host.mend();
    seconds(&bench.env, 5).await;
    assert_eq!(nodes(&other, "user").await.unwrap(), ["a"]);
    assert_eq!(changes(&watcher, 3).await, ["create user/1/a", "delete user/1/a", "create user/1/a"]);
    let losses = one.losses();
    assert_eq!(losses.len(), 1);
    assert!(losses[0].restored);
    assert!(losses[0].reason.contains(" after the last keep-alive of its lease that was answered ("), "{losses:?}");
    assert!(losses[0].reason.ends_with("; its TTL is 15s"), "{losses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_short_partition_costs_nothing() {
    let bench = Bench::new();
    let ((one, host), (other, _)) = (bench.registry(), bench.registry());
    one.register(&service("user", "1", &["a"]), ttl(15)).await.unwrap();
    for _ in 0..10 {
        host.cut();
        seconds(&bench.env, 4).await;
        host.mend();
        seconds(&bench.env, 11).await;
        assert_eq!(nodes(&other, "user").await.unwrap(), ["a"]);
    }
    assert!(one.losses().is_empty(), "{:?}", one.losses());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_was_cut_off_misses_nothing() {
    let bench = Bench::new();
    let ((one, _), (other, host)) = (bench.registry(), bench.registry());
    let watcher = watch_all(&other).await;
    host.cut();
    one.register(&service("user", "1", &["a"]), ttl(60)).await.unwrap();
    one.register(&service("user", "2", &["a"]), ttl(60)).await.unwrap();
    one.deregister(&service("user", "2", &["a"]), DeregisterOptions::default()).await.unwrap();
    seconds(&bench.env, 20).await;
    host.mend();
    assert_eq!(changes(&watcher, 3).await, ["create user/1/a", "update user/2/a", "delete user/2/a"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_compaction_a_watch_sees_the_difference_and_goes_on() {
    let bench = Bench::new();
    let ((one, _), (other, host)) = (bench.registry(), bench.registry());
    one.register(&service("user", "1", &["a", "b"]), ttl(60)).await.unwrap();
    let watcher = watch_all(&other).await;
    host.cut();
    one.deregister(&service("user", "1", &["a"]), DeregisterOptions::default()).await.unwrap();
    one.register(&service("user", "2", &["b"]), ttl(60)).await.unwrap();
    one.register(&service("user", "3", &["b"]), ttl(60)).await.unwrap();
    one.register(&service("user", "1", &["c"]), ttl(60)).await.unwrap();
    bench.with(EtcdServer::compact_now);
    seconds(&bench.env, 20).await;
    host.mend();
    assert_eq!(changes(&watcher, 3).await, ["delete user/1/a", "update user/3/b", "create user/1/c"]);
    one.register(&service("user", "1", &["d"]), ttl(60)).await.unwrap();
    assert_eq!(changes(&watcher, 1).await, ["create user/1/d"]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_watches_leave_nothing_behind() {
    let bench = Bench::new();
    let (one, host) = bench.registry();
    for _ in 0..1000 {
        let watcher = watch_all(&one).await;
        watcher.stop();
        watcher.stop();
        assert_eq!(watcher.next().await.unwrap_err().kind(), ErrorKind::WatcherStopped);
    }
    seconds(&bench.env, 1).await;
    assert_eq!(host.env.live_tasks().counts().get("etcd-watch"), None);
    assert_eq!(bench.with(|etcd, _| etcd.watch_streams()), 0);
}
