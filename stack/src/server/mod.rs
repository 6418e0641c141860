//! Server: receives requests and events and gives them to handlers; registers itself. Methods as in go-micro's
//! `server/server.go`. A handler is a value with named endpoints, so that it needs no reflection.

pub mod grpc;
mod handler;
mod options;
pub mod rpc;
mod shared;
pub mod table;
#[cfg(test)]
mod whole_tests;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::Result;
use crate::registry::Service as Record;

pub use handler::{
    Decode, Endpoint, EndpointKind, EventFunction, Handler, Reply, ServerStream, StreamFunction, Subscription,
    UnaryFunction,
};
pub use options::{RegisterCheck, ServerOptions, ServerParts};

/// Serves handlers and subscribers, and registers itself.
#[async_trait]
pub trait Server: Send + Sync + fmt::Debug {
    /// Replaces the options; name, address and parts are in force from the next `start`.
    fn init(&self, options: ServerOptions) -> Result<()>;

    /// The options in force.
    fn options(&self) -> ServerOptions;

    /// Adds a handler.
    ///
    /// # Errors
    /// `InvalidInput` when one of that name is there, or it has no endpoint.
    fn handle(&self, handler: Handler) -> Result<()>;

    /// Adds a subscriber; subscribed at `start`, or at once when the server runs.
    fn subscribe(&self, subscription: Subscription) -> Result<()>;

    /// Registers this server, or renews its registration; subscribes on the first call. Version and metadata are those that
    /// [`Server::init`] set last, so that a server which changes them while it runs calls this next.
    async fn register(&self) -> Result<()>;

    /// Deregisters this server and unsubscribes.
    async fn deregister(&self) -> Result<()>;

    /// Listens, connects the broker, registers and renews its registration until `stop`. A registration that fails is
    /// tried again at the next interval.
    ///
    /// # Errors
    /// When it cannot listen or the broker cannot connect.
    async fn start(&self) -> Result<()>;

    /// Deregisters, unsubscribes, waits for requests under way (at most `ServerOptions::drain_timeout`), stops listening
    /// and disconnects the broker. A second call does nothing.
    async fn stop(&self) -> Result<()>;

    /// The record that is registered: name, version, endpoints and this server's node. `None` before `start`.
    fn record(&self) -> Option<Record>;

    /// The id of this server's node. `None` before `start`. Cheaper than [`record`](Self::record).
    fn node_id(&self) -> Option<String> {
        self.record()?.nodes.into_iter().next().map(|node| node.id)
    }

    /// The plugin's name.
    fn name(&self) -> &'static str;
}

/// Sees every request before its handler, in the order in which wrappers were given. go-micro: `server.HandlerWrapper`.
pub type HandlerWrapper = Arc<dyn Fn(Handler) -> Handler + Send + Sync>;
