//! What a broker may promise of delivery, order and slow consumers; each is judged only where it is promised.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use shaketable_stack::broker::{PublishOptions, SubscribeOptions};
use shaketable_stack::plugin::{Delivery, Order, SlowConsumer};
use shaketable_stack::{Error, ErrorKind};

use super::tools::{Bench, Inbox, NEVER_TWICE, calling, come_to_rest, judge_all, message, settle};
use crate::Level::{Must, Should};
use crate::requirement::{Need, check};
use crate::site::SLACK;
use crate::{Finding, Outcome, Requirement, Site, expect, expect_equal};

const AT_LEAST_ONCE: Need =
    Need::Promises("delivery at least once", |promises| promises.delivery == Some(Delivery::AtLeastOnce));
const BLOCKS: Need = Need::Promises("publishers wait for slow consumers", |promises| {
    promises.slow_consumer == Some(SlowConsumer::Blocks)
});
/// How long a broker may take to find out that a message was not acknowledged; some count minutes.
const REDELIVERED_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How long nothing comes of a message that was acknowledged; a broker that ignores it repeats it sooner.
const QUIET: Duration = Duration::from_secs(5 * 60);
/// So many deliveries of one message are no accident.
const AGAIN_AND_AGAIN: usize = 4;
/// How long a consumer is slow for which publishers wait.
const SLOW_FOR: Duration = Duration::from_secs(1);
/// More than any buffer of a reasonable broker would hide, and still cheap.
const BURST: usize = 1100;
/// Promised buffers that are larger are not filled.
const BUFFERED_MAX: usize = 10_000;

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "BRK-026",
        level: Must,
        sentence: "Where it is promised, no subscriber gets a message twice.",
        source: "go-micro broker/http.go delivers at most once; the plugin's own promise",
        needs: &[NEVER_TWICE],
        check: check!(no_message_comes_twice),
    },
    Requirement {
        id: "BRK-027",
        level: Must,
        sentence: "Where it is promised, messages of one publisher come in the order of their publication.",
        source: "NATS documentation, subject-based messaging: order per publisher; the plugin's own promise",
        needs: &[Need::Promises("order per publisher", |promises| {
            matches!(promises.order, Some(Order::PerPublisher | Order::Total))
        })],
        check: check!(messages_of_one_publisher_keep_their_order),
    },
    Requirement {
        id: "BRK-028",
        level: Must,
        sentence: "Where it is promised, all subscribers get all messages in the same order.",
        source: "Kafka documentation, guarantees of a partition's log; the plugin's own promise",
        needs: &[Need::Promises("one order for all", |promises| promises.order == Some(Order::Total))],
        check: check!(all_subscribers_see_one_order),
    },
    Requirement {
        id: "BRK-029",
        level: Must,
        sentence: "Where delivery at least once is promised, a message whose handler has failed is delivered again.",
        source: "go-micro broker/rabbitmq of v6: AutoAck consumes in AMQP's no-ack mode and loses messages",
        needs: &[AT_LEAST_ONCE, Need::VirtualTime],
        check: check!(a_message_whose_handler_failed_comes_again, "within {}", REDELIVERED_WITHIN),
    },
    Requirement {
        id: "BRK-030",
        level: Must,
        sentence: "Without automatic acknowledgement, a message that was not acknowledged is delivered again.",
        source: "go-micro broker/options.go: DisableAutoAck; broker/memory.go of v6 ignores AutoAck",
        needs: &[AT_LEAST_ONCE, Need::VirtualTime],
        check: check!(a_message_that_was_not_acknowledged_comes_again, "within {}", REDELIVERED_WITHIN),
    },
    Requirement {
        id: "BRK-031",
        level: Must,
        sentence: "A message that its handler has acknowledged is not delivered again, also if the handler fails.",
        source: "go-micro broker/broker.go: Event.Ack",
        needs: &[AT_LEAST_ONCE, Need::VirtualTime],
        check: check!(an_acknowledged_message_comes_no_more, "not {} deliveries within {}", AGAIN_AND_AGAIN, QUIET),
    },
    Requirement {
        id: "BRK-032",
        level: Must,
        sentence: "Where publishers are promised to wait for slow consumers, a slow one loses nothing.",
        source: "go-micro registry/memory.go: sendEvent drops after 10 ms; the plugin's own promise",
        needs: &[BLOCKS],
        check: check!(
            a_slow_consumer_loses_nothing,
            "{} messages, and a consumer that is slow for {}",
            BURST,
            SLOW_FOR
        ),
    },
    Requirement {
        id: "BRK-106",
        level: Should,
        sentence: "Where publishers are promised to wait for slow consumers, one that takes nothing holds them up before ten \
                   thousand messages are kept for it, and those who gave up waiting keep nobody from publishing afterwards.",
        source: "Reactive Streams, goals: a receiving side is not forced to buffer arbitrary amounts of data; the plugin's own \
                 promise",
        needs: &[BLOCKS],
        check: check!(
            publishers_wait_in_the_end,
            "{} messages at most, and who is not answered within {} waits",
            BUFFERED_MAX,
            SLACK
        ),
    },
    Requirement {
        id: "BRK-033",
        level: Must,
        sentence: "Where slow consumers are promised to lose messages or to be cut off, no publisher waits.",
        source: "NATS documentation, slow consumers; the plugin's own promise",
        needs: &[Need::Promises("slow consumers do not hold up publishers", |promises| {
            buffered(promises.slow_consumer)
        })],
        check: check!(a_slow_consumer_holds_nobody_up, "each publish within {}", SLACK.times(4)),
    },
    Requirement {
        id: "BRK-034",
        level: Must,
        sentence: "A slow consumer gets at least as many messages as are promised to be kept for it.",
        source: "NATS documentation, slow consumers: pending limits; the plugin's own promise",
        needs: &[Need::Promises("a number of messages kept for slow consumers", |promises| {
            buffered(promises.slow_consumer)
        })],
        check: check!(as_much_is_kept_as_promised),
    },
    Requirement {
        id: "BRK-087",
        level: Should,
        sentence: "A broker promises how often and in which order it delivers, and what becomes of slow consumers.",
        source: "decision of shaketable: what is not promised is not judged, and nobody who writes a service can build on it",
        needs: &[],
        check: check!(delivery_order_and_slow_consumers_are_promised),
    },
];

