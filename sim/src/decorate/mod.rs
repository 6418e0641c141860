//! Decorators around the eight interfaces that write the history; the stack beneath knows nothing of it. What an operation
//! causes on another host is known because requests and events carry its id in `Micro-Span-Id`.

mod broker;
mod client;
mod codec;
mod registry;
mod selector;
mod server;
mod service;
mod transport;

use std::sync::Arc;

use shaketable_stack::metadata::{self, Metadata, names};
use shaketable_stack::{Env, Result, registry as record};

use crate::history::{Answer, Failure, NodeRecord, Operation, OperationId, Point, Recorder, with_cause};

pub use broker::RecordedBroker;
pub use client::RecordedClient;
pub use codec::RecordedCodec;
pub use registry::RecordedRegistry;
pub use selector::RecordedSelector;
pub use server::RecordedServer;
pub use service::RecordedService;
pub use transport::RecordedTransport;

/// Writes for one host.
#[derive(Clone, Debug)]
pub struct Scribe {
    recorder: Recorder,
    env: Env,
    host: Arc<str>,
}

impl Scribe {
    /// Writes to `recorder` for the host of `env`.
    pub fn new(recorder: Recorder, env: Env) -> Self {
        let host = env.host().name.as_str().into();
        Self { recorder, env, host }
    }

    /// Records `operation` around `work`, which then works for it.
    pub(crate) async fn around<T>(
        &self,
        operation: Operation,
        answer: impl FnOnce(&T) -> Answer,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let id = self.begin(operation);
        self.finish(id, answer, with_cause(Some(id), work)).await
    }

    pub(crate) fn begin(&self, operation: Operation) -> OperationId {
        self.recorder.invoke(&self.host, self.env.clock().wall(), operation)
    }

    pub(crate) fn begin_for(&self, cause: Option<OperationId>, operation: Operation) -> OperationId {
        self.recorder.invoke_for(cause, &self.host, self.env.clock().wall(), operation)
    }

    pub(crate) async fn finish<T>(
        &self,
        id: OperationId,
        answer: impl FnOnce(&T) -> Answer,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let open = Open { scribe: self, id: Some(id) };
        let result = work.await;
        open.end(result.as_ref().map(answer));
        result
    }

    fn open(&self, operation: Operation) -> Open<'_> {
        Open { scribe: self, id: Some(self.begin(operation)) }
    }

    fn end(&self, id: OperationId, result: std::result::Result<Answer, &shaketable_stack::Error>) {
        self.recorder.complete(&self.host, self.env.clock().wall(), id, result.map_err(Failure::of));
    }

    /// Records something without a duration.
    pub fn point(&self, operation: Option<OperationId>, point: Point) {
        self.recorder.point(&self.host, self.env.clock().wall(), operation, point);
    }
}

/// An operation under way: when the caller drops it, that is how it ends.
struct Open<'a> {
    scribe: &'a Scribe,
    id: Option<OperationId>,
}

impl Open<'_> {
    fn id(&self) -> Option<OperationId> {
        self.id
    }

    fn end(mut self, result: std::result::Result<Answer, &shaketable_stack::Error>) {
        if let Some(id) = self.id.take() {
            self.scribe.end(id, result);
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let scribe = self.scribe;
            scribe.recorder.complete(&scribe.host, scribe.env.clock().wall(), id, Err(Failure::cancelled()));
        }
    }
}

pub(crate) fn done<T>(_: &T) -> Answer {
    Answer::Done
}

/// The operation that headers name.
fn cause_of(headers: &Metadata) -> Option<OperationId> {
    metadata::get_ignoring_case(headers, names::SPAN_ID)?.parse().ok().map(OperationId)
}

/// The nodes of `services`, as the history names them.
pub(crate) fn nodes_of(services: &[record::Service]) -> Vec<NodeRecord> {
    services.iter().flat_map(|service| service.nodes.iter().map(|node| node_of(service, node))).collect()
}

pub(crate) fn node_of(service: &record::Service, node: &record::Node) -> NodeRecord {
    NodeRecord {
        id: node.id.clone(),
        address: node.address.clone(),
        version: service.version.clone(),
        metadata: node.metadata.clone(),
    }
}
