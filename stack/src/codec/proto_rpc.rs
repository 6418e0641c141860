//! The codec `proto-rpc`: a request or a response is a header and a body, each protobuf with its length before it in four
//! bytes, any number of them a carrier; an event is its bare protobuf bytes, one a carrier. Wire as go-micro's
//! `codec/protorpc`.

use std::io::{self, Read};
use std::sync::Arc;

use prost::Message as _;

use super::carrier::{Open, failed};
use super::{Carrier, Codec, CodecFactory, Marshaler, Message, MessageType, Payload};
use crate::opaque::opaque;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "proto-rpc";

/// Makes `proto-rpc` codecs.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProtoRpc;

impl CodecFactory for ProtoRpc {
    fn codec(&self, carrier: Box<dyn Carrier>) -> Box<dyn Codec> {
        Box::new(ProtoRpcCodec { carrier: Open::new(carrier), kind: MessageType::Event })
    }

    fn marshaler(&self) -> Arc<dyn Marshaler> {
        Arc::new(Self)
    }

    fn content_types(&self) -> &'static [&'static str] {
        &["application/proto-rpc"]
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// A body alone has nothing before it.
impl Marshaler for ProtoRpc {
    fn marshal(&self, body: &dyn Payload) -> Result<Vec<u8>> {
        Ok(body.to_protobuf())
    }

    fn unmarshal(&self, bytes: &[u8], body: &mut dyn Payload) -> Result<()> {
        body.read_protobuf(bytes)
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// What comes before a body; a request's has no error. go-micro: `Request` and `Response` of `codec/protorpc/envelope.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(string, tag = "1")]
    service_method: String,
    #[prost(fixed64, tag = "2")]
    seq: u64,
    #[prost(string, tag = "3")]
    error: String,
}

/// Reads and writes messages on one carrier.
struct ProtoRpcCodec {
    carrier: Open,
    /// Of the header that was read last.
    kind: MessageType,
}

impl ProtoRpcCodec {
    /// Reads bytes that have their length before them; `None` at the carrier's end.
    fn read_delimited(&mut self, operation: &'static str) -> Result<Option<Vec<u8>>> {
        let carrier = self.carrier.get(operation)?;
        let length = read_up_to(carrier, 4, operation)?;
        if length.is_empty() {
            return Ok(None);
        }
        let length = length.try_into().map_err(|_| torn(operation))?;
        let length = u64::from(u32::from_be_bytes(length));
        let bytes = read_up_to(carrier, length, operation)?;
        if bytes.len() as u64 == length { Ok(Some(bytes)) } else { Err(torn(operation)) }
    }
}

/// Up to so many bytes, fewer where the carrier ends. There is room for what has come, whatever a peer says that there will be.
fn read_up_to(carrier: &mut dyn Carrier, length: u64, operation: &'static str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    carrier.take(length).read_to_end(&mut bytes).map_err(|error| failed(operation, error))?;
    Ok(bytes)
}

fn torn(operation: &'static str) -> Error {
    Error::new(ErrorKind::InvalidMessage, operation).detail("the input ends inside a message")
}

impl Codec for ProtoRpcCodec {
    fn read_header(&mut self, message: &mut Message, kind: MessageType) -> Result<()> {
        const OPERATION: &str = "read header";
        self.carrier.get(OPERATION)?;
        self.kind = kind;
        if kind == MessageType::Event {
            return Ok(());
        }
        let bytes = self.read_delimited(OPERATION)?.ok_or_else(|| Error::new(ErrorKind::EndOfStream, OPERATION))?;
        let header = Header::decode(&*bytes)
            .map_err(|error| Error::new(ErrorKind::InvalidMessage, OPERATION).caused_by(error))?;
        // What it does not say stays as the transport's headers have it. No number stands for an id that is none.
        if !header.service_method.is_empty() {
            message.method = header.service_method;
        }
        if header.seq != 0 {
            message.id = header.seq.to_string();
        }
        if !header.error.is_empty() && kind != MessageType::Request {
            message.error = header.error;
        }
        Ok(())
    }

    fn read_body(&mut self, body: Option<&mut dyn Payload>) -> Result<()> {
        const OPERATION: &str = "read body";
        let bytes = if self.kind == MessageType::Event {
            let carrier = self.carrier.get(OPERATION)?;
            match body {
                Some(_) => read_up_to(carrier, u64::MAX, OPERATION)?,
                None => return io::copy(carrier, &mut io::sink()).map(drop).map_err(|error| failed(OPERATION, error)),
            }
        } else {
            self.read_delimited(OPERATION)?.ok_or_else(|| torn(OPERATION))?
        };
        body.map_or(Ok(()), |body| body.read_protobuf(&bytes))
    }

    fn write(&mut self, message: &Message, body: Option<&dyn Payload>) -> Result<()> {
        const OPERATION: &str = "write message";
        self.carrier.get(OPERATION)?;
        let body = body.map(Payload::to_protobuf);
        if message.kind == MessageType::Event {
            return body.map_or(Ok(()), |body| self.carrier.write(&body));
        }
        let header = Header {
            service_method: message.method.clone(),
            seq: message.id.parse().unwrap_or_default(),
            error: if message.kind == MessageType::Request { String::new() } else { message.error.clone() },
        };
        let body = body.unwrap_or_default();
        let header_length = header.encoded_len();
        let mut bytes = Vec::with_capacity(8 + header_length + body.len());
        bytes.extend(length_of(header_length)?);
        header.encode_raw(&mut bytes);
        bytes.extend(length_of(body.len())?);
        bytes.extend(body);
        self.carrier.write(&bytes)
    }

    fn close(&mut self) -> Result<()> {
        self.carrier.close();
        Ok(())
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// Most significant byte first.
fn length_of(length: usize) -> Result<[u8; 4]> {
    let length = u32::try_from(length).map_err(|_| Error::new(ErrorKind::TooLarge, "write message"))?;
    Ok(length.to_be_bytes())
}

opaque!(ProtoRpcCodec);
