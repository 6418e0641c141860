//! What a broker works with: its registry, which may fail, connections, which it uses again and which may be slow, and
//! options.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::broker::PublishOptions;
use shaketable_stack::plugin::{Order, Setting, Settings};

use super::network::{delayed, opened_through};
use super::tools::{Bench, come_to_rest, message, settle};
use crate::Level::{Must, Should};
use crate::requirement::{Need, check};
use crate::selector::directory::{Directory, Mood};
use crate::{Finding, Outcome, Requirement, Site, expect};

/// How many connections so many messages may open.
const CONNECTIONS: usize = 3;
const MESSAGES: usize = 50;
/// How many messages are published while the registry fails.
const ACCEPTED: usize = 6;
/// How late the bytes of a connection arrive where they are late.
const LATE: Duration = Duration::from_millis(400);
/// How long a publisher waits for one of them.
const PATIENCE: Duration = Duration::from_millis(100);

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "BRK-085",
        level: Should,
        sentence: "Messages that follow one another to one subscriber share connections.",
        source: "go-micro broker/http.go: one http.Client for all messages, and each response is read to its end, so that its \
                 connection is used again; decision of shaketable: a host has fewer ports than messages",
        needs: &[Need::Network],
        check: check!(messages_share_connections, "{} further connections for {} messages", CONNECTIONS, MESSAGES),
    },
    Requirement {
        id: "BRK-086",
        level: Must,
        sentence: "While its registry fails, a broker delivers messages or says that it cannot.",
        source: "go-micro broker/http.go: Publish returns the error of GetService; registry/cache/cache.go, which it asks: get \
                 answers with what it has when the registry fails",
        needs: &[Need::InProcess("the registry that its plugin works with")],
        check: check!(a_registry_that_fails_loses_nothing_in_silence, "of {} that are accepted one arrives", ACCEPTED),
    },
    Requirement {
        id: "BRK-090",
        level: Must,
        sentence: "Where order is promised, a message whose publication was given up does not come after one that was \
                   published later.",
        source: "decision of shaketable: what is late because its publisher lost patience must not overtake; the plugin's \
                 own promise",
        needs: &[
            Need::Promises("order per publisher", |promises| {
                matches!(promises.order, Some(Order::PerPublisher | Order::Total))
            }),
            Need::InProcess("a publication that is given up"),
        ],
        check: check!(what_was_given_up_comes_in_order_or_not_at_all),
    },
    Requirement {
        id: "BRK-091",
        level: Should,
        sentence: "A broker is not made with an option that it does not know.",
        source: "decision of shaketable: a misspelt option that is ignored is found out in production",
        needs: &[Need::InProcess("options")],
        check: check!(unknown_options_are_refused),
    },
];

async fn messages_share_connections(site: Site) -> Outcome {
    let (site, connections) = opened_through(&site);
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    bench.arrives("warm", &[&inbox]).await?;
    let before = connections.opened();
    bench.publish_many("message", MESSAGES).await?;
    let opened = connections.opened() - before;
    let expected = format!("{CONNECTIONS} more connections at most for {MESSAGES} messages");
    expect(opened <= CONNECTIONS, expected, || format!("{opened}"))
}

async fn a_registry_that_fails_loses_nothing_in_silence(site: Site) -> Outcome {
    let directory = Arc::new(Directory::new(site.env().clone()));
    let bench = Bench::of(&site, site.broker(directory.clone()).await?);
    bench.connect().await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    bench.arrives("before", &[&inbox]).await?;
    settle(&site).await;
    let came = inbox.count();
    directory.turn(Mood::Fails);
    let mut published = 0;
    for number in 0..ACCEPTED {
        let message = message(&format!("meanwhile {number}"));
        let publish = bench.broker.publish(&bench.topic, &message, PublishOptions::default());
        published += usize::from(site.ends("publish while the registry fails", publish).await?.is_ok());
    }
    come_to_rest(&site, &[&inbox], came + published).await;
    // A single one may be lost where that is allowed; all of them may not.
    let meanwhile = inbox.count() - came;
    expect(
        published == 0 || meanwhile > 0,
        "some of what was published while the registry failed to be delivered",
        || format!("none of {published}"),
    )?;
    directory.turn(Mood::Works);
    bench.arrives("after", &[&inbox]).await
}

async fn what_was_given_up_comes_in_order_or_not_at_all(site: Site) -> Outcome {
    let receiver = Bench::connected(&site).await?;
    let (inbox, _subscriber) = receiver.subscribe(None).await?;
    receiver.open().await?;
    let (slow, delay) = delayed(&site);
    let publisher = Bench::connected(&slow).await?;
    for round in 0..4 {
        delay.set(LATE);
        let message = message(&format!("given up {round}"));
        let publish = publisher.broker.publish(&publisher.topic, &message, PublishOptions::default());
        // Whether it is done by then is not what is judged.
        let _ = site.env().timeout(PATIENCE, publish).await;
        delay.set(Duration::ZERO);
        publisher.arrives(&format!("later {round}"), &[&inbox]).await?;
        site.quiet_for(LATE * 2).await;
    }
    let bodies = inbox.bodies();
    let place = |body: String| bodies.iter().position(|came| *came == body);
    for round in 0..4 {
        let (given_up, later) = (place(format!("given up {round}")), place(format!("later {round}")));
        expect(
            given_up.is_none() || given_up < later,
            "what was given up to come before what followed, or never",
            || format!("{bodies:?}"),
        )?;
    }
    Ok(())
}

async fn unknown_options_are_refused(site: Site) -> Outcome {
    let name = &site.shared.subject.plugin;
    let factory = site.shared.plugins.brokers.get(name).map(|plugin| plugin.factory.clone());
    let factory = factory.map_err(|error| Finding::Broke(error.to_string()))?;
    let unknown = ("an_option_that_nobody_knows".to_owned(), Setting::Bool(true));
    let settings = Settings::new(site.shared.subject.addresses.clone(), [unknown].into());
    let registry = site.registry().await?;
    let made =
        site.ends("make the broker with an unknown option", factory(site.env().clone(), registry, settings)).await?;
    expect(made.is_err(), "an option that nobody knows to be refused", || "a broker".to_owned())
}
