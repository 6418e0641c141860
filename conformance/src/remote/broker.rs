//! A broker on another host; its handlers run there.

use std::sync::Arc;

use async_trait::async_trait;
use shaketable_stack::Result;
use shaketable_stack::broker::{Broker, BrokerOptions, Handler, Message, PublishOptions, SubscribeOptions, Subscriber};

use super::There;
use crate::{Host, Site};

#[derive(Debug)]
pub(crate) struct RemoteBroker {
    there: There,
    inner: Arc<dyn Broker>,
}

impl RemoteBroker {
    pub(crate) fn new(site: Site, host: Host, inner: Arc<dyn Broker>) -> Self {
        Self { there: There { site, host }, inner }
    }
}

#[async_trait]
impl Broker for RemoteBroker {
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
        let inner = self.inner.clone();
        self.there.run(async move { inner.connect().await }).await
    }

    async fn disconnect(&self) -> Result<()> {
        let inner = self.inner.clone();
        self.there.run(async move { inner.disconnect().await }).await
    }

    async fn publish(&self, topic: &str, message: &Message, options: PublishOptions) -> Result<()> {
        let (inner, topic, message) = (self.inner.clone(), topic.to_owned(), message.clone());
        self.there.run(async move { inner.publish(&topic, &message, options).await }).await
    }

    async fn subscribe(
        &self,
        topic: &str,
        handler: Arc<dyn Handler>,
        options: SubscribeOptions,
    ) -> Result<Arc<dyn Subscriber>> {
        let (inner, topic) = (self.inner.clone(), topic.to_owned());
        let inner = self.there.run(async move { inner.subscribe(&topic, handler, options).await }).await?;
        Ok(Arc::new(RemoteSubscriber { there: self.there.clone(), inner }))
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

#[derive(Debug)]
struct RemoteSubscriber {
    there: There,
    inner: Arc<dyn Subscriber>,
}

#[async_trait]
impl Subscriber for RemoteSubscriber {
    fn options(&self) -> SubscribeOptions {
        self.inner.options()
    }

    fn topic(&self) -> &str {
        self.inner.topic()
    }

    async fn unsubscribe(&self) -> Result<()> {
        let inner = self.inner.clone();
        self.there.run(async move { inner.unsubscribe().await }).await
    }
}
