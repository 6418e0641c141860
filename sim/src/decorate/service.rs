//! Records a service's lifecycle.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use shaketable_stack::Result;
use shaketable_stack::client::Client;
use shaketable_stack::server::Server;
use shaketable_stack::service::{Service, ServiceOptions};

use super::{Scribe, done};
use crate::history::Operation;

/// A service whose lifecycle is recorded.
#[derive(Debug)]
pub struct RecordedService {
    inner: Arc<dyn Service>,
    scribe: Scribe,
}

impl RecordedService {
    /// Records what `inner` does.
    pub fn new(inner: Arc<dyn Service>, scribe: Scribe) -> Self {
        Self { inner, scribe }
    }

    fn service(&self) -> String {
        self.inner.server().options().name
    }
}

#[async_trait]
impl Service for RecordedService {
    fn init(&self, options: ServiceOptions) -> Result<()> {
        self.inner.init(options)
    }

    fn options(&self) -> ServiceOptions {
        self.inner.options()
    }

    fn client(&self) -> Arc<dyn Client> {
        self.inner.client()
    }

    fn server(&self) -> Arc<dyn Server> {
        self.inner.server()
    }

    async fn start(&self) -> Result<()> {
        let operation = Operation::StartService { service: self.service() };
        self.scribe.around(operation, done, self.inner.start()).await
    }

    async fn stop(&self) -> Result<()> {
        let operation = Operation::StopService { service: self.service() };
        self.scribe.around(operation, done, self.inner.stop()).await
    }

    async fn run(&self, shutdown: Pin<Box<dyn Future<Output = ()> + Send>>) -> Result<()> {
        self.start().await?;
        shutdown.await;
        self.stop().await
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}
