//! Codec: messages and bodies to bytes and back. It knows nothing of connections. Methods as in go-micro's
//! `codec/codec.go`; bodies are [`Payload`]s, so that one codec value serves every type behind `dyn`.

mod carrier;
pub mod json;
mod payload;
pub mod proto_rpc;
pub mod protobuf;
pub mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::Result;
use crate::metadata::Metadata;

pub use payload::{Frame, Payload};

/// What kind of message it is. go-micro: `codec.MessageType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageType {
    /// A failure.
    Error = 0,
    /// A request.
    #[default]
    Request = 1,
    /// The answer to a request.
    Response = 2,
    /// An event of a broker.
    Event = 3,
}

/// What a codec reads and writes beside the body. go-micro: `codec.Message`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Request id, echoed by the response.
    pub id: String,
    /// What kind of message it is.
    pub kind: MessageType,
    /// Target service.
    pub target: String,
    /// `Type.Method`; the same as `endpoint`.
    pub method: String,
    /// `Type.Method`.
    pub endpoint: String,
    /// Error text of a response.
    pub error: String,
    /// Headers.
    pub header: Metadata,
}

/// Carries a codec's bytes; a buffer or a connection.
pub trait Carrier: io::Read + io::Write + Send {}

impl<T: io::Read + io::Write + Send> Carrier for T {}

/// Reads and writes messages on one carrier. `read_header` and `read_body` come in pairs.
pub trait Codec: Send + fmt::Debug {
    /// Reads what comes before the body into `message`; a codec without headers leaves it as it is.
    fn read_header(&mut self, message: &mut Message, kind: MessageType) -> Result<()>;

    /// Reads the body; `None` consumes and drops it.
    fn read_body(&mut self, body: Option<&mut dyn Payload>) -> Result<()>;

    /// Writes a message; without a body only what comes before it.
    fn write(&mut self, message: &Message, body: Option<&dyn Payload>) -> Result<()>;

    /// Releases the carrier. A second call does nothing; use after it is an error of kind `Closed`.
    fn close(&mut self) -> Result<()>;

    /// The codec's name.
    fn name(&self) -> &'static str;
}

/// Encodes and decodes bodies alone, for brokers and carriers without headers. go-micro: `codec.Marshaler`.
pub trait Marshaler: Send + Sync + fmt::Debug {
    /// Encodes `body`.
    fn marshal(&self, body: &dyn Payload) -> Result<Vec<u8>>;

    /// Encodes `body` behind `free` bytes of zero, where a carrier puts what comes before a body: in one piece of memory where
    /// the codec can do that.
    fn marshal_behind(&self, free: usize, body: &dyn Payload) -> Result<Vec<u8>> {
        self.marshal(body).map(|bytes| payload::behind(free, &bytes))
    }

    /// Decodes `bytes` into `body`, replacing what is there.
    fn unmarshal(&self, bytes: &[u8], body: &mut dyn Payload) -> Result<()>;

    /// The codec's name.
    fn name(&self) -> &'static str;
}

/// A codec plugin's value: makes codecs and marshals, and says which content types are its own.
pub trait CodecFactory: Send + Sync + fmt::Debug {
    /// A codec on `carrier`.
    fn codec(&self, carrier: Box<dyn Carrier>) -> Box<dyn Codec>;

    /// The codec without a carrier.
    fn marshaler(&self) -> Arc<dyn Marshaler>;

    /// Content types that mean this codec, the one that clients send first.
    fn content_types(&self) -> &'static [&'static str];

    /// The codec's name.
    fn name(&self) -> &'static str;
}

/// Finds codecs by content type; clients and servers carry one. go-micro: `DefaultCodecs` of client and server.
#[derive(Clone, Debug, Default)]
pub struct Codecs {
    known: Vec<Known>,
}

/// A codec with its marshaler, which is made once and not for every message.
#[derive(Clone, Debug)]
struct Known {
    factory: Arc<dyn CodecFactory>,
    marshaler: Arc<dyn Marshaler>,
}

impl Codecs {
    /// The codecs in `factories`; where two claim one content type, the first has it.
    pub fn new(factories: Vec<Arc<dyn CodecFactory>>) -> Self {
        let known = |factory: Arc<dyn CodecFactory>| Known { marshaler: factory.marshaler(), factory };
        Self { known: factories.into_iter().map(known).collect() }
    }

    /// The codec for `content_type`, parameters such as `; charset=utf-8` left aside.
    pub fn by_content_type(&self, content_type: &str) -> Option<&Arc<dyn CodecFactory>> {
        self.known_by_content_type(content_type).map(|known| &known.factory)
    }

    /// The marshaler of [`by_content_type`](Self::by_content_type), the same one every time.
    pub fn marshaler_by_content_type(&self, content_type: &str) -> Option<&Arc<dyn Marshaler>> {
        self.known_by_content_type(content_type).map(|known| &known.marshaler)
    }

    /// The marshaler of the codec called `name`, the same one every time.
    pub fn marshaler_by_name(&self, name: &str) -> Option<&Arc<dyn Marshaler>> {
        self.known.iter().find(|known| known.factory.name() == name).map(|known| &known.marshaler)
    }

    fn known_by_content_type(&self, content_type: &str) -> Option<&Known> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let is_own = |known: &&Known| known.factory.content_types().iter().any(|own| own.eq_ignore_ascii_case(essence));
        self.known.iter().find(is_own)
    }
}
