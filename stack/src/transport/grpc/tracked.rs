//! A stream that tells whether what was written to it has gone out, and that is read to its end once h2 has done with it.
//! h2 does neither, and a call that ends needs both.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::env::{Env, Stream};

/// A stream that knows whether a write is waiting for room.
pub(super) struct Tracked {
    stream: Shared,
    blocked: Arc<AtomicBool>,
}

/// Locked within one poll only.
type Shared = Arc<Mutex<Stream>>;

/// A stream that h2 has done with.
pub(super) struct Rest(Shared);

impl Tracked {
    /// Writes into `blocked` whether the last write found no room.
    pub(super) fn new(stream: Stream, blocked: Arc<AtomicBool>) -> Self {
        Self { stream: Arc::new(Mutex::new(stream)), blocked }
    }

    /// What is left when h2 has dropped this.
    pub(super) fn rest(&self) -> Rest {
        Rest(self.stream.clone())
    }

    fn note<T>(&self, poll: Poll<T>) -> Poll<T> {
        self.blocked.store(poll.is_pending(), Ordering::Relaxed);
        poll
    }
}

impl Rest {
    /// Says that nothing more will be written, and reads until the peer has said so, too, at most for `limit`. An end that
    /// is closed while the peer still sends, and be it that it has room, answers with a reset, which takes with it what the
    /// peer has not received yet (RFC 1122, section 4.2.2.13).
    pub(super) async fn end(self, env: &Env, limit: Duration) {
        let end = poll_fn(|context| {
            let mut stream = lock(&self.0);
            // It fails when the connection has ended already.
            let _ = ready!(Pin::new(&mut *stream).poll_shutdown(context));
            let mut bytes = [0; 1 << 10];
            loop {
                let mut buffer = ReadBuf::new(&mut bytes);
                let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
                if read.is_err() || buffer.filled().is_empty() {
                    return Poll::Ready(());
                }
            }
        });
        // Who has not ended by then is cut off.
        let _ = env.timeout(limit, end).await;
    }
}

fn lock(stream: &Shared) -> MutexGuard<'_, Stream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for Tracked {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.stream)).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tracked {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut *lock(&self.stream)).poll_write(context, bytes);
        self.note(poll)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut *lock(&self.stream)).poll_write_vectored(context, slices);
        self.note(poll)
    }

    fn is_write_vectored(&self) -> bool {
        lock(&self.stream).is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut *lock(&self.stream)).poll_flush(context);
        self.note(poll)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.stream)).poll_shutdown(context)
    }
}
