//! Client: calls and streams to services by name, and events. It puts selector, transport, codec and broker together.
//! Methods as in go-micro's `client/client.go`. `retries` counts extra attempts; nothing is retried once a handler may
//! have run, unless the request is marked idempotent; the remaining deadline travels with the request.

mod attempts;
mod context;
mod core;
pub mod grpc;
mod headers;
mod options;
pub mod rpc;
pub mod table;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::codec::Payload;
use crate::registry::Node;
use crate::{Error, Result};

pub use context::Context;
pub use options::{
    Backoff, CallOptions, ClientOptions, ClientParts, MessageOptions, PublishOptions, RequestOptions, RetryDecision,
};

/// A request. go-micro: `client.Request`.
#[derive(Clone, Debug)]
pub struct Request {
    /// Name of the service.
    pub service: String,
    /// `Type.Method`.
    pub endpoint: String,
    /// The body.
    pub body: Arc<dyn Payload>,
    /// Picks the codec.
    pub content_type: String,
    /// The request opens a stream.
    pub stream: bool,
    /// Running the handler twice does no harm: the request may be retried after a handler may have run.
    pub idempotent: bool,
}

/// An event to publish. go-micro: `client.Message`.
#[derive(Clone, Debug)]
pub struct Message {
    /// The topic.
    pub topic: String,
    /// The body.
    pub body: Arc<dyn Payload>,
    /// Picks the codec.
    pub content_type: String,
}

/// Calls services and publishes events.
#[async_trait]
pub trait Client: Send + Sync + fmt::Debug {
    /// Replaces the options; calls that are under way keep theirs.
    fn init(&self, options: ClientOptions) -> Result<()>;

    /// The options in force.
    fn options(&self) -> ClientOptions;

    /// An event for `topic`, with the client's content type unless the options name one.
    fn new_message(&self, topic: &str, body: Arc<dyn Payload>, options: MessageOptions) -> Message;

    /// A request to `endpoint` (`Type.Method`) of `service`, with the client's content type unless the options name one.
    fn new_request(&self, service: &str, endpoint: &str, body: Arc<dyn Payload>, options: RequestOptions) -> Request;

    /// Calls and waits for the response.
    ///
    /// # Errors
    /// `NotFound`, `NoneAvailable`, `Unreachable`, `Timeout` (the error names the deadline), `Disconnected`, or `Remote`
    /// with what the handler said.
    async fn call(
        &self,
        context: &Context,
        request: &Request,
        response: &mut dyn Payload,
        options: CallOptions,
    ) -> Result<()>;

    /// Opens a stream. The request's body is sent as its first message.
    async fn stream(&self, context: &Context, request: &Request, options: CallOptions)
    -> Result<Box<dyn ClientStream>>;

    /// Publishes an event through the broker, connecting it first where needed.
    async fn publish(&self, context: &Context, message: &Message, options: PublishOptions) -> Result<()>;

    /// Releases pooled connections.
    async fn close(&self) -> Result<()>;

    /// The plugin's name.
    fn name(&self) -> &'static str;
}

/// Messages both ways. `send` and `recv` may be used at the same time. go-micro: `client.Stream`.
#[async_trait]
pub trait ClientStream: Send + Sync + fmt::Debug {
    /// The context that it was opened with.
    fn context(&self) -> &Context;

    /// The request that opened it.
    fn request(&self) -> &Request;

    /// The node at the other end.
    fn node(&self) -> &Node;

    /// Sends a message.
    async fn send(&self, message: &dyn Payload) -> Result<()>;

    /// Waits for a message.
    ///
    /// # Errors
    /// `EndOfStream` when the handler has returned without an error, `Remote` with what it returned.
    async fn recv(&self, message: &mut dyn Payload) -> Result<()>;

    /// Says that nothing more will be sent; receiving goes on.
    async fn close_send(&self) -> Result<()>;

    /// Closes both directions; later `send` and `recv` answer `Closed`. A second call does nothing.
    async fn close(&self) -> Result<()>;
}

/// Called around every attempt of every call; for tests and for decorators that need the node.
pub trait CallObserver: Send + Sync + fmt::Debug {
    /// Attempt `attempt` (0 is the first) of `request` goes to `node`.
    fn attempt(&self, context: &Context, request: &Request, node: &Node, attempt: u32);

    /// The attempt has ended.
    fn attempt_ended(
        &self,
        context: &Context,
        request: &Request,
        node: &Node,
        attempt: u32,
        result: Result<(), &Error>,
    );
}
