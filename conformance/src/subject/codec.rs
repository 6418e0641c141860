//! A codec behind an adapter. Bodies travel to it as JSON texts; what it writes and reads are its own bytes.

use std::sync::Arc;

use shaketable_proto::subject::v1::codec_client::CodecClient;
use shaketable_proto::subject::v1::{self as wire};
use shaketable_stack::codec::{Carrier, Codec, CodecFactory, Marshaler, Message, MessageType, Payload};
use shaketable_stack::env::Env;
use shaketable_stack::plugin::Settings;
use shaketable_stack::{Error, ErrorKind, Result};

use super::adapter::{Adapter, client};
use super::{SubjectCommand, adapter, open_request};

/// Opens an instance.
pub(super) async fn open(
    env: Env,
    command: SubjectCommand,
    settings: Settings,
    content_types: &'static [&'static str],
) -> Result<Arc<dyn CodecFactory>> {
    let adapter = adapter(&env, &command)?;
    let request = open_request(&env, settings)?;
    let mut client = client!(CodecClient, adapter);
    let instance = adapter.call("open", async move { client.open(request).await }).await?.id;
    Ok(Arc::new(SubjectCodecs { instance: Instance { adapter, instance }, content_types }))
}

#[derive(Clone, Debug)]
struct Instance {
    adapter: Arc<Adapter>,
    instance: u64,
}

impl Instance {
    fn write(&self, message: &Message, body: Option<&dyn Payload>) -> Result<Vec<u8>> {
        let body = match body {
            None => None,
            Some(body) => Some(String::from_utf8(body.to_json()?).map_err(|error| {
                Error::new(ErrorKind::InvalidInput, "encode").detail("a body that is no text").caused_by(error)
            })?),
        };
        let message = wire::CodecMessage {
            id: message.id.clone(),
            kind: message.kind as i32,
            target: message.target.clone(),
            method: message.method.clone(),
            endpoint: message.endpoint.clone(),
            error: message.error.clone(),
            header: message.header.clone(),
        };
        let mut client = client!(CodecClient, self.adapter);
        let request = wire::WriteRequest { instance: self.instance, message: Some(message), body };
        let written = self.adapter.call_now("encode", async move { client.write(request).await })?;
        Ok(written.bytes.to_vec())
    }

    fn read(&self, bytes: Vec<u8>, kind: MessageType) -> Result<(wire::CodecMessage, String)> {
        let mut client = client!(CodecClient, self.adapter);
        let request = wire::ReadRequest { instance: self.instance, bytes: bytes.into(), kind: kind as i32 };
        let read = self.adapter.call_now("decode", async move { client.read(request).await })?;
        Ok((read.message.unwrap_or_default(), read.body))
    }
}

#[derive(Debug)]
struct SubjectCodecs {
    instance: Instance,
    content_types: &'static [&'static str],
}

impl CodecFactory for SubjectCodecs {
    fn codec(&self, carrier: Box<dyn Carrier>) -> Box<dyn Codec> {
        Box::new(SubjectCodec { instance: self.instance.clone(), carrier: Some(carrier), read: None })
    }

    fn marshaler(&self) -> Arc<dyn Marshaler> {
        Arc::new(self.instance.clone())
    }

    fn content_types(&self) -> &'static [&'static str] {
        self.content_types
    }

    fn name(&self) -> &'static str {
        super::PLUGIN
    }
}

impl Marshaler for Instance {
    fn marshal(&self, body: &dyn Payload) -> Result<Vec<u8>> {
        self.write(&Message { kind: MessageType::Event, ..Message::default() }, Some(body))
    }

    fn unmarshal(&self, bytes: &[u8], body: &mut dyn Payload) -> Result<()> {
        let (_, read) = self.read(bytes.to_vec(), MessageType::Event)?;
        body.read_json(read.as_bytes())
    }

    fn name(&self) -> &'static str {
        super::PLUGIN
    }
}

/// Reads everything that the carrier has when a header is asked for: an adapter sees whole messages.
struct SubjectCodec {
    instance: Instance,
    carrier: Option<Box<dyn Carrier>>,
    read: Option<String>,
}

impl std::fmt::Debug for SubjectCodec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SubjectCodec").finish_non_exhaustive()
    }
}

impl Codec for SubjectCodec {
    fn read_header(&mut self, message: &mut Message, kind: MessageType) -> Result<()> {
        let carrier = self.carrier.as_mut().ok_or_else(|| Error::new(ErrorKind::Closed, "decode"))?;
        let mut bytes = Vec::new();
        carrier
            .read_to_end(&mut bytes)
            .map_err(|error| Error::new(ErrorKind::Disconnected, "decode").caused_by(error))?;
        let (header, body) = self.instance.read(bytes, kind)?;
        message.kind = kind;
        for (field, value) in [
            (&mut message.id, header.id),
            (&mut message.target, header.target),
            (&mut message.method, header.method),
            (&mut message.endpoint, header.endpoint),
            (&mut message.error, header.error),
        ] {
            if !value.is_empty() {
                *field = value;
            }
        }
        message.header.extend(header.header);
        self.read = Some(body);
        Ok(())
    }

    fn read_body(&mut self, body: Option<&mut dyn Payload>) -> Result<()> {
        let read = self.read.take().unwrap_or_default();
        body.map_or(Ok(()), |body| body.read_json(read.as_bytes()))
    }

    fn write(&mut self, message: &Message, body: Option<&dyn Payload>) -> Result<()> {
        let carrier = self.carrier.as_mut().ok_or_else(|| Error::new(ErrorKind::Closed, "encode"))?;
        let bytes = self.instance.write(message, body)?;
        carrier.write_all(&bytes).map_err(|error| Error::new(ErrorKind::Disconnected, "encode").caused_by(error))
    }

    fn close(&mut self) -> Result<()> {
        self.carrier = None;
        Ok(())
    }

    fn name(&self) -> &'static str {
        super::PLUGIN
    }
}
