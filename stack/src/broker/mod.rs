//! Broker: events to everyone who subscribed. It knows nothing of services' endpoints. Methods as in go-micro's
//! `broker/broker.go`. Queue groups are always honoured; acknowledgement is automatic by default.

mod delivery;
pub mod http;
mod inbox;
pub mod memory;
pub mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::metadata::Metadata;
use crate::registry::Registry;
use crate::{Error, Result};

/// What is published. go-micro: `broker.Message`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Headers.
    pub header: Metadata,
    /// The encoded body.
    pub body: Bytes,
}

/// How a broker is set up. go-micro: `broker.Options`.
#[derive(Clone, Debug, Default)]
pub struct BrokerOptions {
    /// Addresses of the backend, or where an http broker listens.
    pub addresses: Vec<String>,
    /// Encrypt. Not supported yet: `connect` answers [`crate::ErrorKind::Unsupported`].
    pub secure: bool,
    /// Called when a handler fails.
    pub error_handler: Option<Arc<dyn ErrorHandler>>,
    /// Where an http broker's subscribers are found.
    pub registry: Option<Arc<dyn Registry>>,
}

/// How one message is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {}

/// How a topic is subscribed to. go-micro: `broker.SubscribeOptions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Acknowledge when the handler has returned without an error; true by default.
    pub auto_ack: bool,
    /// Subscribers of one queue share the messages; without a queue each gets all of them.
    pub queue: Option<String>,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self { auto_ack: true, queue: None }
    }
}

/// Publishes and subscribes.
#[async_trait]
pub trait Broker: Send + Sync + fmt::Debug {
    /// Replaces the options; in force from the next `connect`.
    fn init(&self, options: BrokerOptions) -> Result<()>;

    /// The options in force.
    fn options(&self) -> BrokerOptions;

    /// Where this broker can be reached; empty before `connect`.
    fn address(&self) -> String;

    /// Connects. A second call does nothing; it works again after `disconnect`.
    async fn connect(&self) -> Result<()>;

    /// Ends all subscriptions and disconnects. A second call does nothing.
    async fn disconnect(&self) -> Result<()>;

    /// Publishes `message` to `topic`. Nobody listening is no error.
    ///
    /// # Errors
    /// `NotConnected` before `connect`.
    async fn publish(&self, topic: &str, message: &Message, options: PublishOptions) -> Result<()>;

    /// Calls `handler` for each message of `topic` that is published after this returns.
    ///
    /// # Errors
    /// `NotConnected` before `connect`.
    async fn subscribe(
        &self,
        topic: &str,
        handler: Arc<dyn Handler>,
        options: SubscribeOptions,
    ) -> Result<Arc<dyn Subscriber>>;

    /// The plugin's name.
    fn name(&self) -> &'static str;
}

/// Receives messages.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Handles one message. An error means that it is not acknowledged.
    async fn handle(&self, event: Event) -> Result<()>;
}

/// Is told of handlers that failed.
pub trait ErrorHandler: Send + Sync + fmt::Debug {
    /// `error` is what the handler of `topic` returned for `message`.
    fn failed(&self, topic: &str, message: &Message, error: &Error);
}

/// One delivery. go-micro: `broker.Event`.
#[derive(Clone, Debug)]
pub struct Event {
    /// The topic.
    pub topic: Arc<str>,
    /// The message, which other subscribers may have, too.
    pub message: Arc<Message>,
    /// Acknowledges this delivery; none where the broker knows no acknowledgement.
    pub acknowledgement: Option<Arc<dyn Acknowledge>>,
}

impl Event {
    /// Acknowledges: the broker will not deliver this again. A second call does nothing.
    pub async fn ack(&self) -> Result<()> {
        match &self.acknowledgement {
            Some(acknowledgement) => acknowledgement.acknowledge().await,
            None => Ok(()),
        }
    }
}

/// What stands behind [`Event::ack`].
#[async_trait]
pub trait Acknowledge: Send + Sync + fmt::Debug {
    /// Acknowledges the delivery.
    async fn acknowledge(&self) -> Result<()>;
}

/// A subscription. Dropping it does not end it, as in go-micro; `unsubscribe` or the broker's `disconnect` does.
#[async_trait]
pub trait Subscriber: Send + Sync + fmt::Debug {
    /// The options that it was made with.
    fn options(&self) -> SubscribeOptions;

    /// The topic.
    fn topic(&self) -> &str;

    /// Ends the subscription: after this returns no further delivery begins. A second call does nothing.
    async fn unsubscribe(&self) -> Result<()>;
}
