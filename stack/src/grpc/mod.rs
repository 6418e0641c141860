//! What the gRPC client and the gRPC server share: framing, paths, content types, headers, statuses. It opens no
//! connection. Facts: go-micro's `client/grpc`, `server/grpc` and `util/grpc/grpc.go`; the gRPC specification
//! (PROTOCOL-HTTP2.md).

/// Largest message, in bytes; go-micro's `DefaultMaxMsgSize`.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 << 20;
