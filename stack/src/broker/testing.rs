//! What the tests of all brokers share: hosts with brokers of one kind, and a handler that keeps what it is given.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::table::reference;
use super::{Broker, Event, Handler, Message, PublishOptions, SubscribeOptions, Subscriber};
use crate::env::{Env, testing::Hosts};
use crate::plugin::Settings;
use crate::selector::testing::TestRegistry;
use crate::{ErrorKind, Result};

/// Hosts with brokers of one kind.
pub(super) struct World {
    plugin: &'static str,
    hosts: Hosts,
    pub(super) registry: Arc<TestRegistry>,
}

impl World {
    pub(super) fn new(plugin: &'static str) -> Self {
        let hosts = Hosts::default();
        let registry = TestRegistry::new(&hosts.host(200));
        Self { plugin, hosts, registry }
    }

    pub(super) fn env(&self, host: u8) -> Env {
        self.hosts.host(host)
    }

    pub(super) async fn broker_on(&self, env: &Env) -> Arc<dyn Broker> {
        let factory = reference().get(self.plugin).unwrap().factory.clone();
        factory(env.clone(), self.registry.clone(), Settings::default()).await.unwrap()
    }

    /// A connected broker on a host of its own.
    pub(super) async fn broker(&self, host: u8) -> Arc<dyn Broker> {
        let broker = self.broker_on(&self.env(host)).await;
        broker.connect().await.unwrap();
        broker
    }
}

/// Keeps what it is given.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) events: Mutex<Vec<Message>>,
}

impl Recorder {
    pub(super) fn bodies(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.events.lock().unwrap().len()
    }
}

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, event: Event) -> Result<()> {
        event.ack().await?;
        self.events.lock().unwrap().push(Arc::unwrap_or_clone(event.message));
        Ok(())
    }
}

pub(super) fn message(body: &str) -> Message {
    Message { header: [("Content-Type".to_owned(), "text/plain".to_owned())].into(), body: body.to_owned().into() }
}

pub(super) async fn publish(broker: &Arc<dyn Broker>, topic: &str, body: &str) -> Result<()> {
    broker.publish(topic, &message(body), PublishOptions::default()).await
}

pub(super) async fn subscribe(
    broker: &Arc<dyn Broker>,
    topic: &str,
    queue: Option<&str>,
) -> (Arc<Recorder>, Arc<dyn Subscriber>) {
    let recorder = Arc::new(Recorder::default());
    let options = SubscribeOptions { queue: queue.map(str::to_owned), ..SubscribeOptions::default() };
    let subscriber = broker.subscribe(topic, recorder.clone(), options).await.unwrap();
    (recorder, subscriber)
}

pub(super) async fn settle(env: &Env) {
    env.sleep(Duration::from_millis(100)).await;
}

pub(super) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[track_caller]
pub(super) fn assert_kind<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
}
