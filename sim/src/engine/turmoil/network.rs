//! The network of a simulated host on turmoil. Names are the world's own, because turmoil's lookup gives an address to whatever
//! name it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use shaketable_stack::env::{Datagram, Listener, Network, Stream, split_host_port};
use turmoil::net::{TcpListener, TcpStream, UdpSocket};

/// The addresses of all hosts, by name.
pub(super) type Names = Arc<Mutex<BTreeMap<String, IpAddr>>>;

/// Pairs (from, to) of hosts between which nothing passes now.
pub(super) type Cuts = Arc<Mutex<BTreeSet<(String, String)>>>;

/// The network as one host sees it.
#[derive(Debug)]
pub(super) struct TurmoilNetwork {
    pub(super) address: IpAddr,
    pub(super) names: Names,
    pub(super) cuts: Cuts,
    pub(super) host: Arc<str>,
}

impl TurmoilNetwork {
    fn resolve(&self, host: &str) -> io::Result<IpAddr> {
        if host == "localhost" {
            return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(address) = host.parse::<IpAddr>() {
            let known = address.is_loopback() || names.values().any(|known| *known == address);
            return if known { Ok(address) } else { Err(io::ErrorKind::HostUnreachable.into()) };
        }
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no host is called '{host}'"));
        names.get(host).copied().ok_or_else(unknown)
    }

    fn is_cut_off_from(&self, peer: IpAddr) -> bool {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((peer, _)) = names.iter().find(|(_, address)| **address == peer) else { return false };
        let own = self.host.as_ref().to_owned();
        let cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        cuts.contains(&(own.clone(), peer.clone())) || cuts.contains(&(peer.clone(), own))
    }

    /// turmoil binds to every interface or to loopback; a host has one address, so its own means every interface.
    fn bindable(&self, address: &str) -> io::Result<SocketAddr> {
        let (host, port) = split_host_port(address)?;
        let every = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        if host.is_empty() || host == "0.0.0.0" {
            return Ok(SocketAddr::new(every, port));
        }
        match self.resolve(host)? {
            address if address == self.address => Ok(SocketAddr::new(every, port)),
            address if address.is_loopback() => Ok(SocketAddr::new(address, port)),
            _ => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    fn public(&self, mut address: SocketAddr) -> SocketAddr {
        if address.ip().is_unspecified() {
            address.set_ip(self.address);
        }
        address
    }
}

#[async_trait]
impl Network for TurmoilNetwork {
    async fn connect(&self, address: &str) -> io::Result<Stream> {
        let (host, port) = split_host_port(address)?;
        let peer = self.resolve(host)?;
        let stream = match TcpStream::connect(SocketAddr::new(peer, port)).await {
            // turmoil refuses across a cut link at once; a real network stays silent.
            Err(_) if self.is_cut_off_from(peer) => std::future::pending().await,
            result => result?,
        };
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        Ok(Stream::new(stream, local, peer))
    }

    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let listener = TcpListener::bind(self.bindable(address)?).await?;
        let local = self.public(listener.local_addr()?);
        Ok(Box::new(TurmoilListener { listener, local }))
    }

    async fn datagram(&self, address: &str) -> io::Result<Box<dyn Datagram>> {
        let socket = UdpSocket::bind(self.bindable(address)?).await?;
        let local = self.public(socket.local_addr()?);
        Ok(Box::new(TurmoilDatagram { socket, local }))
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.resolve(host).map(|address| vec![address])
    }
}

struct TurmoilListener {
    listener: TcpListener,
    local: SocketAddr,
}

#[async_trait]
impl Listener for TurmoilListener {
    async fn accept(&mut self) -> io::Result<Stream> {
        let (stream, peer) = self.listener.accept().await?;
        let local = stream.local_addr()?;
        Ok(Stream::new(stream, local, peer))
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

struct TurmoilDatagram {
    socket: UdpSocket,
    local: SocketAddr,
}

#[async_trait]
impl Datagram for TurmoilDatagram {
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

impl std::fmt::Debug for TurmoilListener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "TurmoilListener({})", self.local)
    }
}

impl std::fmt::Debug for TurmoilDatagram {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "TurmoilDatagram({})", self.local)
    }
}
