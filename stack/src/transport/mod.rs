//! Transport: messages (headers and a body) between two ends. It knows nothing of requests, services or codecs.
//! Methods as in go-micro's `transport/transport.go`, with `accept` returning the next socket instead of calling back.

mod config;
mod connect;
#[cfg(test)]
mod contract;
mod gate;
pub mod grpc;
pub mod http;
mod inbox;
pub mod memory;
pub mod table;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;
use crate::metadata::Metadata;

/// What travels: headers and a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Headers; key case may change on the way (`http` title-cases, `grpc` and `memory` keep it).
    pub header: Metadata,
    /// The encoded body.
    pub body: Bytes,
}

/// How a transport is set up. go-micro: `transport.Options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportOptions {
    /// Addresses of the backend, for transports that have one.
    pub addresses: Vec<String>,
    /// Codec for carriers without headers of their own.
    pub codec: Option<String>,
    /// Encrypt. Not supported yet: `dial` and `listen` answer [`crate::ErrorKind::Unsupported`].
    pub secure: bool,
    /// Limit for one `send` or `recv`; none by default, as with go-micro's http, tcp and memory transports.
    pub timeout: Option<Duration>,
    /// Largest body that `send` and `recv` take, in bytes; 4 MiB, go-micro's `BuffSizeH2`.
    pub message_bytes_max: usize,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self { addresses: Vec::new(), codec: None, secure: false, timeout: None, message_bytes_max: 4 << 20 }
    }
}

/// How one connection is opened. go-micro: `transport.DialOptions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialOptions {
    /// The connection will carry a stream.
    pub stream: bool,
    /// Limit for opening; 5 s.
    pub timeout: Duration,
    /// Close after one exchange.
    pub connection_close: bool,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self { stream: false, timeout: Duration::from_secs(5), connection_close: false, insecure_skip_verify: false }
    }
}

/// How a listener is opened. go-micro: `transport.ListenOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenOptions {}

/// Opens connections and listens for them.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Replaces the options; those that are in use keep theirs.
    fn init(&self, options: TransportOptions) -> Result<()>;

    /// The options in force.
    fn options(&self) -> TransportOptions;

    /// Connects to a listener at `address` (`host:port`).
    ///
    /// # Errors
    /// `Unreachable` when nobody listens there, `Timeout` when nobody answers, `Unsupported` for `secure`.
    async fn dial(&self, address: &str, options: DialOptions) -> Result<Arc<dyn Socket>>;

    /// Listens at `address`; port 0 is a free one.
    async fn listen(&self, address: &str, options: ListenOptions) -> Result<Arc<dyn Listener>>;

    /// The plugin's name.
    fn name(&self) -> &'static str;
}

/// One end of a connection. `send` and `recv` may be used at the same time from several tasks.
#[async_trait]
pub trait Socket: Send + Sync + fmt::Debug {
    /// Waits for the next message.
    ///
    /// # Errors
    /// `EndOfStream` when the peer has closed in order, `Disconnected` when the connection broke, `Closed` after this
    /// end's [`close`](Self::close), also for a `recv` that was already waiting; `TooLarge`, `InvalidMessage`, `Timeout`.
    async fn recv(&self) -> Result<Message>;

    /// Sends a message.
    async fn send(&self, message: &Message) -> Result<()>;

    /// Closes both directions; the peer's `recv` ends. A second call does nothing.
    async fn close(&self) -> Result<()>;

    /// This end's address.
    fn local(&self) -> String;

    /// The other end's address.
    fn remote(&self) -> String;
}

/// Accepts connections.
#[async_trait]
pub trait Listener: Send + Sync + fmt::Debug {
    /// Where it listens, with the port that was chosen.
    fn address(&self) -> String;

    /// Waits for the next connection.
    ///
    /// # Errors
    /// `Closed` once the listener is closed.
    async fn accept(&self) -> Result<Arc<dyn Socket>>;

    /// Stops listening; a waiting `accept` ends, accepted sockets live on. A second call does nothing.
    async fn close(&self) -> Result<()>;
}
