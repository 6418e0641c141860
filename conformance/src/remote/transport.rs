//! A transport on another host, with its listeners and sockets.

use std::sync::Arc;

use async_trait::async_trait;
use shaketable_stack::Result;
use shaketable_stack::transport::{DialOptions, ListenOptions, Listener, Message, Socket, Transport, TransportOptions};

use super::There;
use crate::{Host, Site};

#[derive(Debug)]
pub(crate) struct RemoteTransport {
    there: There,
    inner: Arc<dyn Transport>,
}

impl RemoteTransport {
    pub(crate) fn new(site: Site, host: Host, inner: Arc<dyn Transport>) -> Self {
        Self { there: There { site, host }, inner }
    }
}

#[async_trait]
impl Transport for RemoteTransport {
    fn init(&self, options: TransportOptions) -> Result<()> {
        self.inner.init(options)
    }

    fn options(&self) -> TransportOptions {
        self.inner.options()
    }

    async fn dial(&self, address: &str, options: DialOptions) -> Result<Arc<dyn Socket>> {
        let (inner, address) = (self.inner.clone(), address.to_owned());
        let inner = self.there.run(async move { inner.dial(&address, options).await }).await?;
        Ok(Arc::new(RemoteSocket { there: self.there.clone(), inner }))
    }

    async fn listen(&self, address: &str, options: ListenOptions) -> Result<Arc<dyn Listener>> {
        let (inner, address) = (self.inner.clone(), address.to_owned());
        let inner = self.there.run(async move { inner.listen(&address, options).await }).await?;
        Ok(Arc::new(RemoteListener { there: self.there.clone(), inner }))
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

#[derive(Debug)]
struct RemoteListener {
    there: There,
    inner: Arc<dyn Listener>,
}

#[async_trait]
impl Listener for RemoteListener {
    fn address(&self) -> String {
        self.inner.address()
    }

    async fn accept(&self) -> Result<Arc<dyn Socket>> {
        let inner = self.inner.clone();
        let inner = self.there.run(async move { inner.accept().await }).await?;
        Ok(Arc::new(RemoteSocket { there: self.there.clone(), inner }))
    }

    async fn close(&self) -> Result<()> {
        let inner = self.inner.clone();
        self.there.run(async move { inner.close().await }).await
    }
}

#[derive(Debug)]
struct RemoteSocket {
    there: There,
    inner: Arc<dyn Socket>,
}

#[async_trait]
impl Socket for RemoteSocket {
    async fn recv(&self) -> Result<Message> {
        let inner = self.inner.clone();
        self.there.run(async move { inner.recv().await }).await
    }

    async fn send(&self, message: &Message) -> Result<()> {
        let (inner, message) = (self.inner.clone(), message.clone());
        self.there.run(async move { inner.send(&message).await }).await
    }

    async fn close(&self) -> Result<()> {
        let inner = self.inner.clone();
        self.there.run(async move { inner.close().await }).await
    }

    fn local(&self) -> String {
        self.inner.local()
    }

    fn remote(&self) -> String {
        self.inner.remote()
    }
}
