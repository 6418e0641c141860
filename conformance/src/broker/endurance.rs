//! What only time and repetition show: subscriptions that run out or multiply, tasks and registrations that pile up.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::broker::{Message, PublishOptions, SubscribeOptions};
use shaketable_stack::registry::ListOptions;

use super::tools::{Bench, Inbox, NEVER_TWICE, calling, come_to_rest, judge_all, message, settle};
use crate::Level::{Must, Should};
use crate::requirement::{Need, check};
use crate::site::{CYCLES, LANES, SLACK, Spare, Usage};
use crate::{Finding, Outcome, Requirement, Site, expect};

/// Twenty times the interval at which go-micro's brokers and servers renew what they have registered.
const LONG: Duration = Duration::from_secs(600);
/// Tasks and connections that may come and go by themselves.
const SPARE: Spare = Spare::each(8);

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "BRK-063",
        level: Must,
        sentence: "A subscription lasts until it is ended, also when nothing happens for ten minutes.",
        source: "go-micro broker/http.go: a registration that is not renewed runs out",
        needs: &[Need::VirtualTime],
        check: check!(a_subscription_lasts, "for {}", LONG),
    },
    Requirement {
        id: "BRK-064",
        level: Must,
        sentence: "The number of deliveries of a message does not grow with the time since its subscription.",
        source: "go-micro server/rpc_server.go of v6: each heartbeat adds the subscribers once more",
        needs: &[NEVER_TWICE, Need::VirtualTime],
        check: check!(deliveries_do_not_grow_with_time, "for {}", LONG / 2 * 3),
    },
    Requirement {
        id: "BRK-065",
        level: Must,
        sentence: "Subscribing and unsubscribing a thousand times leaves at most 8 tasks behind and, where they are counted, 8 \
                   connections (100 of each in an adapter's process).",
        source: "go-micro broker/memory.go: Subscribe starts a goroutine that ends with Unsubscribe",
        needs: &[Need::Tasks],
        check: check!(subscribing_and_unsubscribing_leaves_no_task),
    },
    Requirement {
        id: "BRK-066",
        level: Must,
        sentence: "Connecting and disconnecting a thousand times, with a subscription each, leaves at most 8 tasks behind and, \
                   where they are counted, 8 connections.",
        source: "go-micro broker/http.go: Connect starts goroutines that Disconnect has to end; issue 91: what is left \
                 after a stop",
        needs: &[Need::Tasks, Need::InProcess("which tasks are the plugin's")],
        check: check!(connecting_and_disconnecting_leaves_no_task),
    },
    Requirement {
        id: "BRK-067",
        level: Must,
        sentence: "Publishing a thousand messages leaves at most 8 tasks behind and, where they are counted, 8 connections \
                   (100 of each in an adapter's process).",
        source: "go-micro broker/http.go: Publish starts a goroutine for each message",
        needs: &[Need::Tasks],
        check: check!(publishing_lets_no_tasks_pile_up),
    },
    Requirement {
        id: "BRK-068",
        level: Must,
        sentence: "After unsubscribe and after disconnect, nothing of a subscription is left in the registry.",
        source: "go-micro issue 91: http broker leaves dead topic nodes",
        needs: &[Need::InProcess("the registry that its plugin works with")],
        check: check!(nothing_is_left_in_the_registry, "within {}", SLACK.times(4)),
    },
    Requirement {
        id: "BRK-069",
        level: Should,
        sentence: "A broker that is dropped without disconnect ends its tasks and its deliveries, also where a handler is at \
                   work and a subscriber is still held.",
        source: "decision of shaketable: in Rust what is dropped is gone",
        needs: &[Need::Tasks, Need::InProcess("that a value is dropped")],
        check: check!(a_dropped_broker_leaves_nothing),
    },
    Requirement {
        id: "BRK-105",
        level: Should,
        sentence: "Of a thousand subscriptions that were ended, each after a message of 4 KiB was published, the second five \
                   hundred leave less than 1 KiB of memory each in use.",
        source: "decision of shaketable: what has ended is forgotten, as a message is that nobody waits for; 1 KiB is less \
                 than a queue or such a message takes",
        needs: &[Need::Memory, Need::Upheld(&["BRK-065"])],
        check: check!(ended_subscriptions_take_no_memory),
    },
];

async fn a_subscription_lasts(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    let (member, _member) = bench.about(&site.name("payments")).subscribe(None).await?;
    site.let_pass(LONG).await;
    bench.arrives("after ten minutes", &[&inbox]).await?;
    bench.about(&site.name("payments")).arrives("after ten minutes", &[&member]).await
}

async fn deliveries_do_not_grow_with_time(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (one, _one) = bench.subscribe(None).await?;
    let (two, _two) = bench.subscribe(None).await?;
    for period in 0..3 {
        let sent = bench.publish_many(&format!("period {period}"), 4).await?;
        come_to_rest(&site, &[&one, &two], sent.len() * 2 * (period + 1)).await;
        judge_all(&site, &sent, &one)?;
        judge_all(&site, &sent, &two)?;
        site.let_pass(LONG / 2).await;
    }
    Ok(())
}

/// Waits until no more tasks live than `allowed`.
async fn few_tasks(site: &Site, after: &str, allowed: usize) -> Outcome {
    site.few_tasks(after, allowed, Duration::from_secs(10)).await
}

/// Waits until about as much is held as `before`, a thousand cycles ago.
async fn lets_go(site: &Site, after: &str, before: &Usage) -> Outcome {
    site.lets_go(after, before, (SPARE, CYCLES), Duration::from_secs(10)).await
}

