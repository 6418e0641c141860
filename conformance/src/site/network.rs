//! A network that counts the connections of a host: those that were opened through it, and those that were accepted.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use shaketable_stack::env::{Datagram, Listener, Network, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Site;

/// Connections of one host.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    opened: AtomicUsize,
    accepted: AtomicUsize,
    closed: AtomicUsize,
}

impl Connections {
    /// How many the host has opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    /// How many are open: of those that it has opened, and of those that it has accepted.
    pub(crate) fn open(&self) -> usize {
        let begun = self.opened() + self.accepted.load(Ordering::Relaxed);
        begun.saturating_sub(self.closed.load(Ordering::Relaxed))
    }
}

impl Site {
    /// The same site with a network that counts into `connections`.
    pub(crate) fn counted_by(&self, connections: &Arc<Connections>) -> Self {
        let network = Counting { inner: self.env().network().clone(), connections: connections.clone() };
        let env = self.env().with(|parts| parts.network = Arc::new(network));
        Self { shared: self.shared.clone(), env }
    }

    /// The same site with a network that counts for [`usage`](Self::usage); to be used before a plugin is made.
    pub(crate) fn counted(&self) -> Self {
        self.counted_by(self.shared.connections.get_or_init(Arc::default))
    }
}

#[derive(Debug)]
struct Counting {
    inner: Arc<dyn Network>,
    connections: Arc<Connections>,
}

#[async_trait]
impl Network for Counting {
    async fn connect(&self, address: &str) -> io::Result<Stream> {
        let stream = self.inner.connect(address).await?;
        self.connections.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Counted::stream(stream, &self.connections))
    }

    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let inner = self.inner.listen(address).await?;
        Ok(Box::new(Accepting { inner, connections: self.connections.clone() }))
    }

    async fn datagram(&self, address: &str) -> io::Result<Box<dyn Datagram>> {
        self.inner.datagram(address).await
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.inner.lookup(host).await
    }
}

#[derive(Debug)]
struct Accepting {
    inner: Box<dyn Listener>,
    connections: Arc<Connections>,
}

#[async_trait]
impl Listener for Accepting {
    async fn accept(&mut self) -> io::Result<Stream> {
        let stream = self.inner.accept().await?;
        self.connections.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(Counted::stream(stream, &self.connections))
    }

    fn local_address(&self) -> SocketAddr {
        self.inner.local_address()
    }
}

struct Counted {
    stream: Stream,
    connections: Arc<Connections>,
}

impl Counted {
    fn stream(stream: Stream, connections: &Arc<Connections>) -> Stream {
        let (local, peer) = (stream.local_address(), stream.peer_address());
        Stream::new(Self { stream, connections: connections.clone() }, local, peer)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.closed.fetch_add(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
