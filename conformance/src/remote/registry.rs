//! A registry on another host.

use std::sync::Arc;

use async_trait::async_trait;
use shaketable_stack::Result;
use shaketable_stack::registry::{
    DeregisterOptions, Event, GetOptions, ListOptions, Loss, RegisterOptions, Registry, RegistryOptions, Service,
    Services, WatchOptions, Watcher,
};

use super::There;
use crate::{Host, Site};

#[derive(Debug)]
pub(crate) struct RemoteRegistry {
    there: There,
    inner: Arc<dyn Registry>,
}

impl RemoteRegistry {
    pub(crate) fn new(site: Site, host: Host, inner: Arc<dyn Registry>) -> Self {
        Self { there: There { site, host }, inner }
    }
}

#[async_trait]
impl Registry for RemoteRegistry {
    fn init(&self, options: RegistryOptions) -> Result<()> {
        self.inner.init(options)
    }

    fn options(&self) -> RegistryOptions {
        self.inner.options()
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        let (inner, service) = (self.inner.clone(), service.clone());
        self.there.run(async move { inner.register(&service, options).await }).await
    }

    async fn deregister(&self, service: &Service, options: DeregisterOptions) -> Result<()> {
        let (inner, service) = (self.inner.clone(), service.clone());
        self.there.run(async move { inner.deregister(&service, options).await }).await
    }

    async fn get_service(&self, name: &str, options: GetOptions) -> Result<Services> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        self.there.run(async move { inner.get_service(&name, options).await }).await
    }

    async fn list_services(&self, options: ListOptions) -> Result<Services> {
        let inner = self.inner.clone();
        self.there.run(async move { inner.list_services(options).await }).await
    }

    async fn watch(&self, options: WatchOptions) -> Result<Arc<dyn Watcher>> {
        let inner = self.inner.clone();
        let inner = self.there.run(async move { inner.watch(options).await }).await?;
        Ok(Arc::new(RemoteWatcher { there: self.there.clone(), inner }))
    }

    fn cached(&self, name: &str) -> Option<Services> {
        self.inner.cached(name)
    }

    fn losses(&self) -> Vec<Loss> {
        self.inner.losses()
    }

    async fn close(&self) -> Result<()> {
        let inner = self.inner.clone();
        self.there.run(async move { inner.close().await }).await
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

#[derive(Debug)]
struct RemoteWatcher {
    there: There,
    inner: Arc<dyn Watcher>,
}

#[async_trait]
impl Watcher for RemoteWatcher {
    async fn next(&self) -> Result<Event> {
        let inner = self.inner.clone();
        self.there.run(async move { inner.next().await }).await
    }

    fn stop(&self) {
        self.inner.stop();
    }
}
