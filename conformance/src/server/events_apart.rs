//! Subscriptions that fail, and what becomes of the others; events under way at a stop; servers without events.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shaketable_stack::broker::{Broker, BrokerOptions, Handler, Message, PublishOptions, SubscribeOptions, Subscriber};
use shaketable_stack::plugin::Ability;
use shaketable_stack::server::Subscription;
use shaketable_stack::{Error, ErrorKind, Result as StackResult};

use super::events::{ARRIVES_WITHIN, Got, arrive, publish, publisher, subscribe, subscription};
use super::tools::Stage;
use crate::Level::{Must, Should};
use crate::client::stage::{Text, lock};
use crate::requirement::check;
use crate::{Need, Outcome, Requirement, Site, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-065",
        level: Must,
        sentence: "A subscription that fails or panics goes on getting events, and so do the others and requests.",
        source: "go-micro server/rpc_router.go: ProcessMessage recovers a subscriber's panic",
        needs: &[Need::Has(Ability::Events)],
        check: check!(a_failing_subscription_fails_alone, "within {}", ARRIVES_WITHIN),
    },
    Requirement {
        id: "SRV-066",
        level: Must,
        sentence: "A topic that the broker refuses keeps neither the server from serving nor the other topics from being subscribed to.",
        source: "go-micro pull request 2785: a failing Subscribe stops the later ones",
        needs: &[Need::Has(Ability::Events)],
        check: check!(a_refused_topic_keeps_nobody, "within {}", ARRIVES_WITHIN),
    },
    Requirement {
        id: "SRV-067",
        level: Should,
        sentence: "An event that is being handled is finished before a stop ends, if that takes no longer than the drain time-out.",
        source: "decision of shaketable: an event is work as a request is; go-micro issue 2137",
        needs: &[Need::Has(Ability::Events)],
        check: check!(a_stop_waits_for_events),
    },
    Requirement {
        id: "SRV-068",
        level: Must,
        sentence: "A server that carries no events refuses a subscription with Unsupported.",
        source: "decision of shaketable: a subscription that gets nothing is worse than one that is refused",
        needs: &[Need::Lacks(Ability::Events)],
        check: check!(without_events_subscribing_is_refused),
    },
];

async fn a_failing_subscription_fails_alone(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let (sad, glad, got) = (site.name("sad"), site.name("glad"), Got::default());
    let own = got.clone();
    let failing = Subscription::new(&sad, move |_context, event: Text| {
        lock(&own).push(("sad".to_owned(), event.text.clone()));
        async move {
            if event.text == "panic" {
                std::panic::panic_any("the subscription was asked to panic");
            }
            Err(Error::new(ErrorKind::Backend, "handle"))
        }
    });
    subscribe(&stage, failing).await?;
    subscribe(&stage, subscription(&glad, "glad", &got)).await?;
    stage.start().await?;
    let publisher = publisher(&stage).await?;
    let events = [(&sad, "fail"), (&glad, "one"), (&sad, "panic"), (&glad, "two"), (&sad, "again")];
    for (topic, text) in events {
        publish(&site, &publisher, topic, text).await?;
    }
    let wanted = [("sad", "fail"), ("glad", "one"), ("sad", "panic"), ("glad", "two"), ("sad", "again")];
    // Who delivers at least once may come back with what failed.
    site.eventually("each event at its subscription", ARRIVES_WITHIN, || async {
        let got = lock(&got).clone();
        let missing = wanted.iter().find(|(label, text)| !got.iter().any(|own| own.0 == *label && own.1 == *text));
        missing.map_or(Ok(()), |missing| Err(format!("all but {missing:?}")))
    })
    .await?;
    stage.caller().await?.echo("after the failures").await?;
    stage.stop().await
}

/// A broker that refuses one topic.
#[derive(Debug)]
struct Picky {
    inner: Arc<dyn Broker>,
    refused: String,
}

#[async_trait]
impl Broker for Picky {
    fn init(&self, options: BrokerOptions) -> StackResult<()> {
        self.inner.init(options)
    }

    fn options(&self) -> BrokerOptions {
        self.inner.options()
    }

    fn address(&self) -> String {
        self.inner.address()
    }

    async fn connect(&self) -> StackResult<()> {
        self.inner.connect().await
    }

    async fn disconnect(&self) -> StackResult<()> {
        self.inner.disconnect().await
    }

    async fn publish(&self, topic: &str, message: &Message, options: PublishOptions) -> StackResult<()> {
        self.inner.publish(topic, message, options).await
    }

    async fn subscribe(
        &self,
        topic: &str,
        handler: Arc<dyn Handler>,
        options: SubscribeOptions,
    ) -> StackResult<Arc<dyn Subscriber>> {
        if topic == self.refused {
            return Err(Error::new(ErrorKind::Backend, "subscribe").detail("the check makes it fail"));
        }
        self.inner.subscribe(topic, handler, options).await
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

async fn a_refused_topic_keeps_nobody(site: Site) -> Outcome {
    let mut parts = site.parts().await?;
    let (refused, got) = (site.name("refused"), Got::default());
    parts.broker = Arc::new(Picky { inner: parts.broker.clone(), refused: refused.clone() });
    let stage = Stage::of(&site, parts, "one").await?;
    let (before, after) = (site.name("before"), site.name("after"));
    for topic in [&before, &refused, &after] {
        subscribe(&stage, subscription(topic, topic, &got)).await?;
    }
    stage.start().await?;
    let publisher = publisher(&stage).await?;
    for topic in [&before, &after] {
        publish(&site, &publisher, topic, "text").await?;
    }
    arrive(&site, &got, &[(&before, "text"), (&after, "text")]).await?;
    expect_equal("the nodes in the registry", &stage.nodes().await?.len(), &1)?;
    stage.caller().await?.echo("x").await?;
    stage.stop().await
}

async fn a_stop_waits_for_events(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let (topic, got, env) = (site.name("news"), Got::default(), site.env().clone());
    let own = got.clone();
    let slow = Subscription::new(&topic, move |_context, event: Text| {
        let (got, env) = (own.clone(), env.clone());
        async move {
            lock(&got).push(("began".to_owned(), event.text.clone()));
            crate::site::takes(&env, Duration::from_secs(2)).await;
            lock(&got).push(("ended".to_owned(), event.text));
            Ok(())
        }
    });
    subscribe(&stage, slow).await?;
    stage.set(|options| options.drain_timeout = Duration::from_secs(8))?;
    stage.start().await?;
    let publisher = publisher(&stage).await?;
    let publishes = publish(&site, &publisher, &topic, "text");
    let stops = async {
        let begun = || async { if lock(&got).is_empty() { Err("it has not".to_owned()) } else { Ok(()) } };
        site.eventually("the subscription to begin", ARRIVES_WITHIN, begun).await?;
        stage.stop().await?;
        let wanted = vec![("began".to_owned(), "text".to_owned()), ("ended".to_owned(), "text".to_owned())];
        expect_equal("what the subscription has done when the stop has ended", &*lock(&got), &wanted)
    };
    let (published, stopped) = futures_util::future::join(publishes, stops).await;
    stopped.and(published)
}

async fn without_events_subscribing_is_refused(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let subscribed = stage.server.subscribe(subscription(&site.name("news"), "reader", &Got::default()));
    site.refused("subscribe", &[ErrorKind::Unsupported], std::future::ready(subscribed)).await.map(drop)
}
