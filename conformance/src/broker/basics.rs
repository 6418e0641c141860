//! Publish and subscribe: who subscribed gets what is published, as it was published, on this host and on others.

use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, RngCore};
use shaketable_stack::ErrorKind;
use shaketable_stack::broker::{Message, PublishOptions};
use shaketable_stack::metadata::Metadata;

use super::probes::open;
use super::tools::{Bench, NEVER_LOST, come_to_rest, judge_all, message, settle};
use crate::Level::{Must, Should};
use crate::requirement::{Need, check};
use crate::sizes::SIZES;
use crate::{Finding, Host, Outcome, Requirement, Site, expect};

/// What every broker carries, whatever it promises.
const MODEST_BYTES: usize = (16 << 10) + 1;
/// A while in which nothing is published.
const QUIET: Duration = Duration::from_secs(2);
/// Larger promises are not tried out: they would cost more than they show.
const TRIED_BYTES_MAX: usize = 16 << 20;

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "BRK-001",
        level: Must,
        sentence: "A message that is published to a topic comes to who has subscribed to it, after a quiet while, too.",
        source: "go-micro broker/broker.go: Publish, Subscribe",
        needs: &[],
        check: check!(a_published_message_comes_to_its_subscriber),
    },
    Requirement {
        id: "BRK-002",
        level: Must,
        sentence: "A message is delivered if it is published right after subscribing has returned.",
        source: "decision of shaketable: a subscriber that must wait for an unknown time cannot know what it missed",
        needs: &[NEVER_LOST],
        check: check!(what_is_published_right_after_subscribing_is_delivered),
    },
    Requirement {
        id: "BRK-003",
        level: Must,
        sentence: "A body arrives byte for byte, from none to 4 MiB and a byte; one beyond what is promised, or beyond 16 KiB \
                   and a byte where no size is, may be refused with TooLarge instead.",
        source: "go-micro broker/broker.go: Message.Body; issue 655: a body that a transport cut at the size of its \
                 buffer",
        needs: &[],
        check: check!(a_body_arrives_byte_for_byte),
    },
    Requirement {
        id: "BRK-004",
        level: Must,
        sentence: "Every header of a message arrives with its value.",
        source: "go-micro broker/broker.go: Message",
        needs: &[],
        check: check!(every_header_arrives),
    },
    Requirement {
        id: "BRK-005",
        level: Should,
        sentence: "Headers arrive as they were sent: names in the same upper and lower case, and values also where they \
                   are empty or not ASCII.",
        source: "go-micro issue 2738: a name of metadata in another case gave an old value; broker/http.go and \
                 broker/nats/nats.go: headers are written as JSON, which keeps both; decision of shaketable: so should others",
        needs: &[],
        check: check!(headers_arrive_exactly),
    },
    Requirement {
        id: "BRK-006",
        level: Must,
        sentence: "An event names the topic that its handler was subscribed to.",
        source: "go-micro broker/broker.go: Event.Topic",
        needs: &[],
        check: check!(an_event_names_its_topic),
    },
    Requirement {
        id: "BRK-007",
        level: Must,
        sentence: "Publishing to a topic that nobody has subscribed to is no error.",
        source: "go-micro broker/http.go of v6 answers the registry's ErrNotFound; v1 did not",
        needs: &[],
        check: check!(publishing_to_nobody_is_no_error),
    },
    Requirement {
        id: "BRK-008",
        level: Must,
        sentence: "Every subscriber of a topic that is in no queue gets the message.",
        source: "go-micro broker/memory.go: Publish to all subscribers",
        needs: &[],
        check: check!(every_subscriber_gets_the_message),
    },
    Requirement {
        id: "BRK-009",
        level: Must,
        sentence: "A message that is published on one host reaches subscribers on that host and on another, from either \
                   of the two.",
        source: "go-micro broker/broker.go: a broker is for asynchronous messaging between services",
        needs: &[],
        check: check!(a_message_comes_to_another_host_and_back),
    },
    Requirement {
        id: "BRK-010",
        level: Must,
        sentence: "None of many messages that follow one another is lost.",
        source: "go-micro broker/http.go: a topic's backlog drops what exceeds 64 messages",
        needs: &[NEVER_LOST],
        check: check!(no_message_of_a_burst_is_lost),
    },
    Requirement {
        id: "BRK-011",
        level: Must,
        sentence: "A body of exactly the promised size is delivered.",
        source: "the plugin's own promise",
        needs: &[PROMISES_SIZE],
        check: check!(the_largest_body_is_delivered),
    },
    Requirement {
        id: "BRK-012",
        level: Must,
        sentence: "A body beyond the promised size is refused with TooLarge, and nothing else suffers.",
        source: "go-micro broker/http.go: ServeHTTP reads a body without bound; the size is the plugin's own promise",
        needs: &[PROMISES_SIZE],
        check: check!(a_body_beyond_the_limit_is_refused),
    },
    Requirement {
        id: "BRK-088",
        level: Should,
        sentence: "Headers that are too large for a broker are refused with TooLarge.",
        source: "go-micro broker/http.go: headers travel in the same JSON as the body; decision of shaketable: the kind of an \
                 error must not depend on which part of a message is too large",
        needs: &[PROMISES_SIZE, Need::InProcess("sizes that the protocol of adapters has no limit of its own for")],
        check: check!(headers_that_are_too_large_are_refused),
    },
    Requirement {
        id: "BRK-089",
        level: Should,
        sentence: "A broker that refuses a body with TooLarge promises up to which size it takes them.",
        source: "decision of shaketable: who publishes must be able to know the limit before",
        needs: &[Need::InProcess("sizes that the protocol of adapters has no limit of its own for")],
        check: check!(who_refuses_a_size_promises_one),
    },
];

