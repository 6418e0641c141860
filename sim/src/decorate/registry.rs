//! Records what registries are asked and what their watchers deliver.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use shaketable_stack::registry::{
    Action, DeregisterOptions, Event, GetOptions, ListOptions, Loss, Node, RegisterOptions, Registry, RegistryOptions,
    Service, Services, WatchOptions, Watcher,
};
use shaketable_stack::{ErrorKind, Result};

use super::{Open, Scribe, done, node_of, nodes_of};
use crate::history::{Answer, Change, Failure, Operation, OperationId, Point, with_cause};

/// A registry whose operations are recorded.
#[derive(Debug)]
pub struct RecordedRegistry {
    inner: Arc<dyn Registry>,
    scribe: Scribe,
}

impl RecordedRegistry {
    /// Records what `inner` is asked.
    pub fn new(inner: Arc<dyn Registry>, scribe: Scribe) -> Self {
        Self { inner, scribe }
    }
}

#[async_trait]
impl Registry for RecordedRegistry {
    fn init(&self, options: RegistryOptions) -> Result<()> {
        self.inner.init(options)
    }

    fn options(&self) -> RegistryOptions {
        self.inner.options()
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        let begin = |node: &Node| {
            let (service, node) = (service.name.clone(), node_of(service, node));
            self.scribe.open(Operation::Register { service, node: Box::new(node), ttl: options.ttl })
        };
        let open: Vec<Open<'_>> = service.nodes.iter().map(begin).collect();
        let cause = open.first().and_then(Open::id);
        let result = with_cause(cause, self.inner.register(service, options.clone())).await;
        for open in open {
            open.end(result.as_ref().map(done));
        }
        result
    }

    async fn deregister(&self, service: &Service, options: DeregisterOptions) -> Result<()> {
        let operation = Operation::Deregister {
            service: service.name.clone(),
            nodes: service.nodes.iter().map(|node| node.id.clone()).collect(),
        };
        self.scribe.around(operation, done, self.inner.deregister(service, options)).await
    }

    async fn get_service(&self, name: &str, options: GetOptions) -> Result<Services> {
        let operation = Operation::GetService { service: name.to_owned() };
        let answer = |services: &Services| Answer::Nodes(nodes_of(services));
        self.scribe.around(operation, answer, self.inner.get_service(name, options)).await
    }

    async fn list_services(&self, options: ListOptions) -> Result<Services> {
        let answer = |services: &Services| Answer::Listed(services.len() as u64);
        self.scribe.around(Operation::ListServices, answer, self.inner.list_services(options)).await
    }

    async fn watch(&self, options: WatchOptions) -> Result<Arc<dyn Watcher>> {
        let id = self.scribe.begin(Operation::Watch { service: options.service.clone() });
        let inner = self.scribe.finish(id, done, self.inner.watch(options)).await?;
        Ok(Arc::new(RecordedWatcher { inner, scribe: self.scribe.clone(), id, ended: AtomicBool::new(false) }))
    }

    fn cached(&self, name: &str) -> Option<Services> {
        self.inner.cached(name)
    }

    fn losses(&self) -> Vec<Loss> {
        self.inner.losses()
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

#[derive(Debug)]
struct RecordedWatcher {
    inner: Arc<dyn Watcher>,
    scribe: Scribe,
    id: OperationId,
    ended: AtomicBool,
}

impl RecordedWatcher {
    /// A watcher ends once, by an error, by a stop or because it was let go.
    fn end(&self, failure: Option<Failure>) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.scribe.point(Some(self.id), Point::WatchEnded { watcher: self.id, failure });
        }
    }
}

impl Drop for RecordedWatcher {
    fn drop(&mut self) {
        self.end(None);
    }
}

#[async_trait]
impl Watcher for RecordedWatcher {
    async fn next(&self) -> Result<Event> {
        let result = self.inner.next().await;
        match &result {
            Ok(event) => {
                let point = Point::Watched {
                    watcher: self.id,
                    change: match event.action {
                        Action::Create => Change::Create,
                        Action::Update => Change::Update,
                        Action::Delete => Change::Delete,
                    },
                    service: event.service.name.clone(),
                    nodes: nodes_of(std::slice::from_ref(&event.service)),
                };
                self.scribe.point(Some(self.id), point);
            }
            Err(error) => self.end((error.kind() != ErrorKind::WatcherStopped).then(|| Failure::of(error))),
        }
        result
    }

    fn stop(&self) {
        self.inner.stop();
        self.end(None);
    }
}
