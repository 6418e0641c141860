//! Faults: a link that is cut and heals, a host that dies, stands still or comes back, a backend that starts again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::Rng;
use shaketable_sim::world::{Capability, Fault};
use shaketable_stack::broker::PublishOptions;
use shaketable_stack::plugin::{Ability, Order};

use super::probes::open;
use super::tools::{Bench, come_to_rest, judge_all, judge_shared, message};
use crate::Level::{Must, Should};
use crate::backend::{Act, Verb};
use crate::requirement::{Need, check};
use crate::{Check, Finding, Host, Outcome, Requirement, Site, expect};

/// How long an outage lasts: longer than most time-outs of single requests.
const OUTAGE: Duration = Duration::from_secs(20);
/// How long after an outage everything may take to work again: reconnecting backs off for up to a minute or two.
const HEALED_WITHIN: Duration = Duration::from_secs(180);
/// How long a publisher may be held up by a subscriber that cannot be reached.
const HELD_UP: Duration = Duration::from_secs(60);
/// By then a registration that nobody renews has run out, several times.
const FORGOTTEN: Duration = Duration::from_secs(300);

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "BRK-070",
        level: Must,
        sentence: "After a cut between two hosts has healed, messages come to the subscriptions of before.",
        source: "go-plugins issues 84 and 97, pull request 205: no subscription after a reconnect; go-micro/plugins pull \
                 request 18: publishing and consuming block after one",
        needs: &[Need::Network, Need::World(Capability::Cut), Need::VirtualTime],
        check: check!(subscriptions_survive_a_cut, "within {}", HEALED_WITHIN),
    },
    Requirement {
        id: "BRK-071",
        level: Must,
        sentence: "While a subscriber's host is cut off, publishing ends within a minute and others get messages.",
        source: "go-micro broker/http.go posts to all nodes of a topic, dead ones included",
        needs: &[Need::Network, Need::World(Capability::Cut), Need::VirtualTime],
        check: check!(an_unreachable_subscriber_harms_nobody, "each publish within {}", HELD_UP),
    },
    Requirement {
        id: "BRK-072",
        level: Must,
        sentence: "After a subscriber's host has died without a word, others get every message that follows.",
        source: "go-micro broker/http.go: Publish goes on to the next node where one cannot be reached",
        needs: &[Need::World(Capability::CrashWithoutFin), Need::VirtualTime],
        check: check!(a_dead_host_harms_nobody, "each publish within {}", HELD_UP),
    },
    Requirement {
        id: "BRK-073",
        level: Must,
        sentence: "Within five minutes of a member's death the others of its queue get every message.",
        source: "go-micro broker/http.go: a subscription's registration with a TTL",
        needs: &[Need::Has(Ability::QueueGroups), Need::World(Capability::CrashWithoutFin), Need::VirtualTime],
        check: check!(a_queue_forgets_a_dead_member, "after {}", FORGOTTEN),
    },
    Requirement {
        id: "BRK-074",
        level: Must,
        sentence: "A host that has died and come back subscribes anew and gets each message once.",
        source: "go-micro issue 91: what is left of the dead subscriber",
        needs: &[Need::World(Capability::Crash), Need::VirtualTime],
        check: check!(a_host_that_came_back_gets_messages_once, "within {}", HEALED_WITHIN),
    },
    Requirement {
        id: "BRK-075",
        level: Should,
        sentence: "A subscriber whose host stood still gets what is published after it goes on.",
        source: "decision of shaketable: virtual machines are moved, and their processes stand still for seconds",
        needs: &[Need::World(Capability::Pause), Need::VirtualTime],
        check: check!(a_host_that_stood_still_gets_messages, "within {}", HEALED_WITHIN),
    },
    Requirement {
        id: "BRK-077",
        level: Must,
        sentence: "Where it is promised, messages come in their publisher's order though links break meanwhile.",
        source: "decision of shaketable: what is late because a link broke must not overtake; the plugin's own promise",
        needs: &[
            Need::Promises("order per publisher", |promises| {
                matches!(promises.order, Some(Order::PerPublisher | Order::Total))
            }),
            Need::Network,
            Need::World(Capability::Cut),
            Need::VirtualTime,
        ],
        check: check!(order_is_kept_over_broken_links),
    },
    Requirement {
        id: "BRK-078",
        level: Should,
        sentence: "Connect fails while the backend cannot be reached.",
        source: "go-plugins issue 114: Connect hides errors; issue 7 of shaketable completes the reference with brokers that \
                 have no server (memory, http), so that the first one with a server closes this row",
        needs: &[Need::Promises("a backend", |promises| promises.backend.is_some()), Need::Backend(Verb::Restart)],
        check: Check::NoReference,
    },
    Requirement {
        id: "BRK-079",
        level: Should,
        sentence: "After the backend was restarted, messages come to the subscriptions of before.",
        source: "go-plugins issues 84 and 97, pull request 205: no subscription after a reconnect; go-micro/plugins pull \
                 request 18: publishing and consuming block after one",
        needs: &[Need::Backend(Verb::Restart)],
        check: check!(subscriptions_survive_a_restart_of_the_backend, "within {}", HEALED_WITHIN),
    },
];

