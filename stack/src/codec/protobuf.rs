//! The codec `protobuf`: a body is its bare protobuf bytes, one message a carrier, because nothing marks where a message
//! ends. Wire as go-micro's `codec/proto`; unlike there, what `marshal` returns is the caller's own memory.

use std::io;
use std::sync::Arc;

use super::carrier::{Open, failed};
use super::{Carrier, Codec, CodecFactory, Marshaler, Message, MessageType, Payload};
use crate::opaque::opaque;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "protobuf";

/// Makes `protobuf` codecs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Protobuf;

impl CodecFactory for Protobuf {
    fn codec(&self, carrier: Box<dyn Carrier>) -> Box<dyn Codec> {
        Box::new(ProtobufCodec { carrier: Open::new(carrier) })
    }

    fn marshaler(&self) -> Arc<dyn Marshaler> {
        Arc::new(Self)
    }

    fn content_types(&self) -> &'static [&'static str] {
        &["application/protobuf", "application/proto"]
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

impl Marshaler for Protobuf {
    fn marshal(&self, body: &dyn Payload) -> Result<Vec<u8>> {
        Ok(body.to_protobuf())
    }

    fn marshal_behind(&self, free: usize, body: &dyn Payload) -> Result<Vec<u8>> {
        Ok(body.to_protobuf_behind(free))
    }

    fn unmarshal(&self, bytes: &[u8], body: &mut dyn Payload) -> Result<()> {
        body.read_protobuf(bytes)
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// Reads and writes bodies on one carrier. A body is everything up to the carrier's end, and no bytes are a valid body:
/// the message whose fields all have their defaults.
struct ProtobufCodec {
    carrier: Open,
}

impl Codec for ProtobufCodec {
    fn read_header(&mut self, _message: &mut Message, _kind: MessageType) -> Result<()> {
        self.carrier.get("read header").map(|_| ())
    }

    fn read_body(&mut self, body: Option<&mut dyn Payload>) -> Result<()> {
        let carrier = self.carrier.get("read body")?;
        let Some(body) = body else {
            return io::copy(carrier, &mut io::sink()).map(|_| ()).map_err(|error| failed("read body", error));
        };
        let mut bytes = Vec::new();
        carrier.read_to_end(&mut bytes).map_err(|error| failed("read body", error))?;
        body.read_protobuf(&bytes)
    }

    fn write(&mut self, _message: &Message, body: Option<&dyn Payload>) -> Result<()> {
        match body {
            Some(body) => self.carrier.write(&body.to_protobuf()),
            None if self.carrier.is_closed() => Err(Error::new(ErrorKind::Closed, "write message")),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> Result<()> {
        self.carrier.close();
        Ok(())
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

opaque!(ProtobufCodec);
