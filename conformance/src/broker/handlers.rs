//! Handlers: what one does harms no other, and what it may do from within.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shaketable_stack::broker::{
    Broker, BrokerOptions, ErrorHandler, Event, Handler, Message, PublishOptions, SubscribeOptions, Subscriber,
};
use shaketable_stack::env::Env;
use shaketable_stack::plugin::{Ability, Delivery};
use shaketable_stack::{Error, ErrorKind};

use super::tools::{ARRIVES, ATTEMPTS, Bench, Inbox, calling, come_to_rest, judge_all, settle};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Finding, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "BRK-035",
        level: Must,
        sentence: "A subscriber tells the topic and the options that it was made with.",
        source: "go-micro broker/memory.go of v6: SubscribeOptions.AutoAck comes out false and Queue empty",
        needs: &[],
        check: check!(a_subscriber_tells_its_topic_and_options),
    },
    Requirement {
        id: "BRK-036",
        level: Must,
        sentence: "A handler may acknowledge its event, also twice, and also after it has returned.",
        source: "go-micro broker/broker.go: Event.Ack",
        needs: &[],
        check: check!(acknowledging_twice_is_no_error),
    },
    Requirement {
        id: "BRK-037",
        level: Must,
        sentence: "The ErrorHandler is told when a handler fails: the topic, the message and the error.",
        source: "go-micro broker/options.go: ErrorHandler",
        needs: &[Need::InProcess("an ErrorHandler")],
        check: check!(the_error_handler_is_told_of_failures),
    },
    Requirement {
        id: "BRK-038",
        level: Must,
        sentence: "A handler that fails keeps neither others from the message nor itself from the next one.",
        source: "go-micro broker/memory.go: a handler's error ends the loop over the subscribers",
        needs: &[],
        check: check!(a_handler_that_fails_harms_nobody),
    },
    Requirement {
        id: "BRK-039",
        level: Should,
        sentence: "What a handler fails with is not the publisher's error.",
        source: "go-micro broker/memory.go returns it from Publish; brokers with a server cannot",
        needs: &[],
        check: check!(a_handlers_error_is_not_the_publishers),
    },
    Requirement {
        id: "BRK-040",
        level: Should,
        sentence: "A handler that panics keeps neither others from the message nor itself from the next one.",
        source: "go-micro server/rpc_router.go: ProcessMessage makes an error of a handler's panic",
        needs: &[Need::InProcess("a handler that panics")],
        check: check!(a_handler_that_panics_harms_nobody),
    },
    Requirement {
        id: "BRK-041",
        level: Must,
        sentence: "A handler that does not end keeps no other subscriber from messages.",
        source: "go-micro broker/memory.go runs handlers one after the other within Publish",
        needs: &[],
        check: check!(a_handler_that_does_not_end_harms_nobody),
    },
    Requirement {
        id: "BRK-042",
        level: Must,
        sentence: "A handler may publish through the broker that has called it.",
        source: "decision of shaketable: services answer events with events; a lock held over a handler would deadlock",
        needs: &[],
        check: check!(a_handler_may_publish),
    },
    Requirement {
        id: "BRK-043",
        level: Must,
        sentence: "A handler may end its own subscription, and begin another.",
        source: "decision of shaketable: whoever waits for one event ends the subscription in the handler",
        needs: &[],
        check: check!(a_handler_may_end_its_subscription, "of {} messages one, within {} each", ATTEMPTS, ENDS_WITHIN),
    },
];

/// How long a handler may take to end its own subscription and begin another.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

async fn a_subscriber_tells_its_topic_and_options(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let queues: &[Option<&str>] =
        if site.promises().lacks.contains(&Ability::QueueGroups) { &[None] } else { &[None, Some("workers")] };
    for queue in queues {
        for auto_ack in [true, false] {
            let options = SubscribeOptions { auto_ack, queue: queue.map(str::to_owned) };
            let subscriber = bench.handle(Arc::new(Inbox::default()), options.clone()).await?;
            expect_equal("the subscriber's options", &subscriber.options(), &options)?;
            expect_equal("the subscriber's topic", &subscriber.topic(), &bench.topic)?;
        }
    }
    Ok(())
}