async fn subscriptions_survive_a_cut(site: Site) -> Outcome {
    let here = Bench::connected(&site).await?;
    let there = Bench::on(&site, Host::Second).await?;
    let (one, _one) = here.subscribe(None).await?;
    let (two, _two) = there.subscribe(None).await?;
    open(&site, &[&here, &there]).await?;
    here.arrives("before the cut", &[&one, &two]).await?;
    site.cut(Host::Home, Host::Second, true).await?;
    for _ in 0..2 {
        publish_somehow(&here, "during the cut").await?;
        site.let_pass(OUTAGE / 2).await;
    }
    site.cut(Host::Home, Host::Second, false).await?;
    here.opens_within(HEALED_WITHIN, &[&one, &two]).await?;
    there.opens_within(HEALED_WITHIN, &[&one, &two]).await?;
    here.arrives("after the cut", &[&one, &two]).await
}

/// Publishes what may fail but must end.
async fn publish_somehow(bench: &Bench, body: &str) -> Outcome {
    let message = message(body);
    let publish = bench.broker.publish(&bench.topic, &message, PublishOptions::default());
    bench.site.within(&format!("publish {body:?}"), HELD_UP, publish).await.map(drop)
}

async fn an_unreachable_subscriber_harms_nobody(site: Site) -> Outcome {
    let here = Bench::connected(&site).await?;
    let there = Bench::on(&site, Host::Second).await?;
    let third = Bench::on(&site, Host::Third).await?;
    let (one, _one) = here.subscribe(None).await?;
    let (_cut, _two) = there.subscribe(None).await?;
    let (three, _three) = third.subscribe(None).await?;
    open(&site, &[&here, &there, &third]).await?;
    here.arrives("before the cut", &[&one, &three]).await?;
    site.cut(Host::Home, Host::Second, true).await?;
    let sent: Vec<String> = (0..4).map(|number| format!("during the cut {number}")).collect();
    for body in &sent {
        publish_somehow(&here, body).await?;
    }
    come_to_rest(&site, &[&one, &three], 2 * (sent.len() + 1)).await;
    judge_all(&site, &sent, &one)?;
    judge_all(&site, &sent, &three)
}

async fn crash(site: &Site, host: Host, fin: bool) -> Outcome {
    site.inflict(Fault::Crash { host: host.name().to_owned(), fin }).await
}

async fn a_dead_host_harms_nobody(site: Site) -> Outcome {
    let here = Bench::connected(&site).await?;
    let there = Bench::on(&site, Host::Second).await?;
    let (one, _one) = here.subscribe(None).await?;
    let (dead, _two) = there.subscribe(None).await?;
    open(&site, &[&here, &there]).await?;
    here.arrives("before the crash", &[&one, &dead]).await?;
    let heard = dead.count();
    crash(&site, Host::Second, false).await?;
    let sent: Vec<String> = (0..4).map(|number| format!("after the crash {number}")).collect();
    for body in &sent {
        publish_somehow(&here, body).await?;
    }
    come_to_rest(&site, &[&one], sent.len() + 1).await;
    judge_all(&site, &sent, &one)?;
    expect(dead.count() == heard, "no handler of a dead host to run", || format!("{:?}", dead.bodies()))
}

async fn a_queue_forgets_a_dead_member(site: Site) -> Outcome {
    let here = Bench::connected(&site).await?;
    let there = Bench::on(&site, Host::Second).await?;
    let (lives, _one) = here.subscribe(Some("workers")).await?;
    let (_dies, _two) = there.subscribe(Some("workers")).await?;
    open(&site, &[&here, &there]).await?;
    here.publish_many("before the crash", 2).await?;
    crash(&site, Host::Second, false).await?;
    site.let_pass(FORGOTTEN).await;
    let before = lives.count();
    let sent = here.publish_many("after the crash", 8).await?;
    come_to_rest(&site, &[&lives], before + sent.len()).await;
    judge_shared(&site, &sent, &[&lives])
}

