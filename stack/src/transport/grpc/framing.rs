//! gRPC's framing of go-micro's messages: a flag, a length, protobuf. Source:
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message as _;
use shaketable_proto::micro::transport::v1 as wire;

use super::super::Message;
use super::super::config::{HEADER_BYTES_MAX, check_size, too_large};
use crate::{Error, ErrorKind, Result};

/// The flag that says whether the message is compressed, and the length.
const PREFIX_BYTES: usize = 5;

/// The bytes of `message`.
pub(super) fn encode(message: &Message, body_bytes_max: usize) -> Result<Bytes> {
    check_size("send", message.body.len(), body_bytes_max)?;
    let body_bytes = message.body.len();
    let message = wire::Message { header: message.header.clone(), body: message.body.clone() };
    let length = message.encoded_len();
    check_size("send", length - body_bytes, HEADER_BYTES_MAX).map_err(|error| error.detail("headers"))?;
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
    check_size("receive", length, body_bytes_max.saturating_add(HEADER_BYTES_MAX))?;
    if buffer.len() < PREFIX_BYTES + length {
        return Ok(None);
    }
    buffer.advance(PREFIX_BYTES);
    let message = wire::Message::decode(buffer.split_to(length).freeze())
        .map_err(|error| Error::new(ErrorKind::InvalidMessage, "receive").caused_by(error))?;
    check_size("receive", message.body.len(), body_bytes_max)?;
    Ok(Some(Message { header: message.header, body: message.body }))
}