async fn delivery_order_and_slow_consumers_are_promised(site: Site) -> Outcome {
    let promises = site.promises();
    for (what, is_promised) in [
        ("how often it delivers", promises.delivery.is_some()),
        ("in which order it delivers", promises.order.is_some()),
        ("what becomes of slow consumers", promises.slow_consumer.is_some()),
    ] {
        expect(is_promised, format!("a promise of {what}"), || "none".to_owned())?;
    }
    Ok(())
}

fn buffered(policy: Option<SlowConsumer>) -> bool {
    kept(policy).is_some_and(|kept| kept <= BUFFERED_MAX)
}

fn kept(policy: Option<SlowConsumer>) -> Option<usize> {
    match policy {
        Some(SlowConsumer::Drops { buffered } | SlowConsumer::Disconnects { buffered }) => Some(buffered),
        _ => None,
    }
}

async fn no_message_comes_twice(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (one, _one) = bench.subscribe(None).await?;
    let (two, _two) = bench.subscribe(None).await?;
    bench.open().await?;
    let sent = bench.publish_many("message", 30).await?;
    come_to_rest(&site, &[&one, &two], sent.len() * 2).await;
    judge_all(&site, &sent, &one)?;
    judge_all(&site, &sent, &two)
}

/// What came of `sent`, each at its first arrival, because a repetition may come late.
fn firsts(inbox: &Inbox) -> Vec<String> {
    let mut firsts = Vec::new();
    for body in inbox.bodies() {
        if !firsts.contains(&body) {
            firsts.push(body);
        }
    }
    firsts
}

async fn messages_of_one_publisher_keep_their_order(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    let sent = bench.publish_many("message", 60).await?;
    come_to_rest(&site, &[&inbox], sent.len()).await;
    let came = firsts(&inbox);
    let in_order: Vec<&String> = sent.iter().filter(|body| came.contains(body)).collect();
    let wrong = came.iter().zip(&in_order).find(|(came, wanted)| came != *wanted);
    expect(wrong.is_none(), "messages in the order of their publication", || {
        wrong.map_or_else(String::new, |(came, wanted)| format!("{came:?} came where {wanted:?} was due"))
    })?;
    expect(!came.is_empty(), "messages to arrive", || "none came".to_owned())
}

