//! Records calls with their attempts, streams and publications.

use std::sync::Arc;

use async_trait::async_trait;
use shaketable_stack::client::{
    CallObserver, CallOptions, Client, ClientOptions, ClientStream, Context, Message, MessageOptions, PublishOptions,
    Request, RequestOptions,
};
use shaketable_stack::codec::Payload;
use shaketable_stack::metadata::names;
use shaketable_stack::registry::Node;
use shaketable_stack::{Error, Result};

use super::{Scribe, cause_of, done};
use crate::history::{Failure, Operation, OperationId, Point, with_cause};

/// A client whose operations are recorded.
#[derive(Debug)]
pub struct RecordedClient {
    inner: Arc<dyn Client>,
    scribe: Scribe,
}

impl RecordedClient {
    /// Records what `inner` is asked, and its attempts.
    ///
    /// # Errors
    /// When `inner` does not take its options.
    pub fn new(inner: Arc<dyn Client>, scribe: Scribe) -> Result<Self> {
        let mut options = inner.options();
        options.observer = Some(Arc::new(Attempts { scribe: scribe.clone(), client: Arc::downgrade(&inner) }));
        inner.init(options)?;
        Ok(Self { inner, scribe })
    }

    /// [`call`](Client::call), for who wants to know the operation that it is in the history.
    pub async fn call_as_operation(
        &self,
        context: &Context,
        request: &Request,
        response: &mut dyn Payload,
        options: CallOptions,
    ) -> (OperationId, Result<()>) {
        let effective = options.clone().or(&self.inner.options().call);
        let timeout = effective.request_timeout.unwrap_or(CallOptions::REQUEST_TIMEOUT);
        let left = context.deadline.map(|deadline| deadline.saturating_since(self.scribe.env.now()));
        let id = self.scribe.begin(Operation::Call {
            service: request.service.clone(),
            endpoint: request.endpoint.clone(),
            idempotent: request.idempotent,
            timeout: left.map_or(timeout, |left| left.min(timeout)),
        });
        let context = spanned(context, id);
        let work = self.inner.call(&context, request, response, options);
        (id, self.scribe.finish(id, done, with_cause(Some(id), work)).await)
    }

    /// [`stream`](Client::stream), for who wants to know the operation that it is in the history.
    pub async fn stream_as_operation(
        &self,
        context: &Context,
        request: &Request,
        options: CallOptions,
    ) -> (OperationId, Result<Box<dyn ClientStream>>) {
        let id = self
            .scribe
            .begin(Operation::Stream { service: request.service.clone(), endpoint: request.endpoint.clone() });
        let context = spanned(context, id);
        let work = self.inner.stream(&context, request, options);
        (id, self.scribe.finish(id, done, with_cause(Some(id), work)).await)
    }
}

fn spanned(context: &Context, id: OperationId) -> Context {
    context.clone().with_header(names::SPAN_ID, &id.0.to_string())
}

#[async_trait]
impl Client for RecordedClient {
    fn init(&self, options: ClientOptions) -> Result<()> {
        let observer = self.inner.options().observer;
        self.inner.init(ClientOptions { observer, ..options })
    }

    fn options(&self) -> ClientOptions {
        self.inner.options()
    }

    fn new_message(&self, topic: &str, body: Arc<dyn Payload>, options: MessageOptions) -> Message {
        self.inner.new_message(topic, body, options)
    }

    fn new_request(&self, service: &str, endpoint: &str, body: Arc<dyn Payload>, options: RequestOptions) -> Request {
        self.inner.new_request(service, endpoint, body, options)
    }

    async fn call(
        &self,
        context: &Context,
        request: &Request,
        response: &mut dyn Payload,
        options: CallOptions,
    ) -> Result<()> {
        self.call_as_operation(context, request, response, options).await.1
    }

    async fn stream(
        &self,
        context: &Context,
        request: &Request,
        options: CallOptions,
    ) -> Result<Box<dyn ClientStream>> {
        self.stream_as_operation(context, request, options).await.1
    }

    async fn publish(&self, context: &Context, message: &Message, options: PublishOptions) -> Result<()> {
        let operation = Operation::ClientPublish { topic: message.topic.clone() };
        self.scribe.around(operation, done, self.inner.publish(context, message, options)).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

#[derive(Debug)]
struct Attempts {
    scribe: Scribe,
    client: std::sync::Weak<dyn Client>,
}

impl CallObserver for Attempts {
    fn attempt(&self, context: &Context, request: &Request, node: &Node, attempt: u32) {
        let strategy = self.client.upgrade().map(|client| {
            let options = client.options();
            let own = options.call.select.and_then(|select| select.strategy);
            own.unwrap_or_else(|| options.parts.selector.options().strategy).name().to_owned()
        });
        let point = Point::Attempt {
            service: request.service.clone(),
            node: node.id.clone(),
            address: node.address.clone(),
            attempt,
            strategy: strategy.unwrap_or_default(),
        };
        self.scribe.point(cause_of(&context.metadata), point);
    }

    fn attempt_ended(
        &self,
        context: &Context,
        _request: &Request,
        node: &Node,
        attempt: u32,
        result: std::result::Result<(), &Error>,
    ) {
        let point = Point::AttemptEnded { node: node.id.clone(), attempt, failure: result.err().map(Failure::of) };
        self.scribe.point(cause_of(&context.metadata), point);
    }
}
