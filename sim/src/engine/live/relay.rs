//! What passes between a host and its socket: bytes in order, at the pace of the link, and the end of either side. What was
//! done to the link is done here, on the side that has dialled. It knows neither hosts nor worlds.
#![expect(clippy::disallowed_types, reason = "this is where real sockets are wrapped")]

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::links::Links;
use crate::toxic::{Chain, Direction, Ending, Origin, one_way};

/// What a host may write ahead, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

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
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    /// From who has dialled.
    pub(super) there: (String, String),
    /// To who has dialled.
    pub(super) back: (String, String),
    /// Decides what toxics draw.
    pub(super) seed: u64,
    /// Counted from 0 in the order in which its like were dialled.
    pub(super) number: u64,
}

impl Way {
    /// The toxics of what is said in `direction`, none so far.
    fn chain(&self, direction: Direction) -> Chain {
        let proxy = format!("{}>{}", self.there.0, self.there.1).into();
        Chain::new(Origin { seed: self.seed, proxy, connection: self.number, direction })
    }
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
    let (_clear, clear) = watch::channel(Links::default());
    let (way, links) = way.unwrap_or((Way::default(), clear));
    let mut is_closed = false;
    {
        // They outlive what carries between them, so that what tore the connection is said before the host sees its end.
        let (mut from_host, mut to_host) = tokio::io::split(host);
        let (mut from_peer, mut to_peer) = socket.split();
        let breaks = |error: &io::Error| {
            tear(error.kind());
            Some(Ending::Reset)
        };
        let [there, back] = [Direction::Upstream, Direction::Downstream].map(|direction| way.chain(direction));
        let passing = async {
            let there = one_way(
                (&mut from_host, &mut to_peer),
                there,
                (links.clone(), |links: &Links| links.weather(&way.there)),
                breaks,
            );
            let back = one_way(
                (&mut from_peer, &mut to_host),
                back,
                (links.clone(), |links: &Links| links.weather(&way.back)),
                breaks,
            );
            tokio::try_join!(there, back).err()
        };
        let is_silent = tokio::select! {
            biased;
            () = silence(&mut life) => true,
            () = async { reset(&way, links.clone()).await; tear(io::ErrorKind::ConnectionReset) } => false,
            () = down(&way, links.clone()) => { is_closed = true; false }
            ending = passing => {
                is_closed = ending == Some(Ending::Closed);
                if ending == Some(Ending::Reset) {
                    tear(io::ErrorKind::ConnectionReset);
                }
                false
            }
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
    } else if is_closed {
        // In order, whatever was under way.
        let _ = socket.shutdown().await;
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
async fn reset(way: &Way, mut links: watch::Receiver<Links>) {
    let before = links.borrow().resets(&way.there);
    if links.wait_for(|links| links.resets(&way.there) != before).await.is_err() {
        std::future::pending().await
    }
}

/// Completes when the link is taken down.
async fn down(way: &Way, mut links: watch::Receiver<Links>) {
    if links.wait_for(|links| links.is_down(&way.there)).await.is_err() {
        std::future::pending().await
    }
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
