//! Queue groups: one member of each queue gets a message, and who is in no queue gets it besides.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use shaketable_stack::ErrorKind;
use shaketable_stack::broker::{Handler, SubscribeOptions};
use shaketable_stack::plugin::Ability;

use super::probes::open;
use super::tools::{Bench, Inbox, NEVER_LOST, calling, come_to_rest, judge_all, judge_shared, settle};
use crate::Level::{Must, Should};
use crate::requirement::{Need, check};
use crate::{Host, Outcome, Requirement, Site, expect};

const QUEUES: &[Need] = &[Need::Has(Ability::QueueGroups)];

/// Where the members of one broker do not share, nothing else about sharing can be seen.
const SHARED: &[Need] = &[Need::Has(Ability::QueueGroups), Need::Upheld(&["BRK-016"])];

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "BRK-016",
        level: Must,
        sentence: "One member of a queue gets a message, also where all members use the same broker.",
        source: "go-micro broker/memory.go of v6 ignores the queue, and broker/http.go delivers twice in one process",
        needs: QUEUES,
        check: check!(one_member_of_a_queue_gets_a_message),
    },
    Requirement {
        id: "BRK-017",
        level: Must,
        sentence: "Of members on several hosts, one gets a message, whichever host publishes it.",
        source: "go-micro broker/options.go: Queue, to share a subscription between processes",
        needs: SHARED,
        check: check!(members_on_several_hosts_share),
    },
    Requirement {
        id: "BRK-018",
        level: Must,
        sentence: "Each of several queues of a topic gets every message, once.",
        source: "go-micro issues 1209 and 2687 and go-plugins issue 555: N queues, N times N runs",
        needs: SHARED,
        check: check!(each_queue_gets_every_message_once),
    },
    Requirement {
        id: "BRK-019",
        level: Must,
        sentence: "A subscriber in no queue gets every message whatever queues there are beside it.",
        source: "go-micro broker/options.go: Queue; subscribers without one get a copy each",
        needs: SHARED,
        check: check!(queues_take_nothing_from_others),
    },
    Requirement {
        id: "BRK-020",
        level: Must,
        sentence: "A queue of one topic has nothing to do with the queue of that name of another topic.",
        source: "go-micro broker/options.go: Queue is an option of a subscription to one topic",
        needs: QUEUES,
        check: check!(a_queue_belongs_to_its_topic),
    },
    Requirement {
        id: "BRK-021",
        level: Must,
        sentence: "When a member leaves a queue, the others get what is published from then on.",
        source: "go-micro broker/broker.go: Unsubscribe",
        needs: SHARED,
        check: check!(a_queue_goes_on_without_a_member),
    },
    Requirement {
        id: "BRK-022",
        level: Must,
        sentence: "What a member was given before it leaves is handled, by itself or by another.",
        source: "NATS documentation, draining; decision of shaketable: a deployment replaces members, and is no fault",
        needs: &[Need::Has(Ability::QueueGroups), NEVER_LOST],
        check: check!(a_member_that_leaves_takes_nothing_along),
    },
    Requirement {
        id: "BRK-023",
        level: Should,
        sentence: "The members of a queue all get some of many messages.",
        source: "go-micro broker/options.go: Queue, to share the work",
        needs: QUEUES,
        check: check!(members_of_a_queue_share_the_work, "each of two or three members one of {} messages", MANY),
    },
    Requirement {
        id: "BRK-024",
        level: Should,
        sentence: "A queue without a name is none: each of its subscribers gets every message.",
        source: "go-micro broker/options.go: the empty string is the default of Queue",
        needs: QUEUES,
        check: check!(an_empty_queue_is_none),
    },
    Requirement {
        id: "BRK-025",
        level: Must,
        sentence: "A broker without queue groups refuses to subscribe in one with Unsupported.",
        source: "decision of shaketable: members that all get everything do the work several times, and nobody is told",
        needs: &[Need::Lacks(Ability::QueueGroups)],
        check: check!(a_queue_is_refused_where_there_are_none),
    },
];

/// By pure chance one of three members goes without any of them once in ten milliards of runs.
const MANY: usize = 60;

fn refs(inboxes: &[Arc<Inbox>]) -> Vec<&Arc<Inbox>> {
    inboxes.iter().collect()
}

async fn one_member_of_a_queue_gets_a_message(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let members = site.env().random("members").random_range(2..5);
    let mut inboxes = Vec::new();
    for _ in 0..members {
        inboxes.push(bench.subscribe(Some("workers")).await?.0);
    }
    bench.open().await?;
    let sent = bench.publish_many("work", 12).await?;
    come_to_rest(&site, &refs(&inboxes), sent.len()).await;
    judge_shared(&site, &sent, &refs(&inboxes))
}

async fn members_on_several_hosts_share(site: Site) -> Outcome {
    let here = Bench::connected(&site).await?;
    let there = Bench::on(&site, Host::Second).await?;
    let mut inboxes = Vec::new();
    for bench in [&here, &there, &there] {
        inboxes.push(bench.subscribe(Some("workers")).await?.0);
    }
    open(&site, &[&here, &there]).await?;
    let mut sent = here.publish_many("from here", 9).await?;
    sent.extend(there.publish_many("from there", 9).await?);
    come_to_rest(&site, &refs(&inboxes), sent.len()).await;
    judge_shared(&site, &sent, &refs(&inboxes))
}

