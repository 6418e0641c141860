//! HTTP/1.1 bytes to messages, without input or output: bytes go in as they come, messages come out when they are whole.
//! Header section, body and every line within have limits. Bad bytes are errors.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use httparse::{EMPTY_HEADER, ParserConfig, Status};

use super::super::Message;
use super::super::config::{HEADER_BYTES_MAX, check_size, too_large};
use super::encode::is_framing;
use crate::metadata::{Metadata, title_case};
use crate::{Error, ErrorKind, Result};

/// Largest number of headers in one message.
pub(super) const HEADERS_MAX: usize = 256;

/// Longest line before a chunk, its extension included, in bytes.
const CHUNK_LINE_BYTES_MAX: usize = 4 << 10;

/// What a decoder reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Requests,
    Responses,
}

/// A whole request or response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// `200 OK` of a response; nothing of a request.
    pub(super) status: Option<(u16, String)>,
    pub(super) message: Message,
}

/// Reads one message after the other out of [`buffer`](Self::buffer).
#[derive(Debug)]
pub(super) struct Decoder {
    expect: Expect,
    body_bytes_max: usize,
    buffer: BytesMut,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before or within the header section.
    Head,
    /// Within a message.
    Body { head: Decoded, framing: Framing },
}

#[derive(Debug)]
enum Framing {
    /// So many bytes.
    Length(usize),
    /// Until the connection ends; responses only.
    UntilEnd,
    /// Before a chunk's size.
    ChunkSize(BytesMut),
    /// Within a chunk that has so many bytes left.
    Chunk(BytesMut, usize),
    /// After a chunk's bytes.
    ChunkEnd(BytesMut),
    /// After the last chunk.
    Trailer(BytesMut),
}

impl Decoder {
    pub(super) fn new(expect: Expect, body_bytes_max: usize) -> Self {
        Self { expect, body_bytes_max, buffer: BytesMut::new(), state: State::Head }
    }

    /// Where bytes go that have come.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next message; `None` when more bytes are needed. After an error there is nothing more to be had.
    pub(super) fn decode(&mut self) -> Result<Option<Decoded>> {
        loop {
            let (head, framing) = match std::mem::replace(&mut self.state, State::Head) {
                State::Head => match self.head()? {
                    Some(found) => found,
                    None => return Ok(None),
                },
                State::Body { head, framing } => (head, framing),
            };
            match self.body(framing)? {
                Progress::Done(body) => {
                    let mut decoded = head;
                    decoded.message.body = body;
                    // `100 Continue` and its like announce the real response.
                    if decoded.status.as_ref().is_some_and(|(code, _)| (100..200).contains(code)) {
                        continue;
                    }
                    return Ok(Some(decoded));
                }
                Progress::Waits(framing) => {
                    self.state = State::Body { head, framing };
                    return Ok(None);
                }
            }
        }
    }

    /// The connection has ended: the message that the end completes, or nothing when it came between two.
    pub(super) fn finish(&mut self) -> Result<Option<Decoded>> {
        match std::mem::replace(&mut self.state, State::Head) {
            State::Head if self.buffer.is_empty() => Ok(None),
            State::Body { mut head, framing: Framing::UntilEnd } => {
                head.message.body = self.buffer.split().freeze();
                Ok(Some(head))
            }
            _ => Err(Error::new(ErrorKind::Disconnected, "receive").detail("the connection ended inside a message")),
        }
    }