async fn all_subscribers_see_one_order(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let mut subscribers = Vec::new();
    for _ in 0..3 {
        subscribers.push(bench.subscribe(None).await?);
    }
    bench.open().await?;
    let (one, two) = tokio::join!(bench.publish_many("one", 30), bench.publish_many("two", 30));
    let count = one?.len() + two?.len();
    let inboxes: Vec<_> = subscribers.iter().map(|(inbox, _)| inbox).collect();
    come_to_rest(&site, &inboxes, count * inboxes.len()).await;
    let orders: Vec<Vec<String>> = inboxes.iter().map(|inbox| firsts(inbox)).collect();
    for order in &orders {
        for other in &orders {
            let shared = |one: &[String], two: &[String]| -> Vec<String> {
                one.iter().filter(|body| two.contains(body)).cloned().collect()
            };
            let (mine, theirs) = (shared(order, other), shared(other, order));
            let wrong = mine.iter().zip(&theirs).position(|(mine, theirs)| mine != theirs);
            expect(wrong.is_none(), "the same order for two subscribers", || {
                let at = wrong.unwrap_or_default();
                format!("one gets {:?} where the other gets {:?}", mine.get(at), theirs.get(at))
            })?;
        }
    }
    Ok(())
}

/// Subscribes a handler that ends each of its runs as `ending` says, and shows that there are `wanted` of them in time.
async fn redelivered(
    site: &Site,
    auto_ack: bool,
    ending: impl Fn(usize) -> Ending + Send + Sync + Copy + 'static,
    wanted: usize,
    within: Duration,
) -> Outcome {
    let bench = Bench::connected(site).await?;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let handler = calling(move |event| {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match ending(run) {
                Ending::Fails => Err(Error::new(ErrorKind::Remote, "handle")),
                Ending::Forgets => Ok(()),
                Ending::Acknowledges => event.ack().await,
                Ending::AcknowledgesAndFails => {
                    event.ack().await?;
                    Err(Error::new(ErrorKind::Remote, "handle"))
                }
            }
        }
    });
    let options = SubscribeOptions { auto_ack, ..SubscribeOptions::default() };
    let _subscriber = bench.handle(handler, options).await?;
    bench.open().await?;
    bench.publish("once").await?;
    let deadline = site.env().now() + within;
    while runs.load(Ordering::SeqCst) < wanted && site.env().now() < deadline {
        site.look_again(Duration::from_secs(1)).await;
    }
    let runs = runs.load(Ordering::SeqCst);
    expect(runs >= wanted, format!("the message to be delivered {wanted} times or more"), || format!("{runs} times"))
}

#[derive(Clone, Copy)]
enum Ending {
    Fails,
    Forgets,
    Acknowledges,
    AcknowledgesAndFails,
}

async fn a_message_whose_handler_failed_comes_again(site: Site) -> Outcome {
    redelivered(&site, true, |run| if run < 2 { Ending::Fails } else { Ending::Acknowledges }, 3, REDELIVERED_WITHIN)
        .await
}

async fn a_message_that_was_not_acknowledged_comes_again(site: Site) -> Outcome {
    redelivered(
        &site,
        false,
        |run| if run == 0 { Ending::Forgets } else { Ending::Acknowledges },
        2,
        REDELIVERED_WITHIN,
    )
    .await
}

async fn an_acknowledged_message_comes_no_more(site: Site) -> Outcome {
    for (auto_ack, run) in [(false, Ending::Acknowledges), (true, Ending::AcknowledgesAndFails)] {
        let late = redelivered(&site, auto_ack, move |_| run, AGAIN_AND_AGAIN, QUIET).await;
        expect(late.is_err(), "an acknowledged message not to come again and again", || {
            format!("{AGAIN_AND_AGAIN} deliveries")
        })?;
    }
    Ok(())
}

/// An inbox that takes nothing until its gate is opened.
async fn gated(bench: &Bench) -> Result<(Arc<Inbox>, Arc<AtomicBool>), Finding> {
    let (inbox, gate) = (Arc::<Inbox>::default(), Arc::new(AtomicBool::new(false)));
    let (kept, open, env) = (inbox.clone(), gate.clone(), bench.site.env().clone());
    let handler = calling(move |event| {
        let (kept, open, env) = (kept.clone(), open.clone(), env.clone());
        async move {
            while !open.load(Ordering::SeqCst) {
                crate::site::takes(&env, Duration::from_millis(50)).await;
            }
            shaketable_stack::broker::Handler::handle(&*kept, event).await
        }
    });
    let _subscriber = bench.handle(handler, SubscribeOptions::default()).await?;
    bench.open().await?;
    Ok((inbox, gate))
}

