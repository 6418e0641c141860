//! Events: published at times drawn before the run, and subscriptions that take them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shaketable_proto::probe::v1::ProbeEvent;
use shaketable_stack::broker::{Event, Handler, SubscribeOptions};
use shaketable_stack::client::{Client, Context, MessageOptions, PublishOptions};
use shaketable_stack::env::{Instant, Task};
use shaketable_stack::server::Subscription;
use shaketable_stack::{Env, Result};

use super::host::Timing;
use crate::plan::PlannedLoad;
use crate::scenario::model::{Publish, Subscribe};
use crate::stand::Standing;

/// Starts the publications of one load on one host. One task publishes them one after another, because a publisher's order
/// is the order in which its `publish` calls return.
pub(super) fn publish(standing: &Arc<Standing>, timing: &Timing, load: &PlannedLoad, publish: &Publish) -> Task {
    let (standing, timing, load, publish) = (standing.clone(), *timing, load.clone(), publish.clone());
    let env = standing.env.clone();
    env.spawn("load", async move {
        let publisher = format!("{}/{}", load.host, load.entry);
        let arrivals = load.arrivals(timing.seed, publish.rate, timing.loads_at, timing.end_at);
        for (sequence, due) in (1_u64..).zip(arrivals) {
            let due = Instant::from_origin(due);
            if due < standing.env.now() && sequence == 1 {
                continue;
            }
            standing.env.clock().sleep_until(due).await;
            let event = ProbeEvent {
                id: format!("{publisher}/{sequence}"),
                sequence,
                publisher: publisher.clone(),
                payload: vec![b'x'; publish.body_bytes as usize].into(),
            };
            let message = standing.client.new_message(&publish.topic, Arc::new(event), MessageOptions::default());
            // Errors are in the history; there is nobody else to tell.
            let _ = standing.client.publish(&Context::new(), &message, PublishOptions::default()).await;
        }
    })
}

/// A server's subscription.
pub(super) fn subscription(env: &Env, subscribe: &Subscribe) -> Subscription {
    let (env, work) = (env.clone(), subscribe.work);
    let subscription = Subscription::new(&subscribe.topic, move |_context, _event: ProbeEvent| {
        let env = env.clone();
        async move {
            pause(&env, work).await;
            Ok(())
        }
    });
    match &subscribe.queue {
        Some(queue) => subscription.queue(queue),
        None => subscription,
    }
}

/// Subscribes a host that does not serve, at its broker.
pub(super) async fn subscribe(standing: &Standing, subscribe: &Subscribe) -> Result<()> {
    standing.broker.connect().await?;
    let handler = Arc::new(Taker { env: standing.env.clone(), work: subscribe.work });
    let options = SubscribeOptions { queue: subscribe.queue.clone(), ..SubscribeOptions::default() };
    standing.broker.subscribe(&subscribe.topic, handler, options).await?;
    Ok(())
}

struct Taker {
    env: Env,
    work: Duration,
}

#[async_trait]
impl Handler for Taker {
    async fn handle(&self, _event: Event) -> Result<()> {
        pause(&self.env, self.work).await;
        Ok(())
    }
}

async fn pause(env: &Env, work: Duration) {
    if !work.is_zero() {
        env.sleep(work).await;
    }
}