const PROMISES_SIZE: Need = Need::Promises("a largest message that can be tried out", |promises| {
    promises.message_bytes_max.is_some_and(|size| size <= TRIED_BYTES_MAX)
});

async fn a_published_message_comes_to_its_subscriber(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    bench.arrives("hello", &[&inbox]).await?;
    site.let_pass(QUIET).await;
    bench.arrives("hello again", &[&inbox]).await
}

async fn what_is_published_right_after_subscribing_is_delivered(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let mut inboxes = Vec::new();
    for round in 0..3 {
        let (inbox, subscriber) = bench.subscribe(None).await?;
        bench.arrives(&format!("message {round}"), &[&inbox]).await?;
        inboxes.push((inbox, subscriber));
    }
    Ok(())
}

async fn a_body_arrives_byte_for_byte(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    let mut random = site.env().random("bodies");
    let drawn = random.random_range(2..MODEST_BYTES);
    let limit = site.promises().message_bytes_max.unwrap_or(MODEST_BYTES);
    for size in std::iter::once(drawn).chain(SIZES) {
        let message = Message { body: bytes(&mut random, size), ..message("") };
        if size > limit {
            // Nobody has promised so much; but what is accepted arrives whole.
            let what = format!("publish {size} bytes");
            let published = bench.broker.publish(&bench.topic, &message, PublishOptions::default());
            match site.ends(&what, published).await? {
                Err(error) if error.kind() == ErrorKind::TooLarge => continue,
                published => site.ask(&what, async { published }).await?,
            }
        }
        bench.arrives_as(&message, &[&inbox], |came| came.body == message.body).await?;
    }
    Ok(())
}

fn bytes(random: &mut impl RngCore, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    random.fill_bytes(&mut bytes);
    bytes.into()
}