    /// The header section, once it is all there.
    fn head(&mut self) -> Result<Option<(Decoded, Framing)>> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        // Setting all of them for each message would cost more than reading the few that there are.
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let config = ParserConfig::default();
        let (parsed, status, headers) = match self.expect {
            Expect::Requests => {
                let mut request = httparse::Request::new(&mut []);
                let parsed = config.parse_request_with_uninit_headers(&mut request, &self.buffer, &mut headers);
                (parsed, None, request.headers)
            }
            Expect::Responses => {
                let mut response = httparse::Response::new(&mut []);
                let parsed = config.parse_response_with_uninit_headers(&mut response, &self.buffer, &mut headers);
                let reason = response.reason.unwrap_or_default().to_owned();
                (parsed, response.code.map(|code| (code, reason)), response.headers)
            }
        };
        let length = match parsed {
            Ok(Status::Complete(length)) if length <= HEADER_BYTES_MAX => length,
            Ok(Status::Partial) if self.buffer.len() <= HEADER_BYTES_MAX => return Ok(None),
            Ok(_) => return Err(too_large("receive", HEADER_BYTES_MAX).detail("headers")),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(too_large("receive", HEADERS_MAX).detail("number of headers"));
            }
            Err(error) => return Err(Error::new(ErrorKind::InvalidMessage, "receive").caused_by(error)),
        };
        let fields = headers.iter().map(|field| (field.name, field.value));
        let (header, framing) = read_fields(fields, status.as_ref().map(|(code, _)| *code), self.body_bytes_max)?;
        let _ = self.buffer.split_to(length);
        Ok(Some((Decoded { status, message: Message { header, body: Bytes::new() } }, framing)))
    }

    /// As much of a body as there is.
    fn body(&mut self, mut framing: Framing) -> Result<Progress> {
        loop {
            framing = match framing {
                Framing::Length(length) if self.buffer.len() < length => return Ok(Progress::Waits(framing)),
                Framing::Length(length) => return Ok(Progress::Done(self.buffer.split_to(length).freeze())),
                Framing::UntilEnd => {
                    check_size("receive", self.buffer.len(), self.body_bytes_max)?;
                    return Ok(Progress::Waits(framing));
                }
                Framing::ChunkSize(body) => match self.chunk_size()? {
                    None => return Ok(Progress::Waits(Framing::ChunkSize(body))),
                    Some(0) => Framing::Trailer(body),
                    Some(size) => {
                        let total = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(body.len());
                        check_size("receive", total, self.body_bytes_max)?;
                        let left = total - body.len();
                        Framing::Chunk(body, left)
                    }
                },
                Framing::Chunk(mut body, left) => {
                    let taken = self.buffer.split_to(left.min(self.buffer.len()));
                    body.extend_from_slice(&taken);
                    match left - taken.len() {
                        0 => Framing::ChunkEnd(body),
                        left => return Ok(Progress::Waits(Framing::Chunk(body, left))),
                    }
                }
                Framing::ChunkEnd(body) => match &self.buffer[..] {
                    [b'\r', b'\n', ..] => {
                        let _ = self.buffer.split_to(2);
                        Framing::ChunkSize(body)
                    }
                    [] | [b'\r'] => return Ok(Progress::Waits(Framing::ChunkEnd(body))),
                    _ => return Err(invalid("a chunk is longer than its size")),
                },
                Framing::Trailer(body) => {
                    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
                    let parsed = httparse::parse_headers(&self.buffer, &mut headers);
                    match parsed.map_err(|error| Error::new(ErrorKind::InvalidMessage, "receive").caused_by(error))? {
                        Status::Complete((length, _)) => {
                            let _ = self.buffer.split_to(length);
                            return Ok(Progress::Done(body.freeze()));
                        }
                        Status::Partial if self.buffer.len() <= HEADER_BYTES_MAX => {
                            return Ok(Progress::Waits(Framing::Trailer(body)));
                        }
                        Status::Partial => return Err(too_large("receive", HEADER_BYTES_MAX).detail("trailer")),
                    }
                }
            };
        }
    }

    fn chunk_size(&mut self) -> Result<Option<u64>> {
        // httparse takes a line without a digit for size 0.
        if self.buffer.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) {
            return Err(invalid("a chunk has no size"));
        }
        match httparse::parse_chunk_size(&self.buffer) {
            Ok(Status::Complete((length, size))) => {
                let _ = self.buffer.split_to(length);
                Ok(Some(size))
            }
            Ok(Status::Partial) if self.buffer.len() <= CHUNK_LINE_BYTES_MAX => Ok(None),
            Ok(Status::Partial) | Err(_) => Err(invalid("a chunk has no size")),
        }
    }
}

enum Progress {
    Done(Bytes),
    Waits(Framing),
}

fn invalid(detail: &str) -> Error {
    Error::new(ErrorKind::InvalidMessage, "receive").detail(detail)
}

/// Splits header fields into those of the message and what they say about the body. Where one name comes twice, the first
/// counts, as in go-micro.
fn read_fields<'a>(
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    status: Option<u16>,
    body_bytes_max: usize,
) -> Result<(Metadata, Framing)> {
    let mut header = Metadata::new();
    let (mut length, mut chunked) = (None, false);
    for (name, value) in fields {
        let value = std::str::from_utf8(value).map_err(|_| invalid("a header is no UTF-8 text"))?.trim();
        if name.eq_ignore_ascii_case("Content-Length") {
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let number = value.parse::<usize>().unwrap_or(usize::MAX);
            if !digits || length.is_some_and(|length| length != number) {
                return Err(invalid("Content-Length is not one number"));
            }
            length = Some(number);
        } else if name.eq_ignore_ascii_case("Transfer-Encoding") {
            if chunked || !value.eq_ignore_ascii_case("chunked") {
                return Err(invalid("a Transfer-Encoding that is not chunked"));
            }
            chunked = true;
        } else if !is_framing(name) {
            header.entry(title_case(name)).or_insert_with(|| value.to_owned());
        }
    }
    let bodiless = matches!(status, Some(100..200 | 204 | 304));
    let framing = match (length, chunked) {
        // Two answers to where a message ends are how requests get smuggled (RFC 9112, section 6.3).
        (Some(_), true) => return Err(invalid("Content-Length beside Transfer-Encoding")),
        _ if bodiless => Framing::Length(0),
        (None, true) => Framing::ChunkSize(BytesMut::new()),
        (Some(length), false) => {
            check_size("receive", length, body_bytes_max)?;
            Framing::Length(length)
        }
        (None, false) if status.is_some() => Framing::UntilEnd,
        (None, false) => Framing::Length(0),
    };
    Ok((header, framing))
}
