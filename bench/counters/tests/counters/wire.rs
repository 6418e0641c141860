//! A network of pipes within one process, which counts what passes. It knows nobody who uses it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use shaketable_stack::env::{Datagram, Env, Listener, Namespace, Network, Stream, os, split_host_port};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

/// What a pipe holds, in bytes: more than is under way at once.
const PIPE: usize = 1 << 20;

/// The first port of those that are free.
const FREE_PORTS: u16 = 20_000;

/// The network. Whatever host an address names, its port says who listens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire {
    listeners: Arc<Mutex<BTreeMap<u16, mpsc::Sender<Stream>>>>,
    sent: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
}

impl Wire {
    /// A host on it. Call it within a tokio runtime.
    pub(crate) fn env(&self) -> Env {
        let network = Arc::new(self.clone());
        os::env(Namespace::new("counters")).with(|parts| parts.network = network)
    }

    /// Bytes that those who connected have sent, and bytes that those who accepted have answered with.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.answered.load(Ordering::Relaxed))
    }

    fn listeners(&self) -> MutexGuard<'_, BTreeMap<u16, mpsc::Sender<Stream>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[async_trait]
impl Network for Wire {
    async fn connect(&self, address: &str) -> io::Result<Stream> {
        let (_, port) = split_host_port(address)?;
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let listener = self.listeners().get(&port).cloned().ok_or_else(refused)?;
        let (near, far) = tokio::io::duplex(PIPE);
        let far = Counted { pipe: far, sent: self.answered.clone() };
        listener.send(Stream::new(far, at(port), at(1))).await.map_err(|_| refused())?;
        Ok(Stream::new(Counted { pipe: near, sent: self.sent.clone() }, at(1), at(port)))
    }

    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let (_, port) = split_host_port(address)?;
        let mut listeners = self.listeners();
        let free = |port: &u16| !listeners.contains_key(port);
        let port = if port == 0 { (FREE_PORTS..u16::MAX).find(free).unwrap_or(FREE_PORTS) } else { port };
        let (sender, streams) = mpsc::channel(16);
        listeners.insert(port, sender);
        Ok(Box::new(Accepting { streams, local: at(port) }))
    }

    async fn datagram(&self, _address: &str) -> io::Result<Box<dyn Datagram>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn lookup(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![at(1).ip()])
    }
}

#[derive(Debug)]
struct Accepting {
    streams: mpsc::Receiver<Stream>,
    local: SocketAddr,
}

#[async_trait]
impl Listener for Accepting {
    async fn accept(&mut self) -> io::Result<Stream> {
        self.streams.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

/// An end of a pipe that counts what it sends.
struct Counted {
    pipe: DuplexStream,
    sent: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(context, to)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.pipe).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &written {
            self.sent.fetch_add(*written as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.pipe).poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(written)) = &written {
            self.sent.fetch_add(*written as u64, Ordering::Relaxed);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.pipe.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}
