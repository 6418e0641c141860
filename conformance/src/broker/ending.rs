//! The end of a subscription: it comes soon, whatever its handler does, and nothing is left of one that never came about.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shaketable_stack::broker::SubscribeOptions;

use super::tools::{Bench, Inbox, calling, message, settle};
use crate::Level::Should;
use crate::requirement::{Need, check};
use crate::selector::directory::{Directory, Mood};
use crate::{Outcome, Requirement, Site, expect};

/// How long the end of a subscription may take while there is nothing to wait for.
const ENDS_WITHIN: Duration = Duration::from_secs(4);
/// How often something is done that must leave nothing behind.
const ROUNDS: usize = 6;
/// Tasks that may come and go by themselves.
const TASKS_SPARE: usize = 3;
/// How long they may take to go.
const TASKS_END_WITHIN: Duration = Duration::from_secs(20);
/// Longer than a registration waits for its renewal in most brokers.
const RENEWED: Duration = Duration::from_secs(120);

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "BRK-082",
        level: Should,
        sentence: "Unsubscribing, and disconnecting, takes less than four seconds while no handler is at work.",
        source: "decision of shaketable: whoever stops a service gives it seconds; go-micro broker/memory.go: Unsubscribe \
                 waits for nobody",
        needs: &[],
        check: check!(an_idle_subscription_ends_at_once, "within {}", ENDS_WITHIN),
    },
    Requirement {
        id: "BRK-083",
        level: Should,
        sentence: "Unsubscribing ends a handler that would never end by itself, and leaves no task of it.",
        source: "decision of shaketable: in Rust a handler can be dropped at its next await; otherwise each subscription \
                 that is stuck costs a task for ever",
        needs: &[Need::Tasks, Need::InProcess("a handler that is dropped")],
        check: check!(
            a_handler_that_never_ends_leaves_no_task,
            "{} tasks more, within {}",
            TASKS_SPARE,
            TASKS_END_WITHIN
        ),
    },
    Requirement {
        id: "BRK-084",
        level: Should,
        sentence: "A subscribe that is given up leaves nothing behind, neither a task nor deliveries.",
        source: "decision of shaketable: in Rust a caller gives up by dropping the future, and has no subscriber to end then",
        needs: &[Need::Tasks, Need::VirtualTime, Need::InProcess("a registry that does not answer")],
        check: check!(
            a_subscribe_that_is_given_up_leaves_nothing,
            "{} tasks more, within {}, and no delivery {} later",
            TASKS_SPARE,
            TASKS_END_WITHIN,
            RENEWED
        ),
    },
];

async fn an_idle_subscription_ends_at_once(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    for queue in [None, Some("workers")] {
        let queue = queue.filter(|_| !site.promises().lacks.contains(&shaketable_stack::plugin::Ability::QueueGroups));
        let (inbox, subscriber) = bench.subscribe(queue).await?;
        bench.open().await?;
        bench.arrives("hello", &[&inbox]).await?;
        settle(&site).await;
        // Whether it succeeds is judged elsewhere.
        let _ = site.within("unsubscribe", ENDS_WITHIN, subscriber.unsubscribe()).await?;
    }
    bench.subscribe(None).await?;
    bench.open().await?;
    let _ = site.within("disconnect", ENDS_WITHIN, bench.broker.disconnect()).await?;
    Ok(())
}

async fn a_handler_that_never_ends_leaves_no_task(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (stays, _stays) = bench.subscribe(None).await?;
    bench.open().await?;
    bench.arrives("warm", &[&stays]).await?;
    let allowed = site.tasks().await?.total + TASKS_SPARE;
    for round in 0..ROUNDS {
        let begun = Arc::<AtomicUsize>::default();
        let counted = begun.clone();
        let stuck = calling(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        });
        let subscriber = bench.handle(stuck, SubscribeOptions::default()).await?;
        bench.open().await?;
        bench.arrives(&format!("to who gets stuck {round}"), &[&stays]).await?;
        settle(&site).await;
        site.ask("unsubscribe while the handler is stuck", subscriber.unsubscribe()).await?;
    }
    // What was opened to reach the subscribers may stay until the next message.
    bench.arrives("after all", &[&stays]).await?;
    site.few_tasks("after handlers that would never end", allowed, TASKS_END_WITHIN).await
}

async fn a_subscribe_that_is_given_up_leaves_nothing(site: Site) -> Outcome {
    let directory = Arc::new(Directory::new(site.env().clone()));
    let bench = Bench::of(&site, site.broker(directory.clone()).await?);
    bench.connect().await?;
    let allowed = site.tasks().await?.total + TASKS_SPARE;
    let inbox = Arc::<Inbox>::default();
    directory.turn(Mood::Hangs);
    let mut given_up = 0;
    for _ in 0..ROUNDS {
        let subscribe = bench.broker.subscribe(&bench.topic, inbox.clone(), SubscribeOptions::default());
        match site.env().timeout(site.slack(), subscribe).await {
            Err(_) => given_up += 1,
            // It does without the registry.
            Ok(Ok(subscriber)) => site.ask("unsubscribe", subscriber.unsubscribe()).await?,
            Ok(Err(_)) => {}
        }
    }
    directory.turn(Mood::Works);
    site.few_tasks(&format!("after {given_up} subscribes that were given up"), allowed, TASKS_END_WITHIN).await?;
    site.let_pass(RENEWED).await;
    let message = message("to nobody");
    let publish = bench.broker.publish(&bench.topic, &message, Default::default());
    let _ = site.ends("publish to nobody", publish).await?;
    settle(&site).await;
    expect(inbox.count() == 0, "no delivery to who has given up", || format!("{} messages", inbox.count()))
}