async fn a_host_that_came_back_gets_messages_once(site: Site) -> Outcome {
    let here = Bench::connected(&site).await?;
    let before = Bench::on(&site, Host::Second).await?;
    let (one, _one) = here.subscribe(None).await?;
    let (_old, _two) = before.subscribe(None).await?;
    open(&site, &[&here, &before]).await?;
    crash(&site, Host::Second, true).await?;
    site.let_pass(Duration::from_secs(2)).await;
    site.inflict(Fault::Restart { host: Host::Second.name().to_owned() }).await?;
    site.let_pass(Duration::from_secs(2)).await;
    let after = Bench::on(&site, Host::Second).await?;
    let (new, _new) = after.subscribe(None).await?;
    here.opens_within(HEALED_WITHIN, &[&one, &new]).await?;
    let sent = here.publish_many("after the restart", 6).await?;
    come_to_rest(&site, &[&one, &new], sent.len() * 4).await;
    judge_all(&site, &sent, &one)?;
    judge_all(&site, &sent, &new)
}

async fn a_host_that_stood_still_gets_messages(site: Site) -> Outcome {
    let here = Bench::connected(&site).await?;
    let there = Bench::on(&site, Host::Second).await?;
    let (one, _one) = here.subscribe(None).await?;
    let (two, _two) = there.subscribe(None).await?;
    open(&site, &[&here, &there]).await?;
    here.arrives("before", &[&one, &two]).await?;
    site.inflict(Fault::Pause { host: Host::Second.name().to_owned() }).await?;
    publish_somehow(&here, "meanwhile").await?;
    site.let_pass(OUTAGE / 2).await;
    site.inflict(Fault::Resume { host: Host::Second.name().to_owned() }).await?;
    here.opens_within(HEALED_WITHIN, &[&one, &two]).await?;
    here.arrives("afterwards", &[&one, &two]).await
}

/// Publishes from here to another host while the link between the two breaks again and again; returns what was published
/// and what came.
async fn over_broken_links(site: &Site) -> Result<(Vec<String>, Vec<String>), Finding> {
    let here = Bench::connected(site).await?;
    let there = Bench::on(site, Host::Second).await?;
    let (inbox, _subscriber) = there.subscribe(None).await?;
    open(site, &[&here, &there]).await?;
    here.opens_within(HEALED_WITHIN, &[&inbox]).await?;
    let done = AtomicBool::new(false);
    let publishing = async {
        let mut sent = Vec::new();
        while !done.load(Ordering::SeqCst) {
            let body = format!("message {}", sent.len());
            publish_somehow(&here, &body).await?;
            sent.push(body);
            site.let_pass(Duration::from_millis(5)).await;
        }
        Ok::<_, Finding>(sent)
    };
    let breaking = async {
        let mut random = site.env().random("broken links");
        let names = |host: Host| vec![host.name().to_owned()];
        for round in 0..4 {
            site.let_pass(Duration::from_millis(random.random_range(100..300))).await;
            // Answers are lost in each round, and in every other one messages as well.
            site.inflict(Fault::Cut { from: names(Host::Second), to: names(Host::Home) }).await?;
            if round % 2 == 1 {
                site.inflict(Fault::Cut { from: names(Host::Home), to: names(Host::Second) }).await?;
            }
            site.let_pass(Duration::from_millis(random.random_range(100..8000))).await;
            site.cut(Host::Home, Host::Second, false).await?;
        }
        site.let_pass(Duration::from_millis(200)).await;
        done.store(true, Ordering::SeqCst);
        Ok::<_, Finding>(())
    };
    let (sent, broken) = tokio::join!(publishing, breaking);
    broken?;
    here.opens_within(HEALED_WITHIN, &[&inbox]).await?;
    let sent = sent?;
    let came: Vec<String> = inbox.bodies().into_iter().filter(|body| sent.contains(body)).collect();
    Ok((sent, came))
}

async fn order_is_kept_over_broken_links(site: Site) -> Outcome {
    let (sent, came) = over_broken_links(&site).await?;
    let first_at = |body: &String| came.iter().position(|came| came == body);
    let places: Vec<usize> = sent.iter().filter_map(first_at).collect();
    let wrong = places.windows(2).find(|pair| pair[0] > pair[1]);
    expect(wrong.is_none(), "messages in the order of their publication", || {
        let shown = |place: usize| came.get(place).cloned().unwrap_or_default();
        wrong.map_or_else(String::new, |pair| format!("{:?} came before {:?}", shown(pair[1]), shown(pair[0])))
    })
}

async fn subscriptions_survive_a_restart_of_the_backend(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    bench.arrives("before", &[&inbox]).await?;
    site.backend(Act::Stop).await?;
    site.let_pass(Duration::from_secs(2)).await;
    site.backend(Act::Start).await?;
    bench.opens_within(HEALED_WITHIN, &[&inbox]).await?;
    bench.arrives("after", &[&inbox]).await?;
    Ok::<(), Finding>(())
}