async fn a_slow_consumer_loses_nothing(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, gate) = gated(&bench).await?;
    let published = Arc::new(AtomicUsize::new(0));
    let failed = Arc::new(AtomicBool::new(false));
    let publishing = {
        let (bench, published, failed) = (bench.clone(), published.clone(), failed.clone());
        site.env().spawn("publisher", async move {
            for number in 0..BURST {
                let message = message(&format!("message {number}"));
                if bench.broker.publish(&bench.topic, &message, PublishOptions::default()).await.is_err() {
                    failed.store(true, Ordering::SeqCst);
                }
                published.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    // As soon as the publisher waits, or has published everything, the consumer takes a second more.
    let mut before = usize::MAX;
    for _ in 0..40 {
        let now = published.load(Ordering::SeqCst);
        if now == before || now == BURST {
            break;
        }
        before = now;
        site.look_again(site.slack()).await;
    }
    site.let_pass(SLOW_FOR).await;
    gate.store(true, Ordering::SeqCst);
    site.ends("publish to a consumer that goes on", publishing.join()).await?;
    expect(!failed.load(Ordering::SeqCst), "publishing to wait for a consumer that is slow for a second", || {
        "an error".to_owned()
    })?;
    let sent: Vec<String> = (0..BURST).map(|number| format!("message {number}")).collect();
    come_to_rest(&site, &[&inbox], sent.len()).await;
    expect_equal("the number of messages that came", &firsts(&inbox).len(), &sent.len())
}

/// So many publishers give up.
const IMPATIENT: usize = 8;

async fn publishers_wait_in_the_end(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, gate) = gated(&bench).await?;
    let publish = async |text: String| {
        let message = message(&text);
        let publish = bench.broker.publish(&bench.topic, &message, PublishOptions::default());
        site.env().timeout(site.slack(), publish).await.is_ok_and(|done| done.is_ok())
    };
    let mut kept = Vec::new();
    loop {
        let text = format!("message {}", kept.len());
        if !publish(text.clone()).await {
            break;
        }
        kept.push(text);
        expect(kept.len() < BUFFERED_MAX, "a publisher to be held up", || {
            format!("{BUFFERED_MAX} messages were taken")
        })?;
    }
    join_all((0..IMPATIENT).map(|number| publish(format!("impatient {number}")))).await;
    gate.store(true, Ordering::SeqCst);
    settle(&site).await;
    kept.extend(bench.publish_many("afterwards", 20).await?);
    come_to_rest(&site, &[&inbox], kept.len()).await;
    let came: BTreeSet<String> = inbox.bodies().into_iter().collect();
    let missing: Vec<&String> = kept.iter().filter(|text| !came.contains(*text)).take(9).collect();
    expect(missing.is_empty(), "each message to come that a publisher was told was taken", || {
        format!("{missing:?} did not come")
    })
}

async fn a_slow_consumer_holds_nobody_up(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (_inbox, _gate) = gated(&bench).await?;
    let beyond = kept(site.promises().slow_consumer).unwrap_or_default() + 100;
    for number in 0..beyond {
        let message = message(&format!("message {number}"));
        let publish = bench.broker.publish(&bench.topic, &message, PublishOptions::default());
        // Whether it says that somebody is too slow is its own affair.
        let _ = site.within(&format!("publish message {number}"), site.by_world(SLACK.times(4)), publish).await?;
    }
    Ok(())
}

async fn as_much_is_kept_as_promised(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, gate) = gated(&bench).await?;
    let kept = kept(site.promises().slow_consumer).unwrap_or_default();
    for number in 0..kept {
        bench.publish(&format!("message {number}")).await?;
    }
    settle(&site).await;
    gate.store(true, Ordering::SeqCst);
    come_to_rest(&site, &[&inbox], kept).await;
    expect(inbox.count() >= kept, format!("the {kept} messages that are kept by promise"), || {
        format!("{} came", inbox.count())
    })
}
