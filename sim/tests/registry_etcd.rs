//! The etcd registry against the simulated etcd, over pipes in one process with paused time: what it restores, what it
//! explains, and what its watches see through partitions and compactions. The engines are not needed for that.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use shaketable_sim::backend::etcd::server::run;
use shaketable_sim::backend::etcd::{Etcd as EtcdServer, EtcdConfig, EtcdHandle};
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

/// Odd while cut. Connections of an earlier number are dead for ever, as after a partition that swallowed bytes.
#[derive(Debug)]
struct Cable(watch::Sender<u64>, AtomicU64);

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
    let cable = Arc::new(Cable(watch::Sender::new(0), AtomicU64::new(0)));
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
        if self.is_dead() {
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
