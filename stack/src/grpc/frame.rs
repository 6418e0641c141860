//! Messages on an HTTP/2 stream: a flag byte, four bytes of length, the body. An empty message is a frame too. It knows no
//! codec.

use std::future::poll_fn;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use http::HeaderMap;

use super::MESSAGE_BYTES_MAX;
use crate::{Error, ErrorKind, Result};

/// What comes before each message.
pub(crate) const PREFIX_BYTES: usize = 5;

/// `body` as a frame.
///
/// # Errors
/// `TooLarge`.
pub fn encode(body: &[u8]) -> Result<Bytes> {
    if body.len() > MESSAGE_BYTES_MAX {
        return Err(too_large(body.len()));
    }
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + body.len());
    frame.put_u8(0);
    frame.put_u32(body.len() as u32);
    frame.put_slice(body);
    Ok(frame.freeze())
}

/// The frame of a body that was put behind [`PREFIX_BYTES`] bytes.
///
/// # Errors
/// `TooLarge`.
pub(crate) fn around(mut bytes: Vec<u8>) -> Result<Bytes> {
    let Some((prefix, body)) = bytes.split_first_chunk_mut::<PREFIX_BYTES>() else {
        return Err(
            Error::new(ErrorKind::Internal, "frame message").detail("the codec has left no room for what comes before")
        );
    };
    if body.len() > MESSAGE_BYTES_MAX {
        return Err(too_large(body.len()));
    }
    let [a, b, c, d] = (body.len() as u32).to_be_bytes();
    *prefix = [0, a, b, c, d];
    Ok(Bytes::from(bytes))
}

/// Takes the message at the beginning of `buffer`; `None` while it is not all there.
///
/// # Errors
/// `TooLarge`, `Unsupported` for a compressed message.
pub fn take(buffer: &mut BytesMut) -> Result<Option<Bytes>> {
    let Some(length) = length(buffer)? else { return Ok(None) };
    buffer.advance(PREFIX_BYTES);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// As [`take`], out of bytes that are shared: nothing is copied.
fn take_shared(buffer: &mut Bytes) -> Result<Option<Bytes>> {
    let Some(length) = length(buffer)? else { return Ok(None) };
    buffer.advance(PREFIX_BYTES);
    Ok(Some(buffer.split_to(length)))
}

/// Bytes of the message at the beginning of `buffer`; `None` while it is not all there.
fn length(buffer: &[u8]) -> Result<Option<usize>> {
    let Some((prefix, body)) = buffer.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let [flag, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length) as usize;
    if flag != 0 {
        return Err(Error::new(ErrorKind::Unsupported, "read frame").detail("the message is compressed"));
    }
    if length > MESSAGE_BYTES_MAX {
        return Err(too_large(length));
    }
    Ok((body.len() >= length).then_some(length))
}

fn too_large(bytes: usize) -> Error {
    Error::new(ErrorKind::TooLarge, "frame message").detail(format!("{bytes} bytes, the limit is {MESSAGE_BYTES_MAX}"))
}

/// Sends `data` as the peer's flow control allows; `end` ends this direction.
pub(crate) async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes, end: bool) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let mut capacity = stream.capacity();
        while capacity == 0 {
            capacity = match poll_fn(|context| stream.poll_capacity(context)).await {
                Some(capacity) => capacity?,
                None => return Err(h2::Reason::STREAM_CLOSED.into()),
            };
        }
        let part = data.split_to(capacity.min(data.len()));
        stream.send_data(part, end && data.is_empty())?;
        if data.is_empty() {
            return Ok(());
        }
    }
    stream.send_data(data, end)
}

/// Reads messages from a stream. Reading may be given up at any await point and taken up again.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: RecvStream,
    /// What has arrived in one piece and was not taken yet; a message in it is a part of it.
    whole: Bytes,
    /// What has arrived in several pieces, put together; then there is nothing in `whole`.
    pieces: BytesMut,
}

impl Reader {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, whole: Bytes::new(), pieces: BytesMut::new() }
    }

    /// Waits for the next message; `None` when the peer has ended its direction.
    ///
    /// # Errors
    /// `Disconnected`, `TooLarge`, `Unsupported` for a compressed message, `InvalidMessage` for one that is cut off.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let taken = if self.pieces.is_empty() { take_shared(&mut self.whole) } else { take(&mut self.pieces) };
            if let Some(message) = taken? {
                return Ok(Some(message));
            }
            match self.stream.data().await {
                Some(Ok(data)) => {
                    // The window is given back as data is read, and data is read only when a message is asked for.
                    self.stream.flow_control().release_capacity(data.len()).map_err(broken)?;
                    if self.pieces.is_empty() && self.whole.is_empty() {
                        self.whole = data;
                    } else {
                        self.pieces.extend_from_slice(&std::mem::take(&mut self.whole));
                        self.pieces.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(broken(error)),
                None if self.pieces.is_empty() && self.whole.is_empty() => return Ok(None),
                None => return Err(Error::new(ErrorKind::InvalidMessage, "read frame").detail("it is cut off")),
            }
        }
    }

    /// Waits for the trailers.
    pub(crate) async fn trailers(&mut self) -> Result<Option<HeaderMap>> {
        self.stream.trailers().await.map_err(broken)
    }
}

/// The error of a stream that broke after it was opened.
pub(crate) fn broken(error: h2::Error) -> Error {
    Error::new(ErrorKind::Disconnected, "read stream").caused_by(error)
}
