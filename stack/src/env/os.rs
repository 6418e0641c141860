//! The environment that the operating system gives: real sockets, real clocks, real randomness, tokio's tasks. The only
//! module of the stack that may touch them.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is where the real ones are wrapped")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use rand::TryRngCore;
use rand::rngs::OsRng;
use tokio::net::{TcpListener, TcpStream, UdpSocket, lookup_host};

use super::spawn::BoxTask;
use super::{
    Clock, Datagram, Env, EnvParts, HostIdentity, Instant, Listener, LiveTasks, Namespace, Network, Random,
    RandomSource, Sleep, Spawner, Stream, Task, split_host_port,
};

/// The environment of this process, with `namespace` for what its components share. Call it within a tokio runtime.
pub fn env(namespace: Namespace) -> Env {
    Env::new(EnvParts {
        network: Arc::new(OsNetwork),
        clock: Arc::new(OsClock { origin: tokio::time::Instant::now() }),
        random: Arc::new(OsRandom),
        spawner: Arc::new(OsSpawner::default()),
        host: HostIdentity { name: "localhost".to_owned(), address: IpAddr::V4(Ipv4Addr::LOCALHOST), incarnation: 0 },
        namespace,
    })
}

#[derive(Debug)]
struct OsNetwork;

/// `:80` listens on every interface.
fn bindable(address: &str) -> io::Result<String> {
    let (host, port) = split_host_port(address)?;
    Ok(if host.is_empty() { format!("0.0.0.0:{port}") } else { address.to_owned() })
}

#[async_trait]
impl Network for OsNetwork {
    async fn connect(&self, address: &str) -> io::Result<Stream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        Ok(Stream::new(stream, local, peer))
    }

    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let listener = TcpListener::bind(bindable(address)?).await?;
        let local = listener.local_addr()?;
        Ok(Box::new(OsListener { listener, local }))
    }

    async fn datagram(&self, address: &str) -> io::Result<Box<dyn Datagram>> {
        let socket = UdpSocket::bind(bindable(address)?).await?;
        let local = socket.local_addr()?;
        Ok(Box::new(OsDatagram { socket, local }))
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

#[derive(Debug)]
struct OsListener {
    listener: TcpListener,
    local: SocketAddr,
}

#[async_trait]
impl Listener for OsListener {
    async fn accept(&mut self) -> io::Result<Stream> {
        let (stream, peer) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Stream::new(stream, local, peer))
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

#[derive(Debug)]
struct OsDatagram {
    socket: UdpSocket,
    local: SocketAddr,
}

#[async_trait]
impl Datagram for OsDatagram {
    async fn send_to(&self, bytes: &[u8], target: SocketAddr) -> io::Result<()> {
        self.socket.send_to(bytes, target).await.map(|_| ())
    }

    async fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer).await
    }

    fn join_multicast(&self, group: IpAddr) -> io::Result<()> {
        match group {
            IpAddr::V4(group) => self.socket.join_multicast_v4(group, Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(group) => self.socket.join_multicast_v6(&group, 0),
        }
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

#[derive(Debug)]
struct OsClock {
    origin: tokio::time::Instant,
}

impl Clock for OsClock {
    fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::new(tokio::time::sleep_until(self.origin + deadline.since_origin()))
    }
}

#[derive(Debug)]
struct OsRandom;

impl RandomSource for OsRandom {
    fn stream(&self, _name: &str) -> Random {
        let mut seed = [0; 32];
        OsRng.try_fill_bytes(&mut seed).unwrap_or_else(|error| panic!("the system gives no randomness: {error}"));
        Random::from_seed(seed)
    }
}

#[derive(Debug, Default)]
struct OsSpawner {
    live: Arc<LiveTasks>,
}

impl Spawner for OsSpawner {
    fn spawn(&self, name: &'static str, task: BoxTask) -> Task {
        Task::new(tokio::spawn(self.live.track(name, task)))
    }

    fn live(&self) -> Arc<LiveTasks> {
        self.live.clone()
    }
}