async fn each_queue_gets_every_message_once(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let mut queues = Vec::new();
    for queue in ["billing", "shipping", "audit"] {
        let mut members = Vec::new();
        for _ in 0..site.env().random(queue).random_range(1..3) {
            members.push(bench.subscribe(Some(queue)).await?.0);
        }
        queues.push(members);
    }
    bench.open().await?;
    let sent = bench.publish_many("order", 5).await?;
    let all: Vec<_> = queues.iter().flatten().collect();
    come_to_rest(&site, &all, sent.len() * queues.len()).await;
    queues.iter().try_for_each(|members| judge_shared(&site, &sent, &refs(members)))
}

async fn queues_take_nothing_from_others(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (before, _before) = bench.subscribe(None).await?;
    let mut members = Vec::new();
    for _ in 0..2 {
        members.push(bench.subscribe(Some("workers")).await?.0);
    }
    let (after, _after) = bench.subscribe(None).await?;
    bench.open().await?;
    let sent = bench.publish_many("order", 8).await?;
    let all: Vec<_> = members.iter().chain([&before, &after]).collect();
    come_to_rest(&site, &all, sent.len() * 3).await;
    judge_all(&site, &sent, &before)?;
    judge_all(&site, &sent, &after)?;
    judge_shared(&site, &sent, &refs(&members))
}

async fn a_queue_belongs_to_its_topic(site: Site) -> Outcome {
    let orders = Bench::connected(&site).await?;
    let payments = orders.about(&site.name("payments"));
    let (of_orders, _of_orders) = orders.subscribe(Some("workers")).await?;
    let (of_payments, _of_payments) = payments.subscribe(Some("workers")).await?;
    orders.open().await?;
    let ordered = orders.publish_many("order", 6).await?;
    let paid = payments.publish_many("payment", 6).await?;
    come_to_rest(&site, &[&of_orders, &of_payments], ordered.len() + paid.len()).await;
    judge_all(&site, &ordered, &of_orders)?;
    judge_all(&site, &paid, &of_payments)
}

async fn a_queue_goes_on_without_a_member(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(bench.subscribe(Some("workers")).await?);
    }
    bench.open().await?;
    bench.publish_many("before", 3).await?;
    let (gone, leaving) = members.remove(site.env().random("who leaves").random_range(0..3));
    site.ask("unsubscribe", leaving.unsubscribe()).await?;
    settle(&site).await;
    let sent = bench.publish_many("after", 9).await?;
    let rest: Vec<_> = members.iter().map(|(inbox, _)| inbox.clone()).collect();
    come_to_rest(&site, &refs(&rest), sent.len()).await;
    judge_shared(&site, &sent, &refs(&rest))?;
    let late = gone.bodies().into_iter().find(|body| sent.contains(body));
    expect(late.is_none(), "no message for a member that has left", || format!("{late:?}"))
}

async fn a_member_that_leaves_takes_nothing_along(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let handled = Arc::<Inbox>::default();
    let mut members = Vec::new();
    for _ in 0..2 {
        let (kept, env) = (handled.clone(), site.env().clone());
        let slow = calling(move |event| {
            let (kept, env) = (kept.clone(), env.clone());
            async move {
                crate::site::takes(&env, Duration::from_millis(20)).await;
                kept.handle(event).await
            }
        });
        let options = SubscribeOptions { queue: Some("workers".to_owned()), ..SubscribeOptions::default() };
        members.push(bench.handle(slow, options).await?);
    }
    bench.open().await?;
    let mut sent = bench.publish_many("before", 24).await?;
    let leaving = members.swap_remove(site.env().random("who leaves").random_range(0..2));
    site.ask("unsubscribe", leaving.unsubscribe()).await?;
    sent.extend(bench.publish_many("after", 4).await?);
    come_to_rest(&site, &[&handled], sent.len()).await;
    judge_shared(&site, &sent, &[&handled])
}

async fn members_of_a_queue_share_the_work(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let mut inboxes = Vec::new();
    for _ in 0..site.env().random("members").random_range(2..4) {
        inboxes.push(bench.subscribe(Some("workers")).await?.0);
    }
    bench.open().await?;
    let sent = bench.publish_many("work", MANY).await?;
    come_to_rest(&site, &refs(&inboxes), sent.len()).await;
    let counts: Vec<usize> = inboxes.iter().map(|inbox| inbox.count()).collect();
    expect(counts.iter().all(|count| *count > 0), format!("every member to get some of {MANY} messages"), || {
        format!("{counts:?}")
    })
}

async fn an_empty_queue_is_none(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (one, _one) = bench.subscribe(Some("")).await?;
    let (two, _two) = bench.subscribe(Some("")).await?;
    bench.open().await?;
    let sent = bench.publish_many("order", 5).await?;
    come_to_rest(&site, &[&one, &two], sent.len() * 2).await;
    judge_all(&site, &sent, &one)?;
    judge_all(&site, &sent, &two)
}

async fn a_queue_is_refused_where_there_are_none(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let options = SubscribeOptions { queue: Some("workers".to_owned()), ..SubscribeOptions::default() };
    let subscribe = bench.broker.subscribe(&bench.topic, Arc::new(Inbox::default()), options);
    site.refused("subscribe in a queue", &[ErrorKind::Unsupported], subscribe).await.map(drop)
}
