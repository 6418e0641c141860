//! Handlers and subscriptions as values: a name, endpoints, and a function for each.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::Result;
use crate::client::Context;
use crate::codec::Payload;
use crate::metadata::Metadata;
use crate::opaque::opaque;
use crate::registry;

/// A boxed future of a handler.
pub type Reply<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// Answers one request: decodes the body by the closure that it is given, returns the body of the response.
pub type UnaryFunction = Arc<dyn Fn(Context, Decode) -> Reply<Box<dyn Payload>> + Send + Sync>;

/// Serves one stream until it returns.
pub type StreamFunction = Arc<dyn Fn(Context, Arc<dyn ServerStream>) -> Reply<()> + Send + Sync>;

/// Handles one event.
pub type EventFunction = Arc<dyn Fn(Context, Decode) -> Reply<()> + Send + Sync>;

/// Fills a payload from the bytes of a request; the server knows the codec, the handler knows the type.
pub type Decode = Box<dyn FnOnce(&mut dyn Payload) -> Result<()> + Send>;

/// A named set of endpoints. go-micro derives it from a Go type by reflection; here it is built.
#[derive(Clone, Debug)]
pub struct Handler {
    name: String,
    endpoints: Vec<Endpoint>,
}

/// One endpoint of a handler.
#[derive(Clone)]
pub struct Endpoint {
    /// The method, without the handler's name.
    pub method: String,
    /// What serves it.
    pub kind: EndpointKind,
    /// Registered with the endpoint.
    pub metadata: Metadata,
}

/// What serves an endpoint.
#[derive(Clone)]
pub enum EndpointKind {
    /// One request, one response.
    Unary(UnaryFunction),
    /// Messages both ways.
    Stream(StreamFunction),
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            EndpointKind::Unary(_) => "unary",
            EndpointKind::Stream(_) => "stream",
        };
        formatter.debug_struct("Endpoint").field("method", &self.method).field("kind", &kind).finish()
    }
}

impl Handler {
    /// A handler called `name` (go-micro: the Go type's name) without endpoints.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), endpoints: Vec::new() }
    }

    /// Adds the endpoint `<name>.<method>` that answers each request by `function`.
    #[must_use]
    pub fn unary<Request, Response, Function, Answer>(mut self, method: &str, function: Function) -> Self
    where
        Request: Payload + Default,
        Response: Payload,
        Function: Fn(Context, Request) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<Response>> + Send + 'static,
    {
        let function = Arc::new(function);
        let unary: UnaryFunction = Arc::new(move |context, decode| {
            let function = function.clone();
            Box::pin(async move {
                let mut request = Request::default();
                decode(&mut request)?;
                let response = function(context, request).await?;
                Ok(Box::new(response) as Box<dyn Payload>)
            })
        });
        self.endpoints.push(Endpoint {
            method: method.to_owned(),
            kind: EndpointKind::Unary(unary),
            metadata: Metadata::new(),
        });
        self
    }

    /// Adds the endpoint `<name>.<method>` that serves each stream by `function`; its return ends the stream.
    #[must_use]
    pub fn stream<Function, Answer>(mut self, method: &str, function: Function) -> Self
    where
        Function: Fn(Context, Arc<dyn ServerStream>) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<()>> + Send + 'static,
    {
        let stream: StreamFunction = Arc::new(move |context, stream| Box::pin(function(context, stream)));
        self.endpoints.push(Endpoint {
            method: method.to_owned(),
            kind: EndpointKind::Stream(stream),
            metadata: Metadata::from([("stream".to_owned(), "true".to_owned())]),
        });
        self
    }

    /// The handler's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its endpoints, in the order in which they were added.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The endpoint of `method`.
    pub fn endpoint(&self, method: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.method == method)
    }

    /// The same handler with each endpoint replaced by what `change` makes of it; for wrappers.
    #[must_use]
    pub fn map(mut self, change: impl FnMut(Endpoint) -> Endpoint) -> Self {
        self.endpoints = self.endpoints.into_iter().map(change).collect();
        self
    }

    /// The endpoints as they are registered, named `<handler>.<method>`.
    pub fn records(&self) -> Vec<registry::Endpoint> {
        let record = |endpoint: &Endpoint| registry::Endpoint {
            name: format!("{}.{}", self.name, endpoint.method),
            metadata: endpoint.metadata.clone(),
            ..registry::Endpoint::default()
        };
        self.endpoints.iter().map(record).collect()
    }
}

/// The server's end of a stream. `send` and `recv` may be used at the same time.
#[async_trait]
pub trait ServerStream: Send + Sync + fmt::Debug {
    /// The circumstances of the stream.
    fn context(&self) -> &Context;

    /// Waits for a message.
    ///
    /// # Errors
    /// `EndOfStream` when the client will send no more, `Disconnected` when it is gone.
    async fn recv(&self, message: &mut dyn Payload) -> Result<()>;

    /// Sends a message.
    async fn send(&self, message: &dyn Payload) -> Result<()>;
}

/// A subscription of a server. go-micro: `server.Subscriber`.
#[derive(Clone)]
pub struct Subscription {
    /// The topic.
    pub topic: String,
    /// Subscribers of one queue share the events; without a queue each server gets all of them.
    pub queue: Option<String>,
    /// Acknowledge when the function has returned without an error; true by default.
    pub auto_ack: bool,
    /// Handles each event.
    pub function: EventFunction,
}

impl Subscription {
    /// Calls `function` for each event of `topic`.
    pub fn new<Event, Function, Answer>(topic: &str, function: Function) -> Self
    where
        Event: Payload + Default,
        Function: Fn(Context, Event) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<()>> + Send + 'static,
    {
        let function = Arc::new(function);
        Self {
            topic: topic.to_owned(),
            queue: None,
            auto_ack: true,
            function: Arc::new(move |context, decode| {
                let function = function.clone();
                Box::pin(async move {
                    let mut event = Event::default();
                    decode(&mut event)?;
                    function(context, event).await
                })
            }),
        }
    }

    /// The same in the queue group `queue`.
    #[must_use]
    pub fn queue(mut self, queue: &str) -> Self {
        self.queue = Some(queue.to_owned());
        self
    }
}

opaque!(Subscription { topic, queue, auto_ack });
