//! Events: what subscriptions of a server get, how often, and from when to when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shaketable_stack::client::{Context, MessageOptions, PublishOptions};
use shaketable_stack::plugin::Ability;
use shaketable_stack::server::Subscription;

use super::tools::Stage;
use crate::Level::{Must, Should};
use crate::client::stage::{Caller, Text, lock};
use crate::requirement::check;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-059",
        level: Must,
        sentence: "An event reaches the subscriptions of its topic, each once, decoded as its content type says, with its headers.",
        source: "go-micro server/rpc_events.go: HandleEvent; subscriber.go",
        needs: &[Need::Has(Ability::Events)],
        check: check!(an_event_reaches_its_subscriptions, "within {}", ARRIVES_WITHIN),
    },
    Requirement {
        id: "SRV-060",
        level: Must,
        sentence: "Subscriptions of several queues to one topic each get an event once, also after ten renewals of the registration.",
        source: "go-micro issues 1209 and 2687, go-plugins issue 555; v6 server/rpc_server.go: each heartbeat adds \
                 subscribers anew",
        needs: &[Need::Has(Ability::Events)],
        check: check!(each_queue_gets_an_event_once, "within {}", ARRIVES_WITHIN),
    },
    Requirement {
        id: "SRV-061",
        level: Must,
        sentence: "Subscriptions of two servers with one queue share the events: each goes to one of them.",
        source: "go-micro server/handler.go: SubscriberQueue",
        needs: &[Need::Has(Ability::Events), Need::Has(Ability::QueueGroups)],
        check: check!(servers_share_a_queue, "within {}", ARRIVES_WITHIN),
    },
    Requirement {
        id: "SRV-062",
        level: Must,
        sentence: "A subscription that is added while the server runs gets events.",
        source: "go-micro server/server.go: Subscribe; decision of shaketable: no restart is needed to listen to one \
                 topic more",
        needs: &[Need::Has(Ability::Events)],
        check: check!(a_late_subscription_gets_events, "within {}", ARRIVES_WITHIN),
    },
    Requirement {
        id: "SRV-063",
        level: Must,
        sentence: "After the stop no subscription gets an event, and after the next start each gets every event once.",
        source: "go-micro server/rpc_server.go: Deregister unsubscribes",
        needs: &[Need::Has(Ability::Events)],
        check: check!(a_stopped_server_gets_no_events, "within {}", ARRIVES_WITHIN),
    },
    Requirement {
        id: "SRV-064",
        level: Should,
        sentence: "A subscription is registered as an endpoint with its topic and subscriber=true.",
        source: "go-micro server/subscriber.go: newSubscriber, metadata",
        needs: &[Need::Has(Ability::Events)],
        check: check!(subscriptions_are_registered),
    },
];

/// What subscriptions got: their labels, and the texts.
pub(super) type Got = Arc<Mutex<Vec<(String, String)>>>;

/// A subscription that writes down what it gets.
pub(super) fn subscription(topic: &str, label: &str, got: &Got) -> Subscription {
    let (label, got) = (label.to_owned(), got.clone());
    Subscription::new(topic, move |_context, event: Text| {
        lock(&got).push((label.clone(), event.text));
        async { Ok(()) }
    })
}

/// Adds a subscription.
pub(super) async fn subscribe(stage: &Stage, subscription: Subscription) -> Outcome {
    let what = format!("subscribe to {}", subscription.topic);
    stage.site.ask(&what, std::future::ready(stage.server.subscribe(subscription))).await
}

/// A client to publish with.
pub(super) async fn publisher(stage: &Stage) -> Result<Caller, Finding> {
    Caller::new(&stage.site, Host::Home, &stage.service).await
}

/// Publishes `text` to `topic`; whether a subscriber's failure is told is the broker's affair.
pub(super) async fn publish(site: &Site, publisher: &Caller, topic: &str, text: &str) -> Outcome {
    let options = MessageOptions { content_type: Some("application/json".to_owned()) };
    let message = publisher.client.new_message(topic, Arc::new(Text::new(text)), options);
    let context = Context::new().with_header("X-User-Id", "ada");
    let publish = publisher.client.publish(&context, &message, PublishOptions::default());
    let _ = site.ends(&format!("publish '{text}'"), publish).await?;
    Ok(())
}

/// How long an event may be on its way.
pub(super) const ARRIVES_WITHIN: Duration = Duration::from_secs(5);

/// Waits until the subscriptions got `wanted`, in whatever order, and sees that nothing more comes.
pub(super) async fn arrive(site: &Site, got: &Got, wanted: &[(&str, &str)]) -> Outcome {
    let mut wanted: Vec<_> = wanted.iter().map(|(label, text)| ((*label).to_owned(), (*text).to_owned())).collect();
    wanted.sort();
    site.eventually(&format!("{} events", wanted.len()), ARRIVES_WITHIN, || async {
        let arrived = lock(got).len();
        if arrived >= wanted.len() { Ok(()) } else { Err(format!("{:?}", lock(got))) }
    })
    .await?;
    site.quiet_for(site.slack()).await;
    let mut arrived = lock(got).clone();
    arrived.sort();
    expect_equal("subscriptions and the events that they got", &arrived, &wanted)
}

