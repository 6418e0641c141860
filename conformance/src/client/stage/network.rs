//! A network that counts the connections that are opened through it, and an address where nobody listens.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use shaketable_stack::env::{Datagram, Listener, Network, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{Finding, Site};

/// Connections that one host has opened.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    opened: AtomicUsize,
    closed: AtomicUsize,
}

impl Connections {
    /// How many were opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    /// How many of them are open.
    pub(crate) fn open(&self) -> usize {
        self.opened().saturating_sub(self.closed.load(Ordering::Relaxed))
    }
}

/// The same site with a network that counts.
pub(crate) fn counted(site: &Site) -> (Site, Arc<Connections>) {
    let connections = Arc::new(Connections::default());
    let network = Counting { inner: site.env().network().clone(), connections: connections.clone() };
    let env = site.env().with(|parts| parts.network = Arc::new(network));
    (Site { shared: site.shared.clone(), env }, connections)
}

/// An address of this host where nobody listens.
pub(crate) async fn dead_address(site: &Site) -> Result<String, Finding> {
    let env = site.env();
    let listener = env.network().listen(":0").await.map_err(|error| Finding::Broke(error.to_string()))?;
    let port = listener.local_address().port();
    drop(listener);
    Ok(SocketAddr::new(env.host().address, port).to_string())
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
        let (local, peer) = (stream.local_address(), stream.peer_address());
        Ok(Stream::new(Counted { stream, connections: self.connections.clone() }, local, peer))
    }

    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        self.inner.listen(address).await
    }

    async fn datagram(&self, address: &str) -> io::Result<Box<dyn Datagram>> {
        self.inner.datagram(address).await
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.inner.lookup(host).await
    }
}

struct Counted {
    stream: Stream,
    connections: Arc<Connections>,
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

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
