//! Lifecycle: connect, disconnect, subscribe and unsubscribe in any order, once and twice, and what each leaves behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use shaketable_stack::ErrorKind;
use shaketable_stack::broker::{BrokerOptions, ErrorHandler, Message, PublishOptions, SubscribeOptions, Subscriber};

use super::tools::{Bench, Inbox, both, calling, come_to_rest, judge_all, message, settle};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "BRK-044",
        level: Must,
        sentence: "Publishing before connect is refused with NotConnected.",
        source: "go-micro broker/memory.go: not connected",
        needs: &[],
        check: check!(publishing_before_connect_is_refused),
    },
    Requirement {
        id: "BRK-045",
        level: Must,
        sentence: "Subscribing before connect is refused with NotConnected.",
        source: "go-micro broker/memory.go: not connected",
        needs: &[],
        check: check!(subscribing_before_connect_is_refused),
    },
    Requirement {
        id: "BRK-046",
        level: Must,
        sentence: "Disconnecting before connect does nothing.",
        source: "go-micro pull request 2317: the kafka broker's Disconnect before Connect panics",
        needs: &[],
        check: check!(disconnecting_before_connect_does_nothing),
    },
    Requirement {
        id: "BRK-047",
        level: Must,
        sentence: "A second connect changes nothing: subscriptions stay, and nothing comes twice.",
        source: "go-micro broker/memory.go and broker/http.go: Connect returns at once where it is connected",
        needs: &[],
        check: check!(a_second_connect_changes_nothing),
    },
    Requirement {
        id: "BRK-048",
        level: Must,
        sentence: "A second disconnect does nothing.",
        source: "go-micro broker/memory.go and broker/http.go: Disconnect returns at once where it is not connected",
        needs: &[],
        check: check!(a_second_disconnect_does_nothing),
    },
    Requirement {
        id: "BRK-049",
        level: Must,
        sentence: "Disconnect comes to an end while there are subscribers and a handler is at work.",
        source: "go-micro broker/nats/nats.go of v6: with DrainConnection, Disconnect waits for ever",
        needs: &[],
        check: check!(disconnect_comes_to_an_end),
    },
    Requirement {
        id: "BRK-050",
        level: Must,
        sentence: "After disconnect, publishing and subscribing are refused as before connect.",
        source: "go-micro broker/broker.go: Disconnect",
        needs: &[],
        check: check!(after_disconnect_everything_is_refused),
    },
    Requirement {
        id: "BRK-051",
        level: Must,
        sentence: "After disconnect, connect makes the broker usable again.",
        source: "go-plugins issue 218: unusable after Disconnect",
        needs: &[],
        check: check!(a_broker_connects_again),
    },
    Requirement {
        id: "BRK-052",
        level: Must,
        sentence: "Disconnect ends all subscriptions, and connecting again revives none.",
        source: "go-plugins issue 218; decision of shaketable: who subscribed before has been told that it ended",
        needs: &[],
        check: check!(disconnect_ends_all_subscriptions),
    },
    Requirement {
        id: "BRK-053",
        level: Must,
        sentence: "After unsubscribe has returned no further delivery begins.",
        source: "go-micro broker/memory.go: Unsubscribe only asks for the end",
        needs: &[Need::Upheld(&["BRK-055"])],
        check: check!(nothing_begins_after_unsubscribe),
    },
    Requirement {
        id: "BRK-054",
        level: Must,
        sentence: "A further unsubscribe does nothing, nor does one after disconnect.",
        source: "go-micro broker/broker.go: Subscriber.Unsubscribe",
        needs: &[],
        check: check!(a_second_unsubscribe_does_nothing),
    },
    Requirement {
        id: "BRK-055",
        level: Must,
        sentence: "Unsubscribing one subscriber takes nothing from the others, of its topic or of another.",
        source: "go-micro broker/http.go: subscribers of one topic and broker share a node id; issue 793: registry, cache \
                 and broker share values",
        needs: &[],
        check: check!(others_stay_subscribed),
    },
    Requirement {
        id: "BRK-056",
        level: Must,
        sentence: "Letting go of a subscriber does not end its subscription.",
        source: "go-micro broker/broker.go: only Unsubscribe ends; most services keep no subscriber",
        needs: &[Need::InProcess("that a value is dropped")],
        check: check!(letting_go_of_a_subscriber_ends_nothing),
    },
    Requirement {
        id: "BRK-057",
        level: Must,
        sentence: "The address is empty before connect and is there after it.",
        source: "go-micro broker/memory.go: Address is empty until Connect makes one",
        needs: &[],
        check: check!(the_address_is_there_after_connect),
    },
    Requirement {
        id: "BRK-058",
        level: Must,
        sentence: "What init was given is what options tells.",
        source: "go-micro broker/broker.go: Init, Options",
        needs: &[Need::InProcess("options by init")],
        check: check!(options_tell_what_init_was_given),
    },
];

