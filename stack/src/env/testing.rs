//! An environment for unit tests: an in-memory network on one tokio runtime (start it paused), counted randomness. It knows
//! no faults; what needs faults is tested in the simulator.
#![expect(clippy::disallowed_methods, reason = "this is where tokio's paused clock and tasks are wrapped")]

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{
    BoxTask, Clock, Datagram, Env, EnvParts, HostIdentity, Instant, Listener, LiveTasks, Namespace, Network, Random,
    RandomSource, Sleep, Spawner, Stream, Task, split_host_port,
};

/// A host of its own.
pub(crate) fn env() -> Env {
    Hosts::default().host(1)
}

/// Hosts that share a network and a namespace.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    fabric: Arc<Fabric>,
    namespace: Namespace,
    origin: tokio::time::Instant,
}

impl Default for Hosts {
    fn default() -> Self {
        Self { fabric: Arc::default(), namespace: Namespace::new("test"), origin: tokio::time::Instant::now() }
    }
}

impl Hosts {
    /// The host `10.0.0.<number>`.
    pub(crate) fn host(&self, number: u8) -> Env {
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, number));
        Env::new(EnvParts {
            network: Arc::new(TestNetwork { fabric: self.fabric.clone(), address }),
            clock: Arc::new(TestClock(self.origin)),
            random: Arc::new(TestRandom { host: number, opened: AtomicU64::new(0) }),
            spawner: Arc::new(TestSpawner::default()),
            host: HostIdentity { name: format!("host-{number}"), address, incarnation: 0 },
            namespace: self.namespace.clone(),
        })
    }
}

#[derive(Debug, Default)]
struct Fabric {
    listeners: Mutex<BTreeMap<SocketAddr, mpsc::Sender<Stream>>>,
    next_port: AtomicU16,
}

#[derive(Debug)]
struct TestNetwork {
    fabric: Arc<Fabric>,
    address: IpAddr,
}

impl TestNetwork {
    fn resolve(&self, host: &str) -> io::Result<IpAddr> {
        if host.is_empty() || host == "localhost" || host == "0.0.0.0" {
            return Ok(self.address);
        }
        if let Some(number) = host.strip_prefix("host-").and_then(|number| number.parse().ok()) {
            return Ok(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)));
        }
        host.parse().map_err(|_| io::Error::new(io::ErrorKind::NotFound, format!("no host {host}")))
    }

    fn free_port(&self) -> u16 {
        20_000 + self.fabric.next_port.fetch_add(1, Ordering::Relaxed)
    }
}

#[async_trait]
impl Network for TestNetwork {
    async fn connect(&self, address: &str) -> io::Result<Stream> {
        let (host, port) = split_host_port(address)?;
        let peer = SocketAddr::new(self.resolve(host)?, port);
        let local = SocketAddr::new(self.address, self.free_port());
        let listener = self.fabric.listeners.lock().unwrap().get(&peer).cloned();
        let (near, far) = tokio::io::duplex(64 << 10);
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        listener.ok_or_else(refused)?.send(Stream::new(far, peer, local)).await.map_err(|_| refused())?;
        Ok(Stream::new(near, local, peer))
    }

    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let (host, port) = split_host_port(address)?;
        let port = if port == 0 { self.free_port() } else { port };
        let local = SocketAddr::new(self.resolve(host)?, port);
        let mut listeners = self.fabric.listeners.lock().unwrap();
        if listeners.get(&local).is_some_and(|listener| !listener.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, streams) = mpsc::channel(128);
        listeners.insert(local, sender);
        Ok(Box::new(TestListener { streams, local }))
    }

    async fn datagram(&self, _address: &str) -> io::Result<Box<dyn Datagram>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.resolve(host).map(|address| vec![address])
    }
}

#[derive(Debug)]
struct TestListener {
    streams: mpsc::Receiver<Stream>,
    local: SocketAddr,
}

#[async_trait]
impl Listener for TestListener {
    async fn accept(&mut self) -> io::Result<Stream> {
        self.streams.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

#[derive(Debug)]
struct TestClock(tokio::time::Instant);

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant::from_origin(self.0.elapsed())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.0.elapsed()
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::new(tokio::time::sleep_until(self.0 + deadline.since_origin()))
    }
}

#[derive(Debug)]
struct TestRandom {
    host: u8,
    opened: AtomicU64,
}

impl RandomSource for TestRandom {
    fn stream(&self, _name: &str) -> Random {
        Random::from_number(u64::from(self.host) << 32 | self.opened.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Debug, Default)]
struct TestSpawner {
    live: Arc<LiveTasks>,
}

impl Spawner for TestSpawner {
    fn spawn(&self, name: &'static str, task: BoxTask) -> Task {
        Task::new(tokio::spawn(self.live.track(name, task)))
    }

    fn live(&self) -> Arc<LiveTasks> {
        self.live.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn hosts_reach_each_other_by_name_and_are_refused_where_nobody_listens() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let hosts = Hosts::default();
    let (one, two) = (hosts.host(1), hosts.host(2));
    let mut listener = two.network().listen(":80").await.unwrap();
    let mut near = one.network().connect("host-2:80").await.unwrap();
    let mut far = listener.accept().await.unwrap();
    near.write_all(b"hi").await.unwrap();
    drop(near);
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hi");
    assert_eq!(one.network().connect("host-2:81").await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}
