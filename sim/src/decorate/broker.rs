//! Records what is published and what is delivered to whom.

use std::sync::Arc;

use async_trait::async_trait;
use shaketable_stack::Result;
use shaketable_stack::broker::{
    Broker, BrokerOptions, Event, Handler, Message, PublishOptions, SubscribeOptions, Subscriber,
};
use shaketable_stack::metadata::names;

use super::{Scribe, cause_of, done};
use crate::history::{Operation, OperationId, with_cause};

/// A broker whose operations are recorded.
#[derive(Debug)]
pub struct RecordedBroker {
    inner: Arc<dyn Broker>,
    scribe: Scribe,
}

impl RecordedBroker {
    /// Records what `inner` is asked.
    pub fn new(inner: Arc<dyn Broker>, scribe: Scribe) -> Self {
        Self { inner, scribe }
    }
}

#[async_trait]
impl Broker for RecordedBroker {
    fn init(&self, options: BrokerOptions) -> Result<()> {
        self.inner.init(options)
    }

    fn options(&self) -> BrokerOptions {
        self.inner.options()
    }

    fn address(&self) -> String {
        self.inner.address()
    }

    async fn connect(&self) -> Result<()> {
        self.scribe.around(Operation::Connect, done, self.inner.connect()).await
    }

    async fn disconnect(&self) -> Result<()> {
        self.scribe.around(Operation::Disconnect, done, self.inner.disconnect()).await
    }

    async fn publish(&self, topic: &str, message: &Message, options: PublishOptions) -> Result<()> {
        let operation = Operation::Publish { topic: topic.to_owned(), bytes: message.body.len() as u64 };
        let id = self.scribe.begin(operation);
        let mut message = message.clone();
        message.header.insert(names::SPAN_ID.to_owned(), id.0.to_string());
        self.scribe.finish(id, done, with_cause(Some(id), self.inner.publish(topic, &message, options))).await
    }

    async fn subscribe(
        &self,
        topic: &str,
        handler: Arc<dyn Handler>,
        options: SubscribeOptions,
    ) -> Result<Arc<dyn Subscriber>> {
        let id = self.scribe.begin(Operation::Subscribe { topic: topic.to_owned(), queue: options.queue.clone() });
        let handler = Arc::new(RecordedHandler { inner: handler, scribe: self.scribe.clone(), subscription: id });
        let work = with_cause(Some(id), self.inner.subscribe(topic, handler, options));
        let inner = self.scribe.finish(id, done, work).await?;
        Ok(Arc::new(RecordedSubscriber { inner, scribe: self.scribe.clone(), subscription: id }))
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

struct RecordedHandler {
    inner: Arc<dyn Handler>,
    scribe: Scribe,
    subscription: OperationId,
}

#[async_trait]
impl Handler for RecordedHandler {
    async fn handle(&self, event: Event) -> Result<()> {
        let operation = Operation::Deliver { subscription: self.subscription, topic: event.topic.to_string() };
        let id = self.scribe.begin_for(cause_of(&event.message.header), operation);
        self.scribe.finish(id, done, with_cause(Some(id), self.inner.handle(event))).await
    }
}

#[derive(Debug)]
struct RecordedSubscriber {
    inner: Arc<dyn Subscriber>,
    scribe: Scribe,
    subscription: OperationId,
}

#[async_trait]
impl Subscriber for RecordedSubscriber {
    fn options(&self) -> SubscribeOptions {
        self.inner.options()
    }

    fn topic(&self) -> &str {
        self.inner.topic()
    }

    async fn unsubscribe(&self) -> Result<()> {
        let operation = Operation::Unsubscribe { subscription: self.subscription };
        self.scribe.around(operation, done, self.inner.unsubscribe()).await
    }
}
