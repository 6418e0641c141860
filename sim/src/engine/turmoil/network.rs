//! The network of a simulated host on turmoil: its streams pass every byte to the trace. Names are the world's own, because
//! turmoil's lookup gives an address to whatever name it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use shaketable_stack::env::{Datagram, Listener, Network, Stream, split_host_port};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream, UdpSocket};

use crate::history::{Recorder, current_cause, with_cause};
use crate::trace::{TraceEvent, TraceKind, Tracer};

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
    pub(super) tap: Tap,
}

/// Passes what a host's streams carry to the trace.
#[derive(Clone, Debug)]
pub(super) struct Tap {
    pub(super) host: Arc<str>,
    pub(super) recorder: Recorder,
    pub(super) tracer: Tracer,
    pub(super) connections: Arc<AtomicU64>,
}

impl Tap {
    fn open(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn add(&self, connection: u64, kind: TraceKind) {
        let at = self.recorder.now();
        self.tracer.add(TraceEvent { at, host: self.host.clone(), connection, kind });
    }

    fn failed(&self, connection: u64, error: &io::Error) {
        self.add(connection, TraceKind::Failed { error: format!("{:?}", error.kind()) });
    }
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
        let own = self.tap.host.as_ref().to_owned();
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
        let connection = self.tap.open();
        self.tap.add(connection, TraceKind::Connect { address: address.to_owned() });
        let connect = async {
            let (host, port) = split_host_port(address)?;
            let peer = self.resolve(host)?;
            match TcpStream::connect(SocketAddr::new(peer, port)).await {
                // turmoil refuses across a cut link at once; a real network stays silent.
                Err(_) if self.is_cut_off_from(peer) => std::future::pending().await,
                result => result,
            }
        };
        let stream = connect.await.inspect_err(|error| self.tap.failed(connection, error))?;
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        self.tap.add(connection, TraceKind::Connected { peer: peer.to_string() });
        Ok(Stream::new(TappedStream { stream, connection, tap: self.tap.clone(), closed: false }, local, peer))
    }

    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let listener = TcpListener::bind(self.bindable(address)?).await?;
        let local = self.public(listener.local_addr()?);
        self.tap.add(self.tap.open(), TraceKind::Bound { address: local.to_string() });
        Ok(Box::new(TappedListener { listener, local, tap: self.tap.clone() }))
    }

    async fn datagram(&self, address: &str) -> io::Result<Box<dyn Datagram>> {
        let socket = UdpSocket::bind(self.bindable(address)?).await?;
        let local = self.public(socket.local_addr()?);
        let connection = self.tap.open();
        self.tap.add(connection, TraceKind::Bound { address: local.to_string() });
        Ok(Box::new(TappedDatagram { socket, local, connection, tap: self.tap.clone() }))
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.resolve(host).map(|address| vec![address])
    }
}

struct TappedListener {
    listener: TcpListener,
    local: SocketAddr,
    tap: Tap,
}

#[async_trait]
impl Listener for TappedListener {
    async fn accept(&mut self) -> io::Result<Stream> {
        let (stream, peer) = self.listener.accept().await?;
        let local = stream.local_addr()?;
        let connection = self.tap.open();
        self.tap.add(connection, TraceKind::Accepted { peer: peer.to_string() });
        Ok(Stream::new(TappedStream { stream, connection, tap: self.tap.clone(), closed: false }, local, peer))
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

struct TappedStream {
    stream: TcpStream,
    connection: u64,
    tap: Tap,
    closed: bool,
}

impl AsyncRead for TappedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = std::task::ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        let kind = match &result {
            Ok(()) if buffer.filled().len() > before => TraceKind::received(&buffer.filled()[before..]),
            Ok(()) if buffer.remaining() == 0 => return Poll::Ready(result),
            Ok(()) => TraceKind::EndOfStream,
            Err(error) => TraceKind::Failed { error: format!("{:?}", error.kind()) },
        };
        self.tap.add(self.connection, kind);
        Poll::Ready(result)
    }
}

impl AsyncWrite for TappedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = std::task::ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        match &result {
            Ok(written) => self.tap.add(self.connection, TraceKind::sent(&bytes[..*written])),
            Err(error) => self.tap.failed(self.connection, error),
        }
        Poll::Ready(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = std::task::ready!(Pin::new(&mut self.stream).poll_shutdown(context));
        if !self.closed {
            self.closed = true;
            self.tap.add(self.connection, TraceKind::Closed);
        }
        Poll::Ready(result)
    }
}

impl Drop for TappedStream {
    fn drop(&mut self) {
        if !self.closed {
            self.tap.add(self.connection, TraceKind::Closed);
        }
    }
}

struct TappedDatagram {
    socket: UdpSocket,
    local: SocketAddr,
    connection: u64,
    tap: Tap,
}

#[async_trait]
impl Datagram for TappedDatagram {
    async fn send_to(&self, bytes: &[u8], target: SocketAddr) -> io::Result<()> {
        self.tap.add(self.connection, TraceKind::sent(bytes));
        self.socket.send_to(bytes, target).await.map(|_| ())
    }

    async fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, peer) = self.socket.recv_from(buffer).await?;
        self.tap.add(self.connection, TraceKind::received(&buffer[..length]));
        Ok((length, peer))
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

/// A task works for the operation that started it.
pub(super) fn inherit_cause(
    task: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    with_cause(current_cause(), task)
}

impl std::fmt::Debug for TappedListener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "TappedListener({})", self.local)
    }
}

impl std::fmt::Debug for TappedDatagram {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "TappedDatagram({})", self.local)
    }
}