async fn every_header_arrives(site: Site) -> Outcome {
    let header = [
        ("Content-Type", "application/json"),
        ("Micro-Id", "17"),
        ("X-Trace-Id", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"),
        ("X-Punctuation", "a=b; c=\"d\", {e: [f]} \\ %20 & <g>"),
        ("X-Number", "18446744073709551615"),
    ];
    let mut header: Metadata = header.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    header.insert("X-Long".to_owned(), "0123456789".repeat(100));
    headers_come(&site, header, str::eq_ignore_ascii_case).await
}

async fn headers_arrive_exactly(site: Site) -> Outcome {
    let header = [("x-lower", "1"), ("X-UPPER", "2"), ("x-Mixed_case", "3"), ("X-Empty", ""), ("X-Name", "Zoë ✓ 東京")];
    let header = header.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    headers_come(&site, header, |one, other| one == other).await
}

async fn headers_come(site: &Site, header: Metadata, same: fn(&str, &str) -> bool) -> Outcome {
    let bench = Bench::connected(site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    let message = Message { header, ..message("with headers") };
    let wanted = |came: &Message| {
        let has = |name: &str, value: &str| came.header.iter().any(|(other, got)| same(other, name) && got == value);
        message.header.iter().all(|(name, value)| has(name, value))
    };
    bench.arrives_as(&message, &[&inbox], wanted).await
}

async fn an_event_names_its_topic(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    // Neither ends before the other has heard: what an end does to others is no matter of this requirement.
    let (orders, paid) = (bench.about(&site.name("orders")), bench.about(&site.name("orders.paid")));
    let (heard, _subscriber) = orders.subscribe(None).await?;
    let (heard_paid, _other) = paid.subscribe(None).await?;
    orders.open().await?;
    paid.open().await?;
    for (bench, inbox) in [(orders, heard), (paid, heard_paid)] {
        bench.arrives("hello", &[&inbox]).await?;
        let topics = inbox.topics();
        expect(topics.iter().all(|topic| *topic == bench.topic), format!("events of topic {:?}", bench.topic), || {
            format!("events of {topics:?}")
        })?;
    }
    Ok(())
}

async fn publishing_to_nobody_is_no_error(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    bench.publish("to nobody").await?;
    // Also where somebody listens to something else, and where the last one has left.
    let other = bench.about(&site.name("payments"));
    let (inbox, subscriber) = other.subscribe(None).await?;
    other.open().await?;
    bench.publish("to nobody").await?;
    site.ask("unsubscribe", subscriber.unsubscribe()).await?;
    other.publish("to nobody any more").await?;
    settle(&site).await;
    expect(inbox.count() == 0, "no message without a subscriber to be delivered", || format!("{:?}", inbox.bodies()))
}

async fn every_subscriber_gets_the_message(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let count = site.env().random("subscribers").random_range(2..7);
    let mut subscribers = Vec::new();
    for _ in 0..count {
        subscribers.push(bench.subscribe(None).await?);
    }
    bench.open().await?;
    let inboxes: Vec<_> = subscribers.iter().map(|(inbox, _)| inbox).collect();
    bench.arrives("to all", &inboxes).await
}

async fn a_message_comes_to_another_host_and_back(site: Site) -> Outcome {
    let here = Bench::connected(&site).await?;
    let there = Bench::on(&site, Host::Second).await?;
    let (one, _one) = here.subscribe(None).await?;
    let (two, _two) = there.subscribe(None).await?;
    open(&site, &[&here, &there]).await?;
    here.arrives("from here", &[&one, &two]).await?;
    there.arrives("from there", &[&one, &two]).await
}

async fn no_message_of_a_burst_is_lost(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    let sent = bench.publish_many("burst", 200).await?;
    come_to_rest(&site, &[&inbox], sent.len()).await;
    judge_all(&site, &sent, &inbox)
}

fn limit(site: &Site) -> Result<usize, Finding> {
    let limit = site.promises().message_bytes_max;
    limit.ok_or_else(|| Finding::Broke("no size is promised".to_owned()))
}

async fn the_largest_body_is_delivered(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    let limit = limit(&site)?;
    let mut random = site.env().random("bodies");
    for size in [limit.saturating_sub(1), limit] {
        let message = Message { body: bytes(&mut random, size), ..message("") };
        bench.arrives_as(&message, &[&inbox], |came| came.body == message.body).await?;
    }
    Ok(())
}

async fn a_body_beyond_the_limit_is_refused(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    let size = limit(&site)? + 1;
    let large = Message { body: vec![b'x'; size].into(), ..message("") };
    let publish = bench.broker.publish(&bench.topic, &large, PublishOptions::default());
    site.refused(&format!("publish {size} bytes"), &[ErrorKind::TooLarge], publish).await?;
    bench.arrives("small", &[&inbox]).await?;
    expect(inbox.bodies().iter().all(|body| body == "small"), "nothing of what was refused to be delivered", || {
        format!("{} messages", inbox.count())
    })
}

async fn headers_that_are_too_large_are_refused(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (_inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    let mut large = message("with a large header");
    large.header.insert("X-Large".to_owned(), "x".repeat(limit(&site)? * 2));
    let publish = bench.broker.publish(&bench.topic, &large, PublishOptions::default());
    match site.ends("publish a message with a header twice as large as the largest body", publish).await? {
        Err(error) if error.kind() != ErrorKind::TooLarge => {
            Err(Finding::violated("it to be published, or to be refused with TooLarge", format!("the error `{error}`")))
        }
        _ => Ok(()),
    }
}

async fn who_refuses_a_size_promises_one(site: Site) -> Outcome {
    if site.promises().message_bytes_max.is_some() {
        return Ok(());
    }
    let bench = Bench::connected(&site).await?;
    let large = Message { body: vec![b'x'; TRIED_BYTES_MAX].into(), ..message("") };
    let publish = bench.broker.publish(&bench.topic, &large, PublishOptions::default());
    let published = site.ends(&format!("publish {TRIED_BYTES_MAX} bytes"), publish).await?;
    expect(!published.is_err_and(|error| error.kind() == ErrorKind::TooLarge), "a largest size to be promised", || {
        format!("none, and {TRIED_BYTES_MAX} bytes are too large")
    })
}