async fn acknowledging_twice_is_no_error(site: Site) -> Outcome {
    for auto_ack in [true, false] {
        let bench = Bench::connected(&site).await?;
        let first = Arc::<Mutex<Option<(Event, Option<Error>)>>>::default();
        let place = first.clone();
        let handler = calling(move |event| {
            let place = place.clone();
            async move {
                let once = event.ack().await;
                let twice = event.ack().await;
                let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
                place.get_or_insert((event, once.and(twice).err()));
                Ok(())
            }
        });
        let inbox = Arc::<Inbox>::default();
        bench.handle(inbox.clone(), SubscribeOptions::default()).await?;
        bench.handle(handler, SubscribeOptions { auto_ack, queue: None }).await?;
        bench.open().await?;
        let body = format!("with auto_ack {auto_ack}");
        bench.arrives(&body, &[&inbox]).await?;
        let come = || {
            let taken = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            std::future::ready(taken.ok_or_else(|| "the handler was not called".to_owned()))
        };
        let (event, error) = site.eventually("the handler to acknowledge", ARRIVES, come).await?;
        expect(error.is_none(), format!("acknowledging twice to succeed {body}"), || format!("{error:?}"))?;
        settle(&site).await;
        site.ask("acknowledge after the handler has returned", event.ack()).await?;
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Failures(Mutex<Vec<(String, Message, ErrorKind)>>);

impl ErrorHandler for Failures {
    fn failed(&self, topic: &str, message: &Message, error: &Error) {
        let told = (topic.to_owned(), message.clone(), error.kind());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }
}

async fn the_error_handler_is_told_of_failures(site: Site) -> Outcome {
    let bench = Bench::made(&site).await?;
    let failures = Arc::<Failures>::default();
    let options = BrokerOptions { error_handler: Some(failures.clone()), ..bench.broker.options() };
    let initialised = bench.broker.init(options);
    expect(initialised.is_ok(), "init to succeed", || format!("{initialised:?}"))?;
    bench.connect().await?;
    bench.handle(failing(), SubscribeOptions::default()).await?;
    let (inbox, _subscriber) = bench.subscribe(None).await?;
    bench.open().await?;
    bench.arrives("what fails", &[&inbox]).await?;
    let told = || {
        let told = failures.0.lock().unwrap_or_else(PoisonError::into_inner).first().cloned();
        std::future::ready(told.ok_or_else(|| "nobody told it anything".to_owned()))
    };
    let (topic, message, kind) = site.eventually("the ErrorHandler to be told of a failure", ARRIVES, told).await?;
    expect_equal("the topic that it is told", &topic, &bench.topic)?;
    expect_equal("the body that it is told", &String::from_utf8_lossy(&message.body).as_ref(), &"what fails")?;
    expect_equal("the kind of the error that it is told", &kind, &ErrorKind::Remote)
}

fn failing() -> Arc<dyn Handler> {
    calling(|_| async { Err(Error::new(ErrorKind::Remote, "handle")) })
}

/// Subscribes `bad` between two others and shows that they, and `bad` itself, get every message.
async fn harms_nobody(site: &Site, bad: impl Fn() -> StackHandled + Send + Sync + 'static, strict: bool) -> Outcome {
    let bench = Bench::connected(site).await?;
    let (before, _before) = bench.subscribe(None).await?;
    let runs = Arc::<Inbox>::default();
    let (counted, bad) = (runs.clone(), Arc::new(bad));
    let handler = calling(move |event| {
        let (counted, bad) = (counted.clone(), bad.clone());
        async move {
            counted.handle(event).await?;
            bad()
        }
    });
    bench.handle(handler, SubscribeOptions::default()).await?;
    let (after, _after) = bench.subscribe(None).await?;
    bench.open().await?;
    let sent: Vec<String> = (0..8).map(|number| format!("message {number}")).collect();
    for body in &sent {
        let message = super::tools::message(body);
        let publish = bench.broker.publish(&bench.topic, &message, PublishOptions::default());
        let published = site.ends(&format!("publish {body}"), publish).await?;
        expect(!strict || published.is_ok(), "publishing to succeed though a handler fails", || {
            format!("{published:?}")
        })?;
    }
    if strict {
        return Ok(());
    }
    come_to_rest(site, &[&before, &runs, &after], sent.len() * 3).await;
    judge_all(site, &sent, &before)?;
    judge_all(site, &sent, &after)?;
    if site.promises().delivery == Some(Delivery::AtLeastOnce) {
        // It may insist on the first message until that is handled.
        return Ok(());
    }
    judge_all(site, &sent, &runs)
}

type StackHandled = shaketable_stack::Result<()>;

async fn a_handler_that_fails_harms_nobody(site: Site) -> Outcome {
    harms_nobody(&site, || Err(Error::new(ErrorKind::Remote, "handle")), false).await
}

async fn a_handlers_error_is_not_the_publishers(site: Site) -> Outcome {
    harms_nobody(&site, || Err(Error::new(ErrorKind::Remote, "handle")), true).await
}

async fn a_handler_that_panics_harms_nobody(site: Site) -> Outcome {
    harms_nobody(&site, panics, false).await
}

/// Panics without a word: nobody needs to see a trace of what is done on purpose.
fn panics() -> StackHandled {
    std::panic::resume_unwind(Box::new("a handler of the conformance suite that panics on purpose"))
}

async fn a_handler_that_does_not_end_harms_nobody(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let (before, _before) = bench.subscribe(None).await?;
    let stuck = calling(|_| std::future::pending());
    bench.handle(stuck, SubscribeOptions::default()).await?;
    let (after, _after) = bench.subscribe(None).await?;
    bench.open().await?;
    for number in 0..3 {
        bench.arrives(&format!("message {number}"), &[&before, &after]).await?;
    }
    Ok(())
}

async fn a_handler_may_publish(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let answers = bench.about(&site.name("answers"));
    let (inbox, _answers) = answers.subscribe(None).await?;
    let (broker, topic) = (bench.broker.clone(), answers.topic.clone());
    let handler = calling(move |event: Event| {
        let (broker, topic) = (broker.clone(), topic.clone());
        async move { broker.publish(&topic, &event.message, PublishOptions::default()).await }
    });
    bench.handle(handler, SubscribeOptions::default()).await?;
    bench.open().await?;
    // The publisher sees an end, and the message comes out at the other end.
    bench.arrives("to be passed on", &[&inbox]).await
}

/// Ends its own subscription when the first event comes, and begins another.
struct Once {
    env: Env,
    broker: Arc<dyn Broker>,
    topic: String,
    own: Mutex<Option<Arc<dyn Subscriber>>>,
    other: Arc<Inbox>,
    runs: AtomicUsize,
    done: AtomicUsize,
}

impl Once {
    async fn run(&self) -> StackHandled {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(own) = own else { return Ok(()) };
        own.unsubscribe().await?;
        // A broker that ends its handler with the subscription does so here.
        crate::site::takes(&self.env, Duration::from_millis(50)).await;
        self.broker.subscribe(&self.topic, self.other.clone(), SubscribeOptions::default()).await?;
        self.done.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

async fn a_handler_may_end_its_subscription(site: Site) -> Outcome {
    let bench = Bench::connected(&site).await?;
    let once = Arc::new(Once {
        env: site.env().clone(),
        broker: bench.broker.clone(),
        topic: bench.topic.clone(),
        own: Mutex::default(),
        other: Arc::default(),
        runs: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
    });
    let handler = {
        let once = once.clone();
        calling(move |_| {
            let once = once.clone();
            async move { once.run().await }
        })
    };
    let own = bench.handle(handler, SubscribeOptions::default()).await?;
    *once.own.lock().unwrap_or_else(PoisonError::into_inner) = Some(own);
    bench.open().await?;
    let mut attempts = 0;
    while once.done.load(Ordering::SeqCst) == 0 {
        attempts += 1;
        if attempts > ATTEMPTS {
            return Err(Finding::violated(
                "a handler to end its own subscription and to begin another",
                format!("it was called {} times and never came to its end", once.runs.load(Ordering::SeqCst)),
            ));
        }
        bench.publish("the first").await?;
        let end = site.env().now() + ENDS_WITHIN;
        while once.done.load(Ordering::SeqCst) == 0 && site.env().now() < end {
            site.look_again(Duration::from_millis(50)).await;
        }
    }
    settle(&site).await;
    let runs = once.runs.load(Ordering::SeqCst);
    bench.arrives("the next", &[&once.other]).await?;
    settle(&site).await;
    expect_equal(
        "the number of calls of the handler that has ended its subscription",
        &once.runs.load(Ordering::SeqCst),
        &runs,
    )
}