async fn refuses_to_publish(bench: &Bench, kinds: &[ErrorKind]) -> Outcome {
    let message = message("too early");
    let publish = bench.broker.publish(&bench.topic, &message, PublishOptions::default());
    bench.site.refused("publish while not connected", kinds, publish).await.map(drop)
}

async fn refuses_to_subscribe(bench: &Bench, kinds: &[ErrorKind]) -> Outcome {
    let subscribe = bench.broker.subscribe(&bench.topic, Arc::new(Inbox::default()), SubscribeOptions::default());
    bench.site.refused("subscribe while not connected", kinds, subscribe).await.map(drop)
}

async fn publishing_before_connect_is_refused(site: Site) -> Outcome {
    refuses_to_publish(&Bench::made(&site).await?, &[ErrorKind::NotConnected]).await
}

async fn subscribing_before_connect_is_refused(site: Site) -> Outcome {
    refuses_to_subscribe(&Bench::made(&site).await?, &[ErrorKind::NotConnected]).await
}

async fn disconnecting_before_connect_does_nothing(site: Site) -> Outcome {
    let bench = Bench::made(&site).await?;
    bench.disconnect().await?;
    bench.connect().await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    bench.arrives("hello", &[&inbox]).await
}

async fn a_second_connect_changes_nothing(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    let address = bench.broker.address();
    bench.connect().await?;
    expect_equal("the address", &bench.broker.address(), &address)?;
    bench.open().await?;
    let sent = bench.publish_many("message", 4).await?;
    come_to_rest(&site, &[&inbox], sent.len()).await;
    judge_all(&site, &sent, &inbox)
}

async fn a_second_disconnect_does_nothing(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (_inbox, _subscriber) = bench.subscribe(None).await?;
    bench.disconnect().await?;
    bench.disconnect().await
}

async fn disconnect_comes_to_an_end(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    let (env, pause) = (site.env().clone(), site.slack());
    let slow = calling(move |_| {
        let (env, pause) = (env.clone(), pause);
        async move {
            crate::site::takes(&env, pause).await;
            Ok(())
        }
    });
    bench.handle(slow, SubscribeOptions::default()).await?;
    bench.open().await?;
    bench.arrives("hello", &[&inbox]).await?;
    bench.publish("and more").await?;
    bench.disconnect().await
}

