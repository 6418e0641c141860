//! A message published to many subscribers in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use shaketable_bench_counters::Meter;
use shaketable_stack::Result;
use shaketable_stack::broker::memory::MemoryBroker;
use shaketable_stack::broker::{Broker, Event, Handler, Message, PublishOptions, SubscribeOptions};
use tokio::sync::Notify;

use crate::runtime;
use crate::wire::Wire;

const SUBSCRIBERS: u64 = 64;
const TOPIC: &str = "orders";

/// What a message says, in bytes.
const BODY: usize = 256;

/// How often.
const TIMES: u64 = 20;

/// What subscribers have handled.
#[derive(Debug, Default)]
struct Tally {
    handled: AtomicU64,
    all: Notify,
}

#[async_trait]
impl Handler for Tally {
    async fn handle(&self, event: Event) -> Result<()> {
        assert_eq!(event.message.body.len(), BODY);
        let handled = self.handled.fetch_add(1, Ordering::Relaxed) + 1;
        if handled.is_multiple_of(SUBSCRIBERS) {
            self.all.notify_one();
        }
        Ok(())
    }
}

/// Counts publishing until every subscriber has handled the message.
///
/// # Errors
/// When no runtime can be made.
pub(crate) fn count(meter: &mut Meter) -> std::result::Result<(), String> {
    let runtime = runtime()?;
    let tally = Arc::new(Tally::default());
    let (broker, subscribers) = runtime.block_on(async {
        let broker = MemoryBroker::new(Wire::default().env());
        broker.connect().await.expect("it connects");
        let mut subscribers = Vec::new();
        for _ in 0..SUBSCRIBERS {
            let subscriber = broker.subscribe(TOPIC, tally.clone(), SubscribeOptions::default()).await;
            subscribers.push(subscriber.expect("it subscribes"));
        }
        (broker, subscribers)
    });
    let message = Message { body: Bytes::from(vec![7; BODY]), ..Message::default() };
    let publish = async |times: u64| {
        for _ in 0..times {
            broker.publish(TOPIC, &message, PublishOptions::default()).await.expect("it is published");
            tally.all.notified().await;
        }
    };
    runtime.block_on(publish(2));
    meter.count(TIMES, |times| runtime.block_on(publish(times)));
    assert_eq!(tally.handled.load(Ordering::Relaxed), SUBSCRIBERS * (TIMES + 2));
    drop(subscribers);
    Ok(())
}
