//! The codec `json`: a body is one JSON value and a line feed, any number of them a carrier, read one at a time. Wire as
//! go-micro's `codec/json`; messages look as protobuf's JSON mapping wants them.

mod scan;

use std::io::ErrorKind as ErrorKindIo;
use std::sync::Arc;

use super::carrier::{Open, failed};
use super::{Carrier, Codec, CodecFactory, Marshaler, Message, MessageType, Payload};
use crate::opaque::opaque;
use crate::{Error, ErrorKind, Result};
use scan::Scanner;

const NAME: &str = "json";

/// How much is read from the carrier at once, in bytes.
const READ_BYTES: usize = 8 << 10;

/// Makes `json` codecs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl CodecFactory for Json {
    fn codec(&self, carrier: Box<dyn Carrier>) -> Box<dyn Codec> {
        Box::new(JsonCodec { carrier: Open::new(carrier), buffer: Vec::new() })
    }

    fn marshaler(&self) -> Arc<dyn Marshaler> {
        Arc::new(Self)
    }

    fn content_types(&self) -> &'static [&'static str] {
        &["application/json"]
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

impl Marshaler for Json {
    fn marshal(&self, body: &dyn Payload) -> Result<Vec<u8>> {
        body.to_json()
    }

    fn unmarshal(&self, bytes: &[u8], body: &mut dyn Payload) -> Result<()> {
        body.read_json(bytes)
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// Reads and writes bodies on one carrier. A [`Frame`](super::Frame) is not JSON to it: it is written without the line
/// feed, and reading into one takes all that is left.
struct JsonCodec {
    carrier: Open,
    /// Read from the carrier, but not yet taken.
    buffer: Vec<u8>,
}

impl JsonCodec {
    /// Reads some more; says whether there was anything.
    fn fill(&mut self) -> Result<bool> {
        let carrier = self.carrier.get("read body")?;
        let start = self.buffer.len();
        self.buffer.resize(start + READ_BYTES, 0);
        let read = loop {
            match carrier.read(&mut self.buffer[start..]) {
                Err(error) if error.kind() == ErrorKindIo::Interrupted => {}
                read => break read,
            }
        };
        // What came before a failure is kept, so that it can still be read.
        self.buffer.truncate(start + read.as_ref().copied().unwrap_or_default());
        read.map_err(|error| failed("read body", error))?;
        Ok(self.buffer.len() > start)
    }

    /// Takes the next value's text; `None` at the carrier's end.
    fn next_value(&mut self) -> Result<Option<Vec<u8>>> {
        let mut scanner = Scanner::default();
        loop {
            if let Some(end) = scanner.find_end(&self.buffer) {
                let rest = self.buffer.split_off(end);
                return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
            }
            if self.fill()? {
                continue;
            }
            let text = std::mem::take(&mut self.buffer);
            return match scanner.at_end_of_input() {
                scan::Ending::Nothing => Ok(None),
                scan::Ending::Value => Ok(Some(text)),
                scan::Ending::Inside => {
                    Err(Error::new(ErrorKind::InvalidMessage, "decode json").detail("the input ends inside a value"))
                }
            };
        }
    }
}

impl Codec for JsonCodec {
    fn read_header(&mut self, _message: &mut Message, _kind: MessageType) -> Result<()> {
        self.carrier.get("read header").map(|_| ())
    }

    fn read_body(&mut self, body: Option<&mut dyn Payload>) -> Result<()> {
        self.carrier.get("read body")?;
        match body {
            Some(body) if body.as_frame().is_some() => {
                while self.fill()? {}
                body.read_json(&std::mem::take(&mut self.buffer))
            }
            Some(body) => match self.next_value()? {
                Some(text) => body.read_json(&text),
                None => Err(Error::new(ErrorKind::EndOfStream, "read body")),
            },
            // A response without a body has nothing to drop.
            None => self.next_value().map(|_| ()),
        }
    }

    fn write(&mut self, _message: &Message, body: Option<&dyn Payload>) -> Result<()> {
        self.carrier.get("write message")?;
        let Some(body) = body else { return Ok(()) };
        if let Some(frame) = body.as_frame() {
            return self.carrier.write(frame);
        }
        let mut text = body.to_json()?;
        text.push(b'\n');
        self.carrier.write(&text)
    }

    fn close(&mut self) -> Result<()> {
        self.carrier.close();
        self.buffer = Vec::new();
        Ok(())
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

opaque!(JsonCodec);
