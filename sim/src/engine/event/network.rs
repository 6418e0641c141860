//! The network as a program on a simulated machine sees it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use shaketable_stack::env::{Datagram, Listener, Network, Stream, split_host_port};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::fabric::SharedFabric;

/// The network of one host.
#[derive(Debug)]
pub(super) struct HostNetwork {
    pub(super) fabric: SharedFabric,
    pub(super) host: u32,
}

impl HostNetwork {
    fn bindable(&self, address: &str) -> io::Result<(IpAddr, u16)> {
        let (host, port) = split_host_port(address)?;
        if host.is_empty() {
            return Ok((IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
        }
        let address = match host.parse() {
            Ok(address) => address,
            Err(_) => self.fabric.lock().resolve(host)?,
        };
        Ok((address, port))
    }
}

#[async_trait]
impl Network for HostNetwork {
    async fn connect(&self, address: &str) -> io::Result<Stream> {
        let (name, port) = split_host_port(address)?;
        let (socket, local, peer) = {
            let mut fabric = self.fabric.lock();
            let peer = SocketAddr::new(fabric.resolve(name)?, port);
            let peer_host = fabric.host_at(self.host, peer.ip()).ok_or(io::ErrorKind::HostUnreachable)?;
            let (id, local) = fabric.connect(self.host, peer_host, peer)?;
            (Socket { fabric: self.fabric.clone(), host: self.host, id }, local, peer)
        };
        std::future::poll_fn(|context| socket.fabric.lock().poll_connected(socket.host, socket.id, context)).await?;
        Ok(Stream::new(socket, local, peer))
    }

    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let (address, port) = self.bindable(address)?;
        let (id, local) = self.fabric.lock().listen(self.host, address, port)?;
        Ok(Box::new(Listening { fabric: self.fabric.clone(), host: self.host, id, local }))
    }

    async fn datagram(&self, address: &str) -> io::Result<Box<dyn Datagram>> {
        let (address, port) = self.bindable(address)?;
        let (id, local) = self.fabric.lock().bind(self.host, address, port)?;
        Ok(Box::new(Bound { fabric: self.fabric.clone(), host: self.host, id, local }))
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.fabric.lock().resolve(host).map(|address| vec![address])
    }
}

/// One end of a connection. Dropping it closes it.
struct Socket {
    fabric: SharedFabric,
    host: u32,
    id: u64,
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.fabric.lock().poll_read(self.host, self.id, context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.fabric.lock().poll_write(self.host, self.id, context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fabric.lock().shut_down(self.host, self.id);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.fabric.lock().let_go(self.host, self.id);
    }
}

#[derive(Debug)]
struct Listening {
    fabric: SharedFabric,
    host: u32,
    id: u64,
    local: SocketAddr,
}

#[async_trait]
impl Listener for Listening {
    async fn accept(&mut self) -> io::Result<Stream> {
        let listener = (self.id, self.local.port());
        let accepted = std::future::poll_fn(|context| self.fabric.lock().poll_accept(self.host, listener, context));
        let (id, local, peer) = accepted.await?;
        Ok(Stream::new(Socket { fabric: self.fabric.clone(), host: self.host, id }, local, peer))
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.fabric.lock().stop_listening(self.host, (self.id, self.local.port()));
    }
}

#[derive(Debug)]
struct Bound {
    fabric: SharedFabric,
    host: u32,
    id: u64,
    local: SocketAddr,
}

impl Bound {
    fn key(&self) -> (u64, u16) {
        (self.id, self.local.port())
    }
}

#[async_trait]
impl Datagram for Bound {
    async fn send_to(&self, bytes: &[u8], target: SocketAddr) -> io::Result<()> {
        let source =
            if target.ip().is_loopback() { SocketAddr::new(target.ip(), self.local.port()) } else { self.local };
        self.fabric.lock().send_datagram(self.host, source, target, bytes)
    }

    async fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let received =
            std::future::poll_fn(|context| self.fabric.lock().poll_receive(self.host, self.key(), context)).await?;
        let (payload, source) = received;
        let length = payload.len().min(buffer.len());
        buffer[..length].copy_from_slice(&payload[..length]);
        Ok((length, source))
    }

    fn join_multicast(&self, group: IpAddr) -> io::Result<()> {
        self.fabric.lock().join(self.host, self.key(), group)
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.fabric.lock().unbind(self.host, self.key());
    }
}
