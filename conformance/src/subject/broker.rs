//! A broker behind an adapter. Handlers run here: a delivery is brought, handled, and its end is told.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt;
use shaketable_proto::subject::v1::broker_client::BrokerClient;
use shaketable_proto::subject::v1::{self as wire, Handle};
use shaketable_stack::broker::{
    Acknowledge, Broker, BrokerOptions, ErrorHandler, Event, Handler, Message, PublishOptions, SubscribeOptions,
    Subscriber,
};
use shaketable_stack::env::{Env, Task};
use shaketable_stack::plugin::Settings;
use shaketable_stack::{Error, ErrorKind, Result};
use tonic::Streaming;
use tonic::transport::Channel;

use super::adapter::{Adapter, client};
use super::{SubjectCommand, adapter, open_request};

/// Opens an instance.
pub(super) async fn open(env: Env, command: SubjectCommand, settings: Settings) -> Result<Arc<dyn Broker>> {
    let adapter = adapter(&env, &command)?;
    let request = open_request(&env, settings)?;
    let mut client = client!(BrokerClient, adapter);
    let instance = adapter.call("open", async move { client.open(request).await }).await?.id;
    Ok(Arc::new(SubjectBroker { env, adapter, instance, options: Mutex::default(), deliveries: Mutex::default() }))
}

#[derive(Debug)]
struct SubjectBroker {
    env: Env,
    adapter: Arc<Adapter>,
    instance: u64,
    options: Mutex<BrokerOptions>,
    /// Dropping a subscriber does not end its subscription; what is left of them ends with the broker.
    deliveries: Mutex<Vec<Task>>,
}

impl SubjectBroker {
    fn client(&self) -> BrokerClient<Channel> {
        client!(BrokerClient, self.adapter)
    }
}

#[async_trait]
impl Broker for SubjectBroker {
    fn init(&self, options: BrokerOptions) -> Result<()> {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
        Ok(())
    }

    fn options(&self) -> BrokerOptions {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn address(&self) -> String {
        let mut client = self.client();
        let request = Handle { id: self.instance };
        let asked = self.adapter.call_now("ask for the address", async move { client.address(request).await });
        asked.map(|reply| reply.address).unwrap_or_default()
    }

    async fn connect(&self) -> Result<()> {
        let mut client = self.client();
        let request = Handle { id: self.instance };
        self.adapter.call("connect", async move { client.connect(request).await }).await.map(drop)
    }

    async fn disconnect(&self) -> Result<()> {
        let mut client = self.client();
        let request = Handle { id: self.instance };
        self.adapter.call("disconnect", async move { client.disconnect(request).await }).await.map(drop)
    }

    async fn publish(&self, topic: &str, message: &Message, _options: PublishOptions) -> Result<()> {
        let mut client = self.client();
        let message = wire::Message { header: message.header.clone(), body: message.body.clone() };
        let request = wire::PublishRequest { instance: self.instance, topic: topic.to_owned(), message: Some(message) };
        self.adapter.call("publish", async move { client.publish(request).await }).await.map(drop)
    }

    async fn subscribe(
        &self,
        topic: &str,
        handler: Arc<dyn Handler>,
        options: SubscribeOptions,
    ) -> Result<Arc<dyn Subscriber>> {
        let mut client = self.client();
        let request = wire::SubscribeRequest {
            instance: self.instance,
            topic: topic.to_owned(),
            queue: options.queue.clone().unwrap_or_default(),
            auto_ack: options.auto_ack,
        };
        let mut deliveries = self.adapter.call("subscribe", async move { client.subscribe(request).await }).await?;
        let first = match deliveries.message().await {
            Ok(Some(first)) if first.subscription != 0 => first,
            Ok(_) => {
                return Err(Error::new(ErrorKind::Internal, "subscribe")
                    .detail("the adapter's first message of a subscription does not name it"));
            }
            Err(status) => return Err(self.adapter.error("subscribe", &status, ErrorKind::Closed)),
        };
        let destination = Destination { handler, error_handler: self.options().error_handler };
        let work = deliver(self.env.clone(), self.adapter.clone(), deliveries, destination);
        let task = self.env.spawn("subject deliveries", work);
        let mut tasks = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
        Ok(Arc::new(SubjectSubscriber {
            adapter: self.adapter.clone(),
            subscription: first.subscription,
            topic: topic.to_owned(),
            options: SubscribeOptions {
                auto_ack: first.auto_ack,
                queue: Some(first.queue).filter(|queue| !queue.is_empty()),
            },
        }))
    }

    fn name(&self) -> &'static str {
        super::PLUGIN
    }
}

/// Whom deliveries are for.
#[derive(Clone)]
struct Destination {
    handler: Arc<dyn Handler>,
    error_handler: Option<Arc<dyn ErrorHandler>>,
}

/// Handles what comes, side by side if the plugin delivers side by side: it waits for each handler as it would at home.
async fn deliver(env: Env, adapter: Arc<Adapter>, mut deliveries: Streaming<wire::Delivery>, destination: Destination) {
    let mut running: Vec<Task> = Vec::new();
    while let Ok(Some(delivery)) = deliveries.message().await {
        running.retain(|task| !task.is_finished());
        let (adapter, destination) = (adapter.clone(), destination.clone());
        running.push(env.spawn("subject handler", async move {
            let message = delivery.message.unwrap_or_default();
            let event = Event {
                topic: delivery.topic.into(),
                message: Arc::new(Message { header: message.header, body: message.body }),
                acknowledgement: Some(Arc::new(Delivered { adapter: adapter.clone(), delivery: delivery.delivery })),
            };
            let (topic, message) = (event.topic.clone(), event.message.clone());
            let handled = AssertUnwindSafe(destination.handler.handle(event)).catch_unwind().await;
            let handled =
                handled.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "handle").detail("it panicked")));
            let error = match handled {
                Ok(()) => String::new(),
                Err(error) => {
                    if let Some(told) = &destination.error_handler {
                        told.failed(&topic, &message, &error);
                    }
                    error.to_string()
                }
            };
            let mut client = client!(BrokerClient, adapter);
            let request = wire::FinishRequest { delivery: delivery.delivery, error };
            // An adapter that has gone needs no answer.
            let _ = adapter.call("finish", async move { client.finish(request).await }).await;
        }));
    }
    // The adapter ends the stream when nothing more comes; what has come is still handled.
    for handling in running {
        handling.join().await;
    }
}

#[derive(Debug)]
struct Delivered {
    adapter: Arc<Adapter>,
    delivery: u64,
}

#[async_trait]
impl Acknowledge for Delivered {
    async fn acknowledge(&self) -> Result<()> {
        let mut client = client!(BrokerClient, self.adapter);
        let request = Handle { id: self.delivery };
        self.adapter.call("acknowledge", async move { client.acknowledge(request).await }).await.map(drop)
    }
}

#[derive(Debug)]
struct SubjectSubscriber {
    adapter: Arc<Adapter>,
    subscription: u64,
    topic: String,
    options: SubscribeOptions,
}

#[async_trait]
impl Subscriber for SubjectSubscriber {
    fn options(&self) -> SubscribeOptions {
        self.options.clone()
    }

    fn topic(&self) -> &str {
        &self.topic
    }

    async fn unsubscribe(&self) -> Result<()> {
        let mut client = client!(BrokerClient, self.adapter);
        let request = Handle { id: self.subscription };
        self.adapter.call("unsubscribe", async move { client.unsubscribe(request).await }).await.map(drop)
    }
}
