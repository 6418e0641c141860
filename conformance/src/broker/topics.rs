//! Topics: each is one of its own, whatever its name looks like. Patterns and wildcards are the backends' affair.

use shaketable_stack::broker::{PublishOptions, SubscribeOptions};
use std::sync::Arc;

use super::tools::{ARRIVES, Bench, Inbox, come_to_rest, message, settle};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Finding, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "BRK-013",
        level: Must,
        sentence: "A message comes to no subscriber of another topic, however similar its name is.",
        source: "go-micro broker/broker.go: Subscribe(topic)",
        needs: &[],
        check: check!(similar_topics_are_different),
    },
    Requirement {
        id: "BRK-014",
        level: Must,
        sentence: "An unusual topic is refused with an error or carried, and never lost or confused with another.",
        source: "decision of shaketable: backends restrict names differently; what is accepted must work",
        needs: &[],
        check: check!(an_unusual_topic_is_refused_or_carried),
    },
    Requirement {
        id: "BRK-015",
        level: Should,
        sentence: "Topics of Unicode letters, with separators and of 255 bytes are carried.",
        source: "decision of shaketable: go-micro passes any topic on, so services use them",
        needs: &[],
        check: check!(common_unusual_topics_are_carried),
    },
];

async fn similar_topics_are_different(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let names = ["order", "orders", "orders.paid", "orders.paid.late", "orders.pai", "Orders", "ORDERS", "sredro"];
    let mut inboxes = Vec::new();
    for name in names {
        let bench = bench.about(&site.name(name));
        let (inbox, subscriber) = bench.subscribe(None).await?;
        inboxes.push((bench, inbox, subscriber));
    }
    bench.open().await?;
    for (bench, inbox, _) in &inboxes {
        bench.arrives(&bench.topic, &[inbox]).await?;
    }
    settle(&site).await;
    for (bench, inbox, _) in &inboxes {
        let bodies = inbox.bodies();
        let own = bodies.iter().all(|body| *body == bench.topic);
        expect(own, format!("messages of topic {:?} alone", bench.topic), || format!("those of {bodies:?}"))?;
    }
    Ok(())
}

async fn an_unusual_topic_is_refused_or_carried(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let names = [
        String::new(),
        " ".to_owned(),
        "a b".to_owned(),
        "a%20b".to_owned(),
        "a+b".to_owned(),
        "a/b".to_owned(),
        "/".to_owned(),
        "a?b=c&id=d#e".to_owned(),
        "bestellungen.geändert".to_owned(),
        "注文".to_owned(),
        "🛒".to_owned(),
        "\"quoted\\".to_owned(),
        "line\nbreak".to_owned(),
        "nul\0inside".to_owned(),
        "x".repeat(1000),
    ];
    let mut accepted: Vec<(Bench, Arc<Inbox>, Arc<_>)> = Vec::new();
    for name in names {
        let bench = bench.about(&if name.is_empty() { name } else { site.name(&name) });
        let inbox = Arc::<Inbox>::default();
        let subscribe = bench.broker.subscribe(&bench.topic, inbox.clone(), SubscribeOptions::default());
        if let Ok(subscriber) = site.ends(&format!("subscribe to {:.40?}", bench.topic), subscribe).await? {
            accepted.push((bench, inbox, subscriber));
        }
    }
    settle(&site).await;
    for (index, (bench, inbox, _)) in accepted.iter().enumerate() {
        refused_or_arrives(bench, &index.to_string(), inbox).await?;
    }
    settle(&site).await;
    for (index, (bench, inbox, _)) in accepted.iter().enumerate() {
        let bodies = inbox.bodies();
        let own = bodies.iter().all(|body| *body == index.to_string());
        expect(own, format!("messages of topic {:.40?} alone", bench.topic), || {
            let others = bodies.iter().filter_map(|body| accepted.get(body.parse::<usize>().ok()?));
            format!("also those of {:.200?}", others.map(|(bench, ..)| &bench.topic).collect::<Vec<_>>())
        })?;
    }
    Ok(())
}

async fn refused_or_arrives(bench: &Bench, body: &str, inbox: &Arc<Inbox>) -> Outcome {
    let site = &bench.site;
    for _ in 0..5 {
        let message = message(body);
        let publish = bench.broker.publish(&bench.topic, &message, PublishOptions::default());
        if site.ends(&format!("publish to {:.40?}", bench.topic), publish).await?.is_err() {
            return Ok(());
        }
        come_to_rest(site, &[inbox], 1).await;
        if inbox.count() > 0 {
            return Ok(());
        }
    }
    Err(Finding::violated(
        format!("a message to the accepted topic {:.40?} to be delivered within {ARRIVES:?}", bench.topic),
        "it was accepted and never came",
    ))
}

async fn common_unusual_topics_are_carried(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let name = site.name("");
    let long = "x".repeat(255_usize.saturating_sub(name.len()));
    let mut carried = Vec::new();
    for name in ["orders.paid", "orders-paid", "orders_paid", "orders:paid", "orders/paid", "注文", "geändert", &long]
    {
        let bench = bench.about(&site.name(name));
        let (inbox, _subscriber) = bench.subscribe(None).await?;
        carried.push((bench, inbox));
    }
    // All are there before the first message: that a subscription may come later is another requirement's.
    bench.open().await?;
    for (bench, inbox) in &carried {
        bench.arrives("hello", &[inbox]).await?;
    }
    Ok(())
}
