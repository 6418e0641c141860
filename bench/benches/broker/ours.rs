//! This stack's brokers, in memory and over HTTP.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use shaketable_stack::Result;
use shaketable_stack::broker::http::{HttpBroker, HttpBrokerConfig};
use shaketable_stack::broker::memory::MemoryBroker;
use shaketable_stack::broker::{Broker, Event, Handler, Message, PublishOptions, SubscribeOptions, Subscriber};
use shaketable_stack::env::{Namespace, os};
use shaketable_stack::registry::memory::Memory;
use shaketable_stack::registry::{Registry, RegistryOptions};

use crate::tally::{Seen, Tally, body};
use crate::{Publishes, TOPIC, Turnover};

/// A publisher and its subscribers.
pub(crate) struct Ours {
    publisher: Arc<dyn Broker>,
    /// Another one where messages pass a network between.
    listener: Arc<dyn Broker>,
    subscribers: VecDeque<(Arc<Seen>, Arc<dyn Subscriber>)>,
    tally: Arc<Tally>,
}

#[async_trait]
impl Handler for Seen {
    async fn handle(&self, event: Event) -> Result<()> {
        Self::handle(self, &event.message.body);
        Ok(())
    }
}

impl Ours {
    /// One broker whose topics are in memory.
    pub(crate) fn in_memory(subscribers: usize) -> Self {
        let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new(os::env(Namespace::new("bench"))));
        let mut ours =
            Self { publisher: broker.clone(), listener: broker, subscribers: VecDeque::new(), tally: Arc::default() };
        // Nothing of this waits: the topics are in memory.
        futures_util::FutureExt::now_or_never(ours.subscribe(subscribers)).expect("memory answers at once");
        ours
    }

    async fn subscribe(&mut self, subscribers: usize) {
        for broker in [&self.publisher, &self.listener] {
            broker.connect().await.expect("it connects");
        }
        for _ in 0..subscribers {
            self.subscribe_one(0).await;
        }
    }

    async fn subscribe_one(&mut self, next: u64) {
        let handler = Arc::new(self.tally.subscriber(next));
        let subscriber = self.listener.subscribe(TOPIC, handler.clone(), SubscribeOptions::default()).await;
        self.subscribers.push_back((handler, subscriber.expect("it subscribes")));
    }
}

/// Two brokers that find each other in a registry in memory, and nothing but sockets between them.
pub(crate) async fn over_http(subscribers: usize) -> Ours {
    let env = os::env(Namespace::new("bench"));
    let registry: Arc<dyn Registry> = Arc::new(Memory::new(env.clone(), RegistryOptions::default()));
    let broker = || -> Arc<dyn Broker> {
        let addresses = vec!["127.0.0.1:0".to_owned()];
        Arc::new(HttpBroker::new(env.clone(), registry.clone(), addresses, HttpBrokerConfig::default()))
    };
    let mut ours =
        Ours { publisher: broker(), listener: broker(), subscribers: VecDeque::new(), tally: Arc::default() };
    ours.subscribe(subscribers).await;
    ours
}

impl Publishes for Ours {
    async fn publish(&mut self, number: u64) {
        self.tally.expect(self.subscribers.len());
        let message = Message { body: body(number), ..Message::default() };
        self.publisher.publish(TOPIC, &message, PublishOptions::default()).await.expect("it is published");
    }

    async fn handled(&mut self) {
        self.tally.complete().await;
    }
}

impl Turnover for Ours {
    async fn turn_over(&mut self, next: u64) {
        let (seen, leaving) = self.subscribers.pop_front().expect("there are subscribers");
        leaving.unsubscribe().await.expect("it leaves");
        self.tally.leave(&seen, next);
        self.subscribe_one(next).await;
    }
}
