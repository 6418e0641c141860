//! Many at once, and callers that give up: nothing is mixed up, lost or left locked.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use rand::Rng;
use shaketable_stack::broker::PublishOptions;
use shaketable_stack::plugin::Order;

use super::tools::{Bench, both, come_to_rest, judge_all, message, settle};
use crate::Level::Must;
use crate::requirement::check;
use crate::tolerance::ByWorld;
use crate::{Finding, Need, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "BRK-059",
        level: Must,
        sentence: "Messages that are published at the same time all arrive, each publisher's in the promised order.",
        source: "go-micro broker/http_test.go: TestConcurrentPubBroker; decision of shaketable: brokers are shared \
                 between tasks",
        needs: &[],
        check: check!(messages_of_many_publishers_arrive),
    },
    Requirement {
        id: "BRK-060",
        level: Must,
        sentence: "Who comes and goes while messages are published takes none from who stays.",
        source: "go-micro broker/memory.go: Publish walks the list of subscribers without the lock; \
                 broker/http_test.go: TestConcurrentSubBroker",
        needs: &[Need::Upheld(&["BRK-055"])],
        check: check!(who_comes_and_goes_takes_nothing_from_who_stays),
    },
    Requirement {
        id: "BRK-061",
        level: Must,
        sentence: "Connecting and disconnecting at the same time comes to an end and leaves a broker that works.",
        source: "decision of shaketable: services stop while others still start",
        needs: &[],
        check: check!(connecting_and_disconnecting_at_once_comes_to_an_end),
    },
    Requirement {
        id: "BRK-062",
        level: Must,
        sentence: "A publish that is given up leaves the broker usable.",
        source: "decision of shaketable: in Rust a caller gives up by dropping the future, at any await",
        needs: &[],
        check: check!(a_publish_that_is_given_up_leaves_the_broker_usable),
    },
    Requirement {
        id: "BRK-080",
        level: Must,
        sentence: "A subscription takes effect within four seconds, also right after somebody published in vain, or to another \
                   topic.",
        source: "go-micro registry/cache/cache.go (v5, v6): a miss is remembered for 5 s, and who comes within 100 ms of \
                 the first lookup is not seen for a minute",
        needs: &[],
        check: check!(a_subscription_takes_effect_in_time, "within {}", TAKES_EFFECT_WITHIN),
    },
];

/// How soon a subscription must have taken effect. In bad weather a message alone may take seconds.
const TAKES_EFFECT_WITHIN: ByWorld = ByWorld { simulated: Duration::from_secs(30), live: Duration::from_secs(4) };

async fn a_subscription_takes_effect_in_time(site: Site) -> Outcome {
    both(after_a_miss(&site).await, after_a_hit(&site).await)
}

async fn after_a_miss(site: &Site) -> Outcome {
    let bench = Bench::connected(site).await?;
    publish_somehow(&bench, "in vain").await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.opens_within(site.by_world(TAKES_EFFECT_WITHIN), &[&inbox]).await
}

async fn after_a_hit(site: &Site) -> Outcome {
    let bench = Bench::connected(site).await?;
    let (_known, _stays) = bench.about(&site.name("known")).subscribe(None).await?;
    settle(site).await;
    publish_somehow(&bench.about(&site.name("known")), "to who is known").await?;
    let later = bench.about(&site.name("later"));
    let (inbox, _subscriber) = later.subscribe(None).await?;
    later.opens_within(site.by_world(TAKES_EFFECT_WITHIN), &[&inbox]).await
}

/// Publishes what nobody may get.
async fn publish_somehow(bench: &Bench, body: &str) -> Outcome {
    let message = message(body);
    let publish = bench.broker.publish(&bench.topic, &message, PublishOptions::default());
    bench.site.ends(&format!("publish {body:?}"), publish).await.map(drop)
}

async fn messages_of_many_publishers_arrive(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    let publishers = site.env().random("publishers").random_range(5..15);
    let names: Vec<String> = (0..publishers).map(|number| format!("publisher-{number}")).collect();
    let sent = try_join_all(names.iter().map(|name| bench.publish_many(name, 10))).await?;
    let all: Vec<String> = sent.iter().flatten().cloned().collect();
    come_to_rest(&site, &[&inbox], all.len()).await;
    judge_all(&site, &all, &inbox)?;
    if !matches!(site.promises().order, Some(Order::PerPublisher | Order::Total)) {
        return Ok(());
    }
    let bodies = inbox.bodies();
    let first_at = |body: &String| bodies.iter().position(|came| came == body);
    for own in &sent {
        let places: Vec<usize> = own.iter().filter_map(first_at).collect();
        expect(places.is_sorted(), "the messages of each publisher in its order", || format!("{own:?} at {places:?}"))?;
    }
    Ok(())
}

async fn who_comes_and_goes_takes_nothing_from_who_stays(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (stays, _stays) = bench.subscribe(None).await?;
    bench.open().await?;
    let coming_and_going = async {
        for _ in 0..10 {
            let (_inbox, subscriber) = bench.subscribe(None).await?;
            site.let_pass(Duration::from_millis(3)).await;
            site.ask("unsubscribe", subscriber.unsubscribe()).await?;
        }
        Ok::<(), Finding>(())
    };
    let publishing = async {
        let mut sent = Vec::new();
        for part in 0..30 {
            sent.extend(bench.publish_many(&format!("part {part}"), 2).await?);
            site.let_pass(Duration::from_millis(1)).await;
        }
        Ok::<Vec<String>, Finding>(sent)
    };
    let (gone, sent) = tokio::join!(coming_and_going, publishing);
    gone?;
    let sent = sent?;
    come_to_rest(&site, &[&stays], sent.len()).await;
    judge_all(&site, &sent, &stays)
}

async fn connecting_and_disconnecting_at_once_comes_to_an_end(site: Site) -> Outcome {
    let bench = Bench::made(&site).await?;
    for _ in 0..5 {
        let connecting = join_all((0..3).map(|_| bench.broker.connect()));
        let disconnecting = join_all((0..2).map(|_| bench.broker.disconnect()));
        // Which of them wins is not said; each may say that another came before it.
        let _ = site.ends("connect and disconnect at once", async { tokio::join!(connecting, disconnecting) }).await?;
    }
    bench.connect().await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    bench.arrives("hello", &[&inbox]).await
}

async fn a_publish_that_is_given_up_leaves_the_broker_usable(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    let mut random = site.env().random("patience");
    for number in 0..20 {
        let message = message(&format!("given up {number}"));
        let publish = bench.broker.publish(&bench.topic, &message, PublishOptions::default());
        let patience = Duration::from_micros(random.random_range(0..4000));
        // Whether it is done by then is not what is judged.
        let _ = site.env().timeout(patience, publish).await;
    }
    let sent = bench.publish_many("message", 6).await?;
    come_to_rest(&site, &[&inbox], inbox.count() + sent.len()).await;
    judge_all(&site, &sent, &inbox)
}