async fn an_event_reaches_its_subscriptions(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let (news, other, got) = (site.name("news"), site.name("other"), Got::default());
    let users = Arc::new(Mutex::new(Vec::new()));
    let seen = users.clone();
    let headers = Subscription::new(&news, move |context: Context, _event: Text| {
        let user = shaketable_stack::metadata::get_ignoring_case(&context.metadata, "X-User-Id").map(str::to_owned);
        lock(&seen).push(user);
        async { Ok(()) }
    });
    subscribe(&stage, headers).await?;
    subscribe(&stage, subscription(&news, "news", &got)).await?;
    subscribe(&stage, subscription(&other, "other", &got)).await?;
    stage.start().await?;
    let publisher = publisher(&stage).await?;
    publish(&site, &publisher, &news, "one").await?;
    publish(&site, &publisher, &other, "two").await?;
    arrive(&site, &got, &[("news", "one"), ("other", "two")]).await?;
    expect_equal("the header X-User-Id of the events", &*lock(&users), &vec![Some("ada".to_owned())])?;
    stage.stop().await
}

async fn each_queue_gets_an_event_once(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let interval = Duration::from_millis(100);
    stage.set(|options| options.register_interval = interval)?;
    let (topic, got) = (site.name("news"), Got::default());
    for queue in ["first", "second", "third"] {
        subscribe(&stage, subscription(&topic, queue, &got).queue(queue)).await?;
    }
    stage.start().await?;
    let publisher = publisher(&stage).await?;
    publish(&site, &publisher, &topic, "early").await?;
    let early = [("first", "early"), ("second", "early"), ("third", "early")];
    arrive(&site, &got, &early).await?;
    site.let_pass(10 * interval).await;
    publish(&site, &publisher, &topic, "late").await?;
    let late = early.map(|(queue, _)| (queue, "late"));
    arrive(&site, &got, &[early, late].concat()).await?;
    stage.stop().await
}

async fn servers_share_a_queue(site: Site) -> Outcome {
    const EVENTS: usize = 12;
    let (topic, got) = (site.name("news"), Got::default());
    let mut stages = Vec::new();
    for _ in 0..2 {
        let stage = Stage::new(&site).await?;
        subscribe(&stage, subscription(&topic, "shared", &got).queue("workers")).await?;
        stage.start().await?;
        stages.push(stage);
    }
    let publisher = publisher(&stages[0]).await?;
    let texts: Vec<String> = (0..EVENTS).map(|number| format!("event {number}")).collect();
    for text in &texts {
        publish(&site, &publisher, &topic, text).await?;
    }
    let wanted: Vec<_> = texts.iter().map(|text| ("shared", text.as_str())).collect();
    arrive(&site, &got, &wanted).await?;
    for stage in stages {
        stage.stop().await?;
    }
    Ok(())
}

async fn a_late_subscription_gets_events(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let (topic, got) = (site.name("news"), Got::default());
    subscribe(&stage, subscription(&topic, "late", &got)).await?;
    // It may be subscribed in the background.
    site.take_effect(site.slack()).await;
    let publisher = publisher(&stage).await?;
    publish(&site, &publisher, &topic, "one").await?;
    arrive(&site, &got, &[("late", "one")]).await?;
    stage.stop().await
}

async fn a_stopped_server_gets_no_events(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let (topic, got) = (site.name("news"), Got::default());
    subscribe(&stage, subscription(&topic, "reader", &got)).await?;
    let publisher = publisher(&stage).await?;
    stage.start().await?;
    publish(&site, &publisher, &topic, "running").await?;
    arrive(&site, &got, &[("reader", "running")]).await?;
    stage.stop().await?;
    publish(&site, &publisher, &topic, "stopped").await?;
    arrive(&site, &got, &[("reader", "running")]).await?;
    stage.start().await?;
    publish(&site, &publisher, &topic, "again").await?;
    arrive(&site, &got, &[("reader", "running"), ("reader", "again")]).await?;
    stage.stop().await
}

async fn subscriptions_are_registered(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let (topic, got) = (site.name("news"), Got::default());
    subscribe(&stage, subscription(&topic, "reader", &got)).await?;
    stage.start().await?;
    let records = stage.registered().await?;
    let marked = |name: &str, value: &str| {
        let endpoints = records.iter().flat_map(|record| &record.endpoints);
        endpoints.filter(|endpoint| endpoint.metadata.get(name).is_some_and(|own| own == value)).count()
    };
    let counts = (marked("topic", &topic), marked("subscriber", "true"));
    expect_equal("the endpoints with the topic, and those with subscriber=true", &counts, &(1, 1))?;
    stage.stop().await
}
