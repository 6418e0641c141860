//! Content types of gRPC and the codecs that they mean. go-micro: `defaultGRPCCodecs` of client and server.

use std::sync::Arc;

use crate::codec::{CodecFactory, Codecs};

/// A codec as gRPC's content types name it.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    /// `application/grpc+<name>`.
    pub(crate) content_type: &'static str,
    /// Reads and writes bodies.
    pub(crate) codec: Arc<dyn CodecFactory>,
}

/// The content that `content_type` (gRPC's or go-micro's) means; `None` when there is no codec for it.
pub(crate) fn find(codecs: &Codecs, content_type: &str) -> Option<Content> {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (content_type, name) = match essence.as_str() {
        "application/json" | "application/grpc+json" => ("application/grpc+json", "json"),
        "application/proto"
        | "application/protobuf"
        | "application/octet-stream"
        | "application/grpc"
        | "application/grpc+proto" => ("application/grpc+proto", "protobuf"),
        // Bodies are frames then, which every codec passes on as they are.
        "application/grpc+bytes" => ("application/grpc+bytes", "protobuf"),
        _ => return None,
    };
    Some(Content { content_type, codec: codecs.by_name(name)?.clone() })
}