async fn after_disconnect_everything_is_refused(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (_inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    bench.publish("hello").await?;
    bench.disconnect().await?;
    let kinds = [ErrorKind::NotConnected, ErrorKind::Closed];
    refuses_to_publish(&bench, &kinds).await?;
    refuses_to_subscribe(&bench, &kinds).await
}

async fn a_broker_connects_again(site: Site) -> Outcome {
    let bench = Bench::made(&site).await?;
    for round in 0..3 {
        bench.connect().await?;
        let (inbox, _subscriber) = bench.subscribe(None).await?;
        bench.open().await?;
        bench.arrives(&format!("round {round}"), &[&inbox]).await?;
        bench.disconnect().await?;
    }
    Ok(())
}

async fn disconnect_ends_all_subscriptions(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let other = Bench::connected(&site).await?;
    let payments = bench.about(&site.name("payments"));
    let (old, _old) = bench.subscribe(None).await?;
    let (old_payments, _old_payments) = payments.subscribe(None).await?;
    bench.open().await?;
    bench.arrives("before", &[&old]).await?;
    bench.disconnect().await?;
    let came = old.count();
    // It may fail: what is one broker to its plugin is disconnected as one.
    let meanwhile = message("while disconnected");
    let publish = other.broker.publish(&other.topic, &meanwhile, PublishOptions::default());
    let _ = site.ends("publish through another broker while this one is disconnected", publish).await?;
    settle(&site).await;
    bench.connect().await?;
    let (new, _new) = bench.subscribe(None).await?;
    bench.open().await?;
    bench.arrives("connected again", &[&new]).await?;
    // Whether anybody is there to get it is not what is judged.
    let payment = message("a payment");
    let publish = bench.broker.publish(&payments.topic, &payment, PublishOptions::default());
    let _ = site.ends("publish to a topic of before", publish).await?;
    settle(&site).await;
    expect(old.count() == came, "no message for a subscription from before disconnect", || {
        format!("{:?}", old.bodies().get(came..))
    })?;
    expect(old_payments.count() == 0, "no message for a subscription from before disconnect", || {
        format!("{:?}", old_payments.bodies())
    })
}

async fn nothing_begins_after_unsubscribe(site: Site) -> Outcome {
    both(nothing_begins_after_an_end_from_outside(&site).await, nothing_begins_after_an_end_from_within(&site).await)
}

/// The handler of the first message ends its subscription while others wait.
async fn nothing_begins_after_an_end_from_within(site: &Site) -> Outcome {
    let bench = Bench::connected(site).await?;
    let (stays, _stays) = bench.subscribe(None).await?;
    let (runs, at_the_end) = (Arc::<AtomicUsize>::default(), Arc::<OnceLock<usize>>::default());
    let own = Arc::<Mutex<Option<Arc<dyn Subscriber>>>>::default();
    let handler = {
        let (env, pause) = (site.env().clone(), site.slack());
        let (runs, at_the_end, own) = (runs.clone(), at_the_end.clone(), own.clone());
        calling(move |_| {
            runs.fetch_add(1, Ordering::SeqCst);
            let (env, runs, at_the_end, own) = (env.clone(), runs.clone(), at_the_end.clone(), own.clone());
            async move {
                // Until then the others are there.
                crate::site::takes(&env, pause).await;
                let own = own.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(own) = own {
                    own.unsubscribe().await?;
                    at_the_end.get_or_init(|| runs.load(Ordering::SeqCst));
                }
                Ok(())
            }
        })
    };
    let subscriber = bench.handle(handler, SubscribeOptions::default()).await?;
    *own.lock().unwrap_or_else(PoisonError::into_inner) = Some(subscriber);
    bench.open().await?;
    let sent = bench.publish_many("while the first is handled", 4).await?;
    come_to_rest(site, &[&stays], sent.len()).await;
    site.quiet_for(site.slack() * 4).await;
    // Who never got there is judged by another requirement.
    let Some(came) = at_the_end.get() else { return Ok(()) };
    let runs = runs.load(Ordering::SeqCst);
    expect(runs == *came, "no delivery to begin after the handler has ended its subscription", || {
        format!("{} more", runs - came)
    })
}

async fn nothing_begins_after_an_end_from_outside(site: &Site) -> Outcome {
    let bench = Bench::connected(site).await?;
    let (stays, _stays) = bench.subscribe(None).await?;
    for round in 0..4 {
        let (gone, leaving) = bench.subscribe(None).await?;
        bench.open().await?;
        bench.arrives(&format!("before {round}"), &[&gone, &stays]).await?;
        // The last of these may still be on its way when the subscription ends.
        bench.publish_many(&format!("around {round}"), 3).await?;
        site.ask("unsubscribe", leaving.unsubscribe()).await?;
        let came = gone.count();
        bench.arrives(&format!("after {round}"), &[&stays]).await?;
        site.quiet_for(site.slack() * 3).await;
        expect(gone.count() == came, "no delivery to begin after unsubscribe", || {
            format!("{:?}", gone.bodies().get(came..))
        })?;
    }
    Ok(())
}

async fn a_second_unsubscribe_does_nothing(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (stays, _stays) = bench.subscribe(None).await?;
    let (_inbox, leaving) = bench.subscribe(None).await?;
    site.ask("unsubscribe", leaving.unsubscribe()).await?;
    for again in ["unsubscribe again", "unsubscribe a third time", "unsubscribe a fourth time"] {
        site.ask(again, leaving.unsubscribe()).await?;
    }
    let (_inbox, left) = bench.subscribe(None).await?;
    settle(&site).await;
    bench.arrives("hello", &[&stays]).await?;
    bench.disconnect().await?;
    site.ask("unsubscribe after disconnect", left.unsubscribe()).await
}

async fn others_stay_subscribed(site: Site) -> Outcome {
    both(others_of_the_topic_stay(&site).await, others_of_another_topic_stay(&site).await)
}

async fn others_of_another_topic_stay(site: &Site) -> Outcome {
    let bench = Bench::connected(site).await?;
    let (inbox, _stays) = bench.subscribe(None).await?;
    bench.open().await?;
    // A broker that keeps what it has looked up knows from here on who is there.
    bench.arrives("before", &[&inbox]).await?;
    settle(site).await;
    let (_gone, leaving) = bench.about(&site.name("payments")).subscribe(None).await?;
    bench.open().await?;
    site.ask("unsubscribe from another topic", leaving.unsubscribe()).await?;
    settle(site).await;
    bench.arrives("after another topic's subscriber has left", &[&inbox]).await
}

async fn others_of_the_topic_stay(site: &Site) -> Outcome {
    let bench = Bench::connected(site).await?;
    let mut subscribers = Vec::new();
    for _ in 0..4 {
        subscribers.push(bench.subscribe(None).await?);
    }
    bench.open().await?;
    // The first, the last and one from the middle.
    for leaving in [0, 2, 1] {
        let (_gone, subscriber) = subscribers.remove(leaving);
        site.ask("unsubscribe", subscriber.unsubscribe()).await?;
        settle(site).await;
        let rest: Vec<_> = subscribers.iter().map(|(inbox, _)| inbox).collect();
        bench.arrives(&format!("to {}", rest.len()), &rest).await?;
    }
    Ok(())
}

async fn letting_go_of_a_subscriber_ends_nothing(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let inbox = Arc::<Inbox>::default();
    let subscribe = bench.broker.subscribe(&bench.topic, inbox.clone(), SubscribeOptions::default());
    drop(site.ask("subscribe and let go of the subscriber", subscribe).await?);
    settle(&site).await;
    bench.arrives("hello", &[&inbox]).await
}

async fn the_address_is_there_after_connect(site: Site) -> Outcome {
    let bench = Bench::made(&site).await?;
    expect_equal("the address before connect", &bench.broker.address(), &"")?;
    bench.connect().await?;
    expect(!bench.broker.address().is_empty(), "an address after connect", || "an empty text".to_owned())
}

#[derive(Debug)]
struct Named;

impl ErrorHandler for Named {
    fn failed(&self, _topic: &str, _message: &Message, _error: &shaketable_stack::Error) {}
}

async fn options_tell_what_init_was_given(site: Site) -> Outcome {
    let bench = Bench::made(&site).await?;
    let given = BrokerOptions { error_handler: Some(Arc::new(Named)), ..bench.broker.options() };
    let initialised = bench.broker.init(given.clone());
    expect(initialised.is_ok(), "init with the broker's own options and an ErrorHandler to succeed", || {
        format!("{initialised:?}")
    })?;
    let told = bench.broker.options();
    expect_equal("the addresses", &told.addresses, &given.addresses)?;
    expect(told.error_handler.is_some(), "options to have the ErrorHandler that init was given", || "none".to_owned())
}
