//! What the gRPC client and the gRPC server share: framing, paths, content types, headers, statuses. It opens no
//! connection. Facts: go-micro's `client/grpc`, `server/grpc` and `util/grpc/grpc.go`; the gRPC specification
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

pub(crate) mod content;
pub mod frame;
pub(crate) mod headers;
pub(crate) mod path;
pub(crate) mod status;

/// Largest message, in bytes; go-micro's `DefaultMaxMsgSize`.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Flow-control window of one stream, in bytes: larger than HTTP/2's 64 KiB, so that a message seldom waits for a round
/// trip.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// Flow-control window of one connection, in bytes.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
