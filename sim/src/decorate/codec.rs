//! Records what a codec could not encode or decode; what it could is in the trace as bytes.

use std::sync::Arc;

use shaketable_stack::Result;
use shaketable_stack::codec::{Carrier, Codec, CodecFactory, Marshaler, Message, MessageType, Payload};

use super::Scribe;
use crate::history::{Failure, Point};

/// A codec whose failures are recorded.
#[derive(Debug)]
pub struct RecordedCodec {
    inner: Arc<dyn CodecFactory>,
    scribe: Scribe,
}

impl RecordedCodec {
    /// Records the failures of `inner`.
    pub fn new(inner: Arc<dyn CodecFactory>, scribe: Scribe) -> Self {
        Self { inner, scribe }
    }
}

fn note<T>(scribe: &Scribe, codec: &str, result: Result<T>) -> Result<T> {
    result.inspect_err(|error| {
        scribe.point(None, Point::CodecFailed { codec: codec.to_owned(), failure: Failure::of(error) });
    })
}

impl CodecFactory for RecordedCodec {
    fn codec(&self, carrier: Box<dyn Carrier>) -> Box<dyn Codec> {
        Box::new(Noted { inner: self.inner.codec(carrier), scribe: self.scribe.clone() })
    }

    fn marshaler(&self) -> Arc<dyn Marshaler> {
        Arc::new(Noted { inner: self.inner.marshaler(), scribe: self.scribe.clone() })
    }

    fn content_types(&self) -> &'static [&'static str] {
        self.inner.content_types()
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

#[derive(Debug)]
struct Noted<T> {
    inner: T,
    scribe: Scribe,
}

impl Codec for Noted<Box<dyn Codec>> {
    fn read_header(&mut self, message: &mut Message, kind: MessageType) -> Result<()> {
        let result = self.inner.read_header(message, kind);
        note(&self.scribe, self.inner.name(), result)
    }

    fn read_body(&mut self, body: Option<&mut dyn Payload>) -> Result<()> {
        let result = self.inner.read_body(body);
        note(&self.scribe, self.inner.name(), result)
    }

    fn write(&mut self, message: &Message, body: Option<&dyn Payload>) -> Result<()> {
        let result = self.inner.write(message, body);
        note(&self.scribe, self.inner.name(), result)
    }

    fn close(&mut self) -> Result<()> {
        self.inner.close()
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

impl Marshaler for Noted<Arc<dyn Marshaler>> {
    fn marshal(&self, body: &dyn Payload) -> Result<Vec<u8>> {
        note(&self.scribe, self.inner.name(), self.inner.marshal(body))
    }

    fn unmarshal(&self, bytes: &[u8], body: &mut dyn Payload) -> Result<()> {
        note(&self.scribe, self.inner.name(), self.inner.unmarshal(bytes, body))
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}