/// A subscription that comes and goes, and in between `message`, where one is given.
async fn come_and_go(bench: &Bench, message: Option<&Message>) -> Outcome {
    let (site, inbox) = (&bench.site, Arc::<Inbox>::default());
    let subscribe = bench.broker.subscribe(&bench.topic, inbox, SubscribeOptions::default());
    let subscriber = site.ask("subscribe", subscribe).await?;
    if let Some(message) = message {
        // What is opened to reach a subscriber has to go with it, too.
        let publish = bench.broker.publish(&bench.topic, message, PublishOptions::default());
        let _ = site.ends("publish", publish).await?;
    }
    site.ask("unsubscribe", subscriber.unsubscribe()).await
}

async fn subscribing_and_unsubscribing_leaves_no_task(site: Site) -> Outcome {
    let site = site.counted();
    let (bench, message) = (Bench::connected(&site).await?, message("to who is about to leave"));
    let some = |cycle: usize| cycle.is_multiple_of(10).then_some(&message);
    for cycle in 0..10 {
        come_and_go(&bench, some(cycle)).await?;
    }
    settle(&site).await;
    let before = site.usage().await?;
    for cycle in 0..CYCLES {
        come_and_go(&bench, some(cycle)).await?;
    }
    lets_go(&site, "a thousand subscriptions", &before).await
}

async fn connecting_and_disconnecting_leaves_no_task(site: Site) -> Outcome {
    let site = site.counted();
    let bench = Bench::made(&site).await?;
    let come_and_go = || async {
        bench.connect().await?;
        let inbox = Arc::<Inbox>::default();
        let subscribe = bench.broker.subscribe(&bench.topic, inbox, SubscribeOptions::default());
        drop(site.ask("subscribe", subscribe).await?);
        bench.disconnect().await
    };
    for _ in 0..10 {
        come_and_go().await?;
    }
    settle(&site).await;
    let before = site.usage().await?;
    for _ in 0..CYCLES {
        come_and_go().await?;
    }
    lets_go(&site, "a thousand connections", &before).await
}

async fn publishing_lets_no_tasks_pile_up(site: Site) -> Outcome {
    let site = site.counted();
    let bench = Bench::connected(&site).await?;
    let (_inbox, _subscriber) = bench.subscribe(None).await?;
    settle(&site).await;
    bench.publish_many("warm", 50).await?;
    settle(&site).await;
    let before = site.usage().await?;
    for part in 0..CYCLES / 50 {
        bench.publish_many(&format!("part {part}"), 50).await?;
    }
    lets_go(&site, "a thousand messages", &before).await
}

async fn ended_subscriptions_take_no_memory(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let message = message(&"m".repeat(4 << 10));
    let cycle = |number: usize| {
        let (bench, message) = (bench.about(&site.name(&format!("orders-{}", number % LANES))), &message);
        async move { come_and_go(&bench, Some(message)).await }
    };
    site.remembers_nothing("subscriptions that were ended", cycle).await
}

async fn nothing_is_left_in_the_registry(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let broker = site.broker(registry.clone()).await?;
    let bench = Bench::of(&site, broker);
    // Any record that speaks of the topic is the subscription's; a live registry may hold others' besides.
    let left = || {
        let (registry, topic) = (registry.clone(), bench.topic.clone());
        async move {
            let listed = registry.list_services(ListOptions::default()).await.map_err(|error| error.to_string())?;
            let left: Vec<String> = listed
                .iter()
                .flat_map(|service| service.nodes.iter().map(move |node| format!("{} {node:?}", service.name)))
                .filter(|shown| shown.contains(&topic))
                .collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{} records, such as {:.200}", left.len(), left[0])) }
        }
    };
    bench.connect().await?;
    let (inbox, subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    bench.arrives("hello", &[&inbox]).await?;
    site.ask("unsubscribe", subscriber.unsubscribe()).await?;
    site.eventually(
        "nothing of the subscription in the registry after unsubscribe",
        site.by_world(SLACK.times(4)),
        left,
    )
    .await?;
    for _ in 0..3 {
        bench.subscribe(None).await?;
    }
    bench.open().await?;
    bench.disconnect().await?;
    site.eventually(
        "nothing of the subscriptions in the registry after disconnect",
        site.by_world(SLACK.times(4)),
        left,
    )
    .await
}

async fn a_dropped_broker_leaves_nothing(site: Site) -> Outcome {
    let other = Bench::connected(&site).await?;
    let (stays, _stays) = other.subscribe(None).await?;
    other.open().await?;
    other.arrives("warm", &[&stays]).await?;
    let before = site.tasks().await?.total;
    let (gone, _held) = {
        let registry = site.registry().await?;
        let before = site.tasks().await?.total;
        let broker = site.broker(registry.clone()).await?;
        site.ask("connect", broker.connect()).await?;
        let inbox = Arc::<Inbox>::default();
        let subscribe = broker.subscribe(&other.topic, inbox.clone(), SubscribeOptions::default());
        let held = site.ask("subscribe", subscribe).await?;
        let stuck = calling(|_| std::future::pending());
        let subscribe = broker.subscribe(&other.topic, stuck, SubscribeOptions::default());
        let held = (held, site.ask("subscribe a handler that does not end", subscribe).await?);
        settle(&site).await;
        other.arrives("before the drop", &[&stays, &inbox]).await?;
        settle(&site).await;
        drop(broker);
        few_tasks(&site, "after the broker was dropped", before).await?;
        site.ask("close the registry", registry.close()).await?;
        (inbox, held)
    };
    let came = gone.count();
    few_tasks(&site, "after the broker and its registry were dropped", before + 1).await?;
    other.arrives("after the drop", &[&stays]).await?;
    settle(&site).await;
    expect(gone.count() == came, "nothing to be delivered to who subscribed at the dropped broker", || {
        format!("{:?}", gone.bodies())
    })?;
    Ok::<(), Finding>(())
}
