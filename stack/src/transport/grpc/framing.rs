//! gRPC's framing of go-micro's messages: a flag, a length, protobuf; and its status in headers or trailers. Source:
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message as _;
use shaketable_proto::micro::transport::v1 as wire;

use super::super::Message;
use super::super::config::{HEADER_BYTES_MAX, check_size, too_large};
use crate::error::Status;
use crate::{Error, ErrorKind, Result};

/// The flag that says whether the message is compressed, and the length.
const PREFIX_BYTES: usize = 5;

/// What protobuf adds to a header, at most: tags and lengths of the entry, its key and its value.
const HEADER_OVERHEAD_BYTES: usize = 16;

/// gRPC status: all is well.
pub(super) const OK: u16 = 0;
/// gRPC status: a message beyond the limit.
pub(super) const RESOURCE_EXHAUSTED: u16 = 8;
/// gRPC status: no such method.
pub(super) const UNIMPLEMENTED: u16 = 12;
/// gRPC status: bytes that are no message.
pub(super) const INTERNAL: u16 = 13;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const STATUS_TEXT: HeaderName = HeaderName::from_static("grpc-message");

/// The bytes of `message`.
pub(super) fn encode(message: &Message, body_bytes_max: usize) -> Result<Bytes> {
    check_size("send", message.body.len(), body_bytes_max)?;
    let header_bytes: usize =
        message.header.iter().map(|(name, value)| name.len() + value.len() + HEADER_OVERHEAD_BYTES).sum();
    if header_bytes > HEADER_BYTES_MAX {
        return Err(too_large("send", HEADER_BYTES_MAX).detail("headers"));
    }
    let message = wire::Message { header: message.header.clone(), body: message.body.clone() };
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).map_err(|_| too_large("send", body_bytes_max))?);
    message.encode(&mut bytes).map_err(|error| Error::new(ErrorKind::Internal, "send").caused_by(error))?;
    Ok(bytes.freeze())
}

/// Takes the first message out of `buffer`, once it is all there.
pub(super) fn decode(buffer: &mut BytesMut, body_bytes_max: usize) -> Result<Option<Message>> {
    let Some((prefix, _)) = buffer.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let [flag, length @ ..] = *prefix;
    if flag != 0 {
        return Err(Error::new(ErrorKind::InvalidMessage, "receive").detail("a compressed message"));
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > body_bytes_max.saturating_add(HEADER_BYTES_MAX) {
        return Err(too_large("receive", body_bytes_max).with("bytes", length.to_string()));
    }
    if buffer.len() < PREFIX_BYTES + length {
        return Ok(None);
    }
    buffer.advance(PREFIX_BYTES);
    let message = wire::Message::decode(buffer.split_to(length).freeze())
        .map_err(|error| Error::new(ErrorKind::InvalidMessage, "receive").caused_by(error))?;
    check_size("receive", message.body.len(), body_bytes_max)?;
    Ok(Some(Message { header: message.header, body: message.body }))
}

/// A gRPC status as headers.
pub(super) fn status_trailers(code: u16, text: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from(code));
    if let (false, Ok(text)) = (text.is_empty(), HeaderValue::from_str(&percent_encode(text))) {
        trailers.insert(STATUS_TEXT, text);
    }
    trailers
}

/// What the status in `headers` means; no status is none.
pub(super) fn check_status(headers: &HeaderMap) -> Result<()> {
    let Some(status) = headers.get(STATUS) else { return Ok(()) };
    if status.as_bytes() == b"0" {
        return Ok(());
    }
    let code = String::from_utf8_lossy(status.as_bytes());
    let text = headers.get(STATUS_TEXT).map(|value| percent_decode(value.as_bytes())).unwrap_or_default();
    let detail = format!("grpc status {code}: {text}");
    Err(Error::remote("receive", Status { detail, ..Status::default() }))
}

/// The text as `grpc-message` has it: visible ASCII, all else as `%` and two digits.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            b' '..=b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// What [`percent_encode`] was given; a `%` without two digits stands for itself.
pub(super) fn percent_decode(mut text: &[u8]) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut decoded = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        text = rest;
        decoded.push(*first);
        if let (b'%', [high, low, rest @ ..]) = (first, rest)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            text = rest;
            decoded.pop();
            decoded.push(high << 4 | low);
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
