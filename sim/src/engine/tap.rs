//! Passes what the network of a host carries to the trace, whichever engine carries it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use shaketable_stack::env::{Datagram, Listener, Network, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::history::Recorder;
use crate::trace::{TraceKind, Traced, Tracer};

/// Where what passes goes, and whose it is.
#[derive(Clone, Debug)]
pub(super) struct Tap {
    pub(super) traced: Traced,
    pub(super) recorder: Recorder,
    pub(super) tracer: Tracer,
    pub(super) connections: Arc<AtomicU64>,
}

impl Tap {
    fn open(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn add(&self, connection: u64, kind: TraceKind) {
        self.tracer.add(&self.traced, self.recorder.now(), connection, kind);
    }

    fn failed(&self, connection: u64, error: &io::Error) {
        self.add(connection, TraceKind::Failed { error: format!("{:?}", error.kind()) });
    }
}

/// A network whose traffic is traced.
#[derive(Debug)]
pub(super) struct TappedNetwork<N> {
    pub(super) network: N,
    pub(super) tap: Tap,
}

#[async_trait]
impl<N: Network> Network for TappedNetwork<N> {
    async fn connect(&self, address: &str) -> io::Result<Stream> {
        let connection = self.tap.open();
        self.tap.add(connection, TraceKind::Connect { address: address.to_owned() });
        let connected = self.network.connect(address).await;
        let stream = connected.inspect_err(|error| self.tap.failed(connection, error))?;
        self.tap.add(connection, TraceKind::Connected { peer: stream.peer_address().to_string() });
        Ok(TappedStream::open(stream, connection, self.tap.clone()))
    }

    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let listener = self.network.listen(address).await?;
        self.tap.add(self.tap.open(), TraceKind::Bound { address: listener.local_address().to_string() });
        Ok(Box::new(TappedListener { listener, tap: self.tap.clone() }))
    }

    async fn datagram(&self, address: &str) -> io::Result<Box<dyn Datagram>> {
        let socket = self.network.datagram(address).await?;
        let connection = self.tap.open();
        self.tap.add(connection, TraceKind::Bound { address: socket.local_address().to_string() });
        Ok(Box::new(TappedDatagram { socket, connection, tap: self.tap.clone() }))
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.network.lookup(host).await
    }
}

#[derive(Debug)]
struct TappedListener {
    listener: Box<dyn Listener>,
    tap: Tap,
}

#[async_trait]
impl Listener for TappedListener {
    async fn accept(&mut self) -> io::Result<Stream> {
        let stream = self.listener.accept().await?;
        let connection = self.tap.open();
        self.tap.add(connection, TraceKind::Accepted { peer: stream.peer_address().to_string() });
        Ok(TappedStream::open(stream, connection, self.tap.clone()))
    }

    fn local_address(&self) -> SocketAddr {
        self.listener.local_address()
    }
}

struct TappedStream {
    stream: Stream,
    connection: u64,
    tap: Tap,
    closed: bool,
}

impl TappedStream {
    fn open(stream: Stream, connection: u64, tap: Tap) -> Stream {
        let (local, peer) = (stream.local_address(), stream.peer_address());
        Stream::new(Self { stream, connection, tap, closed: false }, local, peer)
    }
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

#[derive(Debug)]
struct TappedDatagram {
    socket: Box<dyn Datagram>,
    connection: u64,
    tap: Tap,
}

#[async_trait]
impl Datagram for TappedDatagram {
    async fn send_to(&self, bytes: &[u8], target: SocketAddr) -> io::Result<()> {
        self.tap.add(self.connection, TraceKind::sent(bytes));
        self.socket.send_to(bytes, target).await
    }

    async fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, peer) = self.socket.receive_from(buffer).await?;
        self.tap.add(self.connection, TraceKind::received(&buffer[..length]));
        Ok((length, peer))
    }

    fn join_multicast(&self, group: IpAddr) -> io::Result<()> {
        self.socket.join_multicast(group)
    }

    fn local_address(&self) -> SocketAddr {
        self.socket.local_address()
    }
}
