//! Records starts, stops and every run of a handler.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use shaketable_stack::Result;
use shaketable_stack::client::Context;
use shaketable_stack::registry::Service as Record;
use shaketable_stack::server::{Endpoint, EndpointKind, Handler, Server, ServerOptions, Subscription};

use super::{Scribe, cause_of, done};
use crate::history::{Operation, OperationId, with_cause};

/// A server whose operations are recorded.
#[derive(Debug)]
pub struct RecordedServer {
    inner: Arc<dyn Server>,
    scribe: Scribe,
}

impl RecordedServer {
    /// Records what `inner` does.
    pub fn new(inner: Arc<dyn Server>, scribe: Scribe) -> Self {
        Self { inner, scribe }
    }
}

/// Records the runs of one endpoint.
#[derive(Clone)]
struct Runs {
    scribe: Scribe,
    server: Weak<dyn Server>,
    endpoint: String,
}

impl Runs {
    fn begin(&self, context: &Context) -> OperationId {
        let node = self.server.upgrade().and_then(|server| server.node_id()).unwrap_or_default();
        let operation = Operation::Handle { endpoint: self.endpoint.clone(), node };
        self.scribe.begin_for(cause_of(&context.metadata), operation)
    }

    fn wrap(self, endpoint: Endpoint) -> Endpoint {
        let kind = match endpoint.kind {
            EndpointKind::Unary(inner) => EndpointKind::Unary(Arc::new(move |context, decode| {
                let (runs, inner) = (self.clone(), inner.clone());
                Box::pin(async move {
                    let id = runs.begin(&context);
                    runs.scribe.finish(id, done, with_cause(Some(id), inner(context, decode))).await
                })
            })),
            EndpointKind::Stream(inner) => EndpointKind::Stream(Arc::new(move |context, stream| {
                let (runs, inner) = (self.clone(), inner.clone());
                Box::pin(async move {
                    let id = runs.begin(&context);
                    runs.scribe.finish(id, done, with_cause(Some(id), inner(context, stream))).await
                })
            })),
        };
        Endpoint { kind, ..endpoint }
    }
}

#[async_trait]
impl Server for RecordedServer {
    fn init(&self, options: ServerOptions) -> Result<()> {
        self.inner.init(options)
    }

    fn options(&self) -> ServerOptions {
        self.inner.options()
    }

    fn handle(&self, handler: Handler) -> Result<()> {
        let name = handler.name().to_owned();
        let recorded = handler.map(|endpoint| {
            let runs = Runs {
                scribe: self.scribe.clone(),
                server: Arc::downgrade(&self.inner),
                endpoint: format!("{name}.{}", endpoint.method),
            };
            runs.wrap(endpoint)
        });
        self.inner.handle(recorded)
    }

    fn subscribe(&self, subscription: Subscription) -> Result<()> {
        self.inner.subscribe(subscription)
    }

    async fn register(&self) -> Result<()> {
        self.inner.register().await
    }

    async fn deregister(&self) -> Result<()> {
        self.inner.deregister().await
    }

    async fn start(&self) -> Result<()> {
        let operation = Operation::Start { service: self.inner.options().name };
        self.scribe.around(operation, done, self.inner.start()).await
    }

    async fn stop(&self) -> Result<()> {
        let operation = Operation::Stop { service: self.inner.options().name };
        self.scribe.around(operation, done, self.inner.stop()).await
    }

    fn record(&self) -> Option<Record> {
        self.inner.record()
    }

    fn node_id(&self) -> Option<String> {
        self.inner.node_id()
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}
