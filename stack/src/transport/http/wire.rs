//! A stream that one task reads and another writes, and that a third can close at once. Knows nothing of HTTP.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::env::Stream;

/// Room for one read, in bytes: for most messages, and for the rest of one that was larger.
const READ_BYTES: usize = 2 << 10;
/// See [`READ_BYTES`].
const READ_MORE_BYTES: usize = 32 << 10;

/// A stream until it is closed.
#[derive(Debug)]
pub(super) struct Wire {
    // Locked within one poll only, so that closing waits for nobody.
    stream: Mutex<Option<Stream>>,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream: Mutex::new(Some(stream)) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Stream>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll<T>(
        &self,
        context: &mut Context<'_>,
        operation: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.lock() {
            Some(stream) => operation(Pin::new(stream), context),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Reads some bytes to the end of `buffer`; 0 when the peer has ended. Nothing is lost when the future is dropped.
    pub(super) async fn read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        buffer.reserve(if buffer.len() < READ_BYTES { READ_BYTES } else { READ_MORE_BYTES });
        // A read keeps nothing between two polls, so that each poll may begin a new one.
        poll_fn(|context| self.poll(context, |mut stream, context| pin!(stream.read_buf(buffer)).poll(context))).await
    }

    /// Writes all of `bytes`. How much was written is not known when the future is dropped.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written =
                poll_fn(|context| self.poll(context, |stream, context| stream.poll_write(context, bytes))).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        poll_fn(|context| self.poll(context, |stream, context| stream.poll_flush(context))).await
    }

    /// Drops the stream, so that the peer sees its end.
    pub(super) fn close(&self) {
        let stream = self.lock().take();
        drop(stream);
    }
}
