//! What passes between a host and its socket: bytes in order, at the pace of the link, and the end of either side. What was
//! done to the link is done here, on the side that has dialled. It knows neither hosts nor worlds.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "real sockets live in real time")]

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::links::Links;

/// What a host may write ahead, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// Largest piece that is carried at once, in bytes.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// How many pieces of one direction are under way at a time; who sends more waits, as for a link that is full.
const PIECES_MAX: usize = 64;

/// How it stands with one life of a host, as far as its peers can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// What ends, ends with a sign.
    Alive,
    /// It has died without a sign.
    Silent,
    /// It has come up again, and knows nothing of what was before.
    Over,
}

/// The links that a connection uses.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// From who has dialled.
    pub(super) there: (String, String),
    /// To who has dialled.
    pub(super) back: (String, String),
}

/// The host's end of a connection.
#[derive(Debug)]
pub(super) struct Near {
    stream: DuplexStream,
    /// What ended the connection, where it was torn.
    torn: Arc<OnceLock<io::ErrorKind>>,
}

/// The host's end, and what passes bytes between it and `socket` until both sides have ended.
pub(super) fn relay(
    socket: TcpStream,
    way: Option<(Way, watch::Receiver<Links>)>,
    life: watch::Receiver<Life>,
) -> (Near, impl Future<Output = ()> + Send + 'static) {
    let (near, far) = duplex(BUFFER_BYTES);
    let torn = Arc::<OnceLock<io::ErrorKind>>::default();
    let near = Near { stream: near, torn: torn.clone() };
    (near, pass(socket, far, way, life, torn))
}

async fn pass(
    mut socket: TcpStream,
    host: DuplexStream,
    way: Option<(Way, watch::Receiver<Links>)>,
    mut life: watch::Receiver<Life>,
    torn: Arc<OnceLock<io::ErrorKind>>,
) {
    // Small messages go at once, as they do everywhere in the stack; where that is refused they are only slower.
    let _ = socket.set_nodelay(true);
    // Said before the host's end is dropped, which wakes the host.
    let tear = |kind| torn.set(kind).unwrap_or_default();
    {
        let (from_host, to_host) = tokio::io::split(host);
        let (from_peer, to_peer) = socket.split();
        let reset = reset(way.clone());
        let (there, back) = match way {
            Some((way, links)) => (Some((way.there, links.clone())), Some((way.back, links))),
            None => (None, None),
        };
        let passing = async {
            // An error of either direction ends both.
            let _ = tokio::try_join!(carry(from_host, to_peer, there, &tear), carry(from_peer, to_host, back, &tear));
        };
        let is_silent = tokio::select! {
            biased;
            () = silence(&mut life) => true,
            () = async { reset.await; tear(io::ErrorKind::ConnectionReset) } => false,
            () = passing => false,
        };
        if is_silent {
            // Nothing passes, and nobody is told, until the host comes up again: then its kernel answers what it knows nothing
            // of with a reset.
            over(&mut life).await;
            tear(io::ErrorKind::ConnectionReset);
        }
    }
    if torn.get().is_some() {
        // Its peer is told so, too.
        let _ = socket.set_zero_linger();
    }
}

/// Completes when the host dies without a sign.
pub(super) async fn silence(life: &mut watch::Receiver<Life>) {
    if life.wait_for(|life| *life == Life::Silent).await.is_err() {
        std::future::pending().await
    }
}

/// Completes when a host that has died comes up again, or its world ends.
pub(super) async fn over(life: &mut watch::Receiver<Life>) {
    let _ = life.wait_for(|life| *life == Life::Over).await;
}

/// Completes when the connections of the link are reset.
async fn reset(way: Option<(Way, watch::Receiver<Links>)>) {
    let Some((way, mut links)) = way else { return std::future::pending().await };
    let before = links.borrow().resets(&way.there);
    if links.wait_for(|links| links.resets(&way.there) != before).await.is_err() {
        std::future::pending().await
    }
}

/// Something under way: what was read, or the end when it is empty.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
}

type Link = Option<((String, String), watch::Receiver<Links>)>;

/// One direction, until its end has been delivered or nobody is left to whom anything could be.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    link: Link,
    tear: &impl Fn(io::ErrorKind),
) -> io::Result<()> {
    let (pieces, under_way) = mpsc::channel(PIECES_MAX);
    let carried = tokio::try_join!(take(&mut from, pieces, link.clone()), deliver(&mut to, under_way, link));
    carried.map(|_| ()).inspect_err(|error| tear(error.kind()))
}

async fn take(from: &mut (impl AsyncRead + Unpin), pieces: mpsc::Sender<Piece>, link: Link) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES_MAX];
    loop {
        let length = tokio::select! {
            read = from.read(&mut buffer) => read?,
            () = pieces.closed() => return Ok(()),
        };
        let latency = link.as_ref().map(|(link, links)| links.borrow().latency(link)).unwrap_or_default();
        let piece = Piece { due: Instant::now() + latency, bytes: buffer[..length].to_vec() };
        if pieces.send(piece).await.is_err() || length == 0 {
            return Ok(());
        }
    }
}

async fn deliver(
    to: &mut (impl AsyncWrite + Unpin),
    mut under_way: mpsc::Receiver<Piece>,
    mut link: Link,
) -> io::Result<()> {
    while let Some(piece) = under_way.recv().await {
        if let Some((link, links)) = &mut link {
            tokio::time::sleep_until(piece.due).await;
            // The sender lives as long as the world.
            let _ = links.wait_for(|links| links.passes(link)).await;
        }
        if piece.bytes.is_empty() {
            // Who is gone needs not be told.
            let _ = to.shutdown().await;
            return Ok(());
        }
        match to.write_all(&piece.bytes).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(error),
            // Whoever was to read it is gone; the other direction may have something to deliver yet.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

impl Near {
    fn end(&self) -> io::Result<()> {
        self.torn.get().map_or(Ok(()), |kind| Err((*kind).into()))
    }
}

impl AsyncRead for Near {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let room = buffer.remaining();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let ended = room > 0 && buffer.filled().len() == before;
        Poll::Ready(if ended { self.end() } else { Ok(()) })
    }
}

impl AsyncWrite for Near {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(written.or_else(|error| self.end().and(Err(error))))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
