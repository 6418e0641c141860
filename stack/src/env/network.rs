//! The network as a component sees it: streams, listeners, datagrams with multicast, and names.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::opaque::opaque;

/// A way to reach other hosts. Addresses are `host:port` texts; a host is a name or an IP address, IPv6 in brackets.
#[async_trait]
pub trait Network: Send + Sync + fmt::Debug {
    /// Opens a byte stream to `address`. It may take for ever when nobody answers: callers set a deadline.
    async fn connect(&self, address: &str) -> io::Result<Stream>;

    /// Listens at `address`; `:0` is a free port on every interface.
    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>>;

    /// Opens a datagram socket at `address`.
    async fn datagram(&self, address: &str) -> io::Result<Box<dyn Datagram>>;

    /// The addresses of `host`.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when the name is not known.
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// Accepts streams. Dropping it closes the port.
#[async_trait]
pub trait Listener: Send + Sync + fmt::Debug {
    /// Waits for the next peer.
    async fn accept(&mut self) -> io::Result<Stream>;

    /// Where it listens, with the port that was chosen.
    fn local_address(&self) -> SocketAddr;
}

/// Sends and receives datagrams, at most once, in no order.
#[async_trait]
pub trait Datagram: Send + Sync + fmt::Debug {
    /// Sends one datagram to `target`.
    async fn send_to(&self, bytes: &[u8], target: SocketAddr) -> io::Result<()>;

    /// Waits for a datagram; returns its length and sender. What does not fit into `buffer` is lost.
    async fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;

    /// Joins a multicast group.
    fn join_multicast(&self, group: IpAddr) -> io::Result<()>;

    /// Where it is bound, with the port that was chosen.
    fn local_address(&self) -> SocketAddr;
}

/// What a [`Stream`] is made of.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A byte stream between two hosts.
pub struct Stream {
    io: Box<dyn Io>,
    local: SocketAddr,
    peer: SocketAddr,
}

impl Stream {
    /// Wraps an open stream.
    pub fn new(io: impl Io + 'static, local: SocketAddr, peer: SocketAddr) -> Self {
        Self { io: Box::new(io), local, peer }
    }

    /// This end's address.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// The other end's address.
    pub fn peer_address(&self) -> SocketAddr {
        self.peer
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(context)
    }
}

opaque!(Stream { local, peer });

/// Splits `host:port`; the host of `:80` is empty, an IPv6 host loses its brackets.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`], naming the address, when there is no port or it is no number below 65,536.
pub fn split_host_port(address: &str) -> io::Result<(&str, u16)> {
    let invalid = |why: &str| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("address '{address}' {why}; write it as host:port"))
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(|| invalid("has no port"))?;
    let port = port.parse().map_err(|_| invalid("has a port that is no number below 65536"))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.contains(':') && !address.starts_with('[') {
        return Err(invalid("is an IPv6 address without brackets"));
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::split_host_port;

    #[test]
    fn addresses_split_into_host_and_port() {
        assert_eq!(split_host_port("etcd:2379").unwrap(), ("etcd", 2379));
        assert_eq!(split_host_port(":0").unwrap(), ("", 0));
        assert_eq!(split_host_port("[::1]:80").unwrap(), ("::1", 80));
        for wrong in ["etcd", "etcd:", "etcd:70000", "::1:80", ""] {
            assert!(split_host_port(wrong).is_err(), "{wrong}");
        }
    }
}
