//! Content types of gRPC and the codecs that they mean. go-micro: `defaultGRPCCodecs` of client and server.

use std::sync::Arc;

use bytes::Bytes;

use super::frame;
use crate::Result;
use crate::codec::{Codecs, Frame, Marshaler, Payload};

/// A codec as gRPC's content types name it.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    /// `application/grpc+<name>`.
    pub(crate) content_type: &'static str,
    /// Reads and writes bodies.
    pub(crate) codec: Arc<dyn Marshaler>,
}

/// What each content type (gRPC's or go-micro's) means: gRPC's own, and the codec. A frame is one in every codec: they pass it
/// on as it is.
const TYPES: [(&str, &str, &str); 8] = [
    ("application/grpc+proto", "application/grpc+proto", "protobuf"),
    ("application/protobuf", "application/grpc+proto", "protobuf"),
    ("application/grpc", "application/grpc+proto", "protobuf"),
    ("application/grpc+json", "application/grpc+json", "json"),
    ("application/json", "application/grpc+json", "json"),
    ("application/grpc+bytes", "application/grpc+bytes", "protobuf"),
    ("application/proto", "application/grpc+proto", "protobuf"),
    ("application/octet-stream", "application/grpc+proto", "protobuf"),
];

/// The content that `content_type` (gRPC's or go-micro's) means; `None` when there is no codec for it.
pub(crate) fn find(codecs: &Codecs, content_type: &str) -> Option<Content> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let (_, content_type, name) = TYPES.into_iter().find(|(known, ..)| known.eq_ignore_ascii_case(essence))?;
    Some(Content { content_type, codec: codecs.marshaler_by_name(name)?.clone() })
}

impl Content {
    /// `body` as a gRPC message, in one piece of memory.
    ///
    /// # Errors
    /// The codec's, and `TooLarge`.
    pub(crate) fn write(&self, body: &dyn Payload) -> Result<Bytes> {
        match body.as_frame() {
            Some(bytes) => frame::encode(bytes),
            None => frame::around(self.codec.marshal_behind(frame::PREFIX_BYTES, body)?),
        }
    }

    /// Reads the body `bytes` of a gRPC message into `message`; a [`Frame`] takes them as they are.
    ///
    /// # Errors
    /// The codec's.
    pub(crate) fn read(&self, bytes: Bytes, message: &mut dyn Payload) -> Result<()> {
        if let Some(frame) = message.as_any_mut().downcast_mut::<Frame>() {
            frame.0 = bytes;
            return Ok(());
        }
        self.codec.unmarshal(&bytes, message)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::find;
    use crate::codec::Codecs;
    use crate::codec::json::Json;
    use crate::codec::protobuf::Protobuf;

    #[test]
    fn a_content_type_is_known_in_any_case_and_with_parameters() {
        let codecs = Codecs::new(vec![Arc::new(Json), Arc::new(Protobuf)]);
        for (asked, content_type, name) in [
            ("application/GRPC; charset=utf-8", "application/grpc+proto", "protobuf"),
            ("application/octet-stream", "application/grpc+proto", "protobuf"),
            (" application/json ", "application/grpc+json", "json"),
            ("application/grpc+bytes", "application/grpc+bytes", "protobuf"),
        ] {
            let found = find(&codecs, asked).unwrap();
            assert_eq!((found.content_type, found.codec.name()), (content_type, name), "{asked}");
        }
        assert!(find(&codecs, "text/plain").is_none() && find(&Codecs::default(), "application/grpc").is_none());
    }
}
