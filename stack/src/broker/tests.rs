//! The contract of a broker, held against every broker of this crate in the same words. Time is paused; `settle` lets
//! everything happen that is under way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::table::reference;
use super::testing::{Recorder, World, assert_kind, numbers, publish, settle, subscribe};
use super::{BrokerOptions, ErrorHandler, Event, Handler, Message, SubscribeOptions, Subscriber};
use crate::env::Env;
use crate::plugin::{Setting, Settings};
use crate::{Error, ErrorKind, Result};

/// Calls a closure.
struct Calling<F>(F);

#[async_trait]
impl<F: Fn(Event) -> Result<()> + Send + Sync> Handler for Calling<F> {
    async fn handle(&self, event: Event) -> Result<()> {
        (self.0)(event)
    }
}

async fn use_before_connect_is_an_error_and_encryption_is_not_supported(world: World) {
    let broker = world.broker_on(&world.env(1)).await;
    assert_eq!(broker.address(), "");
    assert_kind(publish(&broker, "t", "x").await, ErrorKind::NotConnected);
    let subscribed = broker.subscribe("t", Arc::new(Recorder::default()), SubscribeOptions::default()).await;
    assert_kind(subscribed.map(|_| ()), ErrorKind::NotConnected);
    broker.disconnect().await.unwrap();
    broker.init(BrokerOptions { secure: true, ..BrokerOptions::default() }).unwrap();
    assert_kind(broker.connect().await, ErrorKind::Unsupported);
    broker.init(BrokerOptions::default()).unwrap();
    broker.connect().await.unwrap();
    broker.connect().await.unwrap();
    assert_ne!(broker.address(), "");
}

async fn publishing_to_nobody_is_no_error(world: World) {
    publish(&world.broker(1).await, "t", "x").await.unwrap();
}

async fn everyone_without_a_queue_gets_every_message_of_its_topic_in_order(world: World) {
    let (one, two) = (world.broker(1).await, world.broker(2).await);
    let (first, handle) = subscribe(&one, "t/ä b", None).await;
    let (second, _second) = subscribe(&one, "t/ä b", None).await;
    let (third, _third) = subscribe(&two, "t/ä b", Some("")).await;
    let (other, _other) = subscribe(&two, "t", None).await;
    assert_eq!((handle.topic(), handle.options()), ("t/ä b", SubscribeOptions::default()));
    for number in numbers(0..100) {
        publish(&two, "t/ä b", &number).await.unwrap();
    }
    settle(&world.env(1)).await;
    for recorder in [&first, &second, &third] {
        assert_eq!(recorder.bodies(), numbers(0..100));
    }
    assert_eq!(other.count(), 0);
    assert_eq!(first.events.lock().unwrap()[0].header["Content-Type"], "text/plain");
}

async fn members_of_one_queue_share_the_messages_wherever_they_are(world: World) {
    let (one, two) = (world.broker(1).await, world.broker(2).await);
    let mut members = Vec::new();
    for broker in [&one, &one, &two] {
        members.push(subscribe(broker, "t", Some("workers")).await);
    }
    let (audit, _audit) = subscribe(&one, "t", Some("audit")).await;
    let (each, _each) = subscribe(&two, "t", None).await;
    for number in numbers(0..300) {
        publish(&one, "t", &number).await.unwrap();
    }
    settle(&world.env(1)).await;
    let mut all: Vec<usize> = Vec::new();
    for (recorder, _) in &members {
        let got: Vec<usize> = recorder.bodies().iter().map(|body| body.parse().unwrap()).collect();
        assert!(got.is_sorted(), "each member sees the publisher's order");
        assert_eq!(got.len(), 100, "members take turns");
        all.extend(got);
    }
    all.sort_unstable();
    assert_eq!(all, (0..300).collect::<Vec<_>>(), "every message to exactly one member");
    assert_eq!(audit.bodies(), numbers(0..300));
    assert_eq!(each.bodies(), numbers(0..300));
}

async fn publishers_at_the_same_time_keep_their_own_order(world: World) {
    let (one, two) = (world.broker(1).await, world.broker(2).await);
    let (recorder, _subscriber) = subscribe(&one, "t", None).await;
    let tasks = (0..20).map(|task| {
        let broker = if task % 2 == 0 { &one } else { &two };
        async move {
            for number in 0..50 {
                publish(broker, "t", &format!("{task} {number}")).await.unwrap();
            }
        }
    });
    join_all(tasks).await;
    settle(&world.env(1)).await;
    let mut seen = BTreeMap::<String, Vec<usize>>::new();
    for body in recorder.bodies() {
        let (task, number) = body.split_once(' ').unwrap();
        seen.entry(task.to_owned()).or_default().push(number.parse().unwrap());
    }
    assert_eq!(seen.len(), 20);
    assert!(seen.values().all(|numbers| *numbers == (0..50).collect::<Vec<_>>()));
}

async fn nothing_is_delivered_after_unsubscribe_and_others_go_on(world: World) {
    let (one, two) = (world.broker(1).await, world.broker(2).await);
    let (leaving, handle) = subscribe(&one, "t", None).await;
    let (staying, _staying) = subscribe(&one, "t", None).await;
    publish(&two, "t", "0").await.unwrap();
    handle.unsubscribe().await.unwrap();
    assert_eq!(leaving.count(), 1, "what was accepted before is handled before unsubscribe returns");
    handle.unsubscribe().await.unwrap();
    publish(&two, "t", "1").await.unwrap();
    settle(&world.env(1)).await;
    assert_eq!(leaving.count(), 1);
    assert_eq!(staying.bodies(), numbers(0..2));
}

async fn a_member_that_leaves_in_order_loses_nothing_of_its_queue(world: World) {
    let env = world.env(1);
    let (one, two) = (world.broker_on(&env).await, world.broker(2).await);
    one.connect().await.unwrap();
    let mut handled = Vec::new();
    let count = Arc::new(AtomicUsize::new(0));
    for round in 0..4 {
        let slow = Slow { env: env.clone(), count: count.clone() };
        let options = SubscribeOptions { queue: Some("q".into()), ..SubscribeOptions::default() };
        let leaving = one.subscribe("t", Arc::new(slow), options).await.unwrap();
        let (staying, staying_handle) = subscribe(&two, "t", Some("q")).await;
        let publishing = async {
            for number in numbers(0..20) {
                publish(&two, "t", &format!("{round} {number}")).await.unwrap();
            }
        };
        let leave = async {
            settle(&env).await;
            leaving.unsubscribe().await.unwrap();
        };
        tokio::join!(publishing, leave);
        settle(&env).await;
        staying_handle.unsubscribe().await.unwrap();
        handled.push(staying);
    }
    let total = count.load(Ordering::SeqCst) + handled.iter().map(|recorder| recorder.count()).sum::<usize>();
    assert_eq!(total, 80);
}

struct Slow {
    env: Env,
    count: Arc<AtomicUsize>,
}

#[async_trait]
impl Handler for Slow {
    async fn handle(&self, _event: Event) -> Result<()> {
        self.env.sleep(Duration::from_millis(30)).await;
        self.count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Failures(Mutex<Vec<String>>);

impl ErrorHandler for Failures {
    fn failed(&self, topic: &str, message: &Message, error: &Error) {
        let body = String::from_utf8_lossy(&message.body);
        self.0.lock().unwrap().push(format!("{topic} {body}: {:?}", error.kind()));
    }
}

async fn a_handler_that_fails_or_panics_is_reported_and_others_are_served(world: World) {
    let broker = world.broker_on(&world.env(1)).await;
    let failures = Arc::new(Failures::default());
    let mut options = broker.options();
    options.error_handler = Some(failures.clone());
    broker.init(options).unwrap();
    broker.connect().await.unwrap();
    let failing = Calling(|event: Event| match &event.message.body[..] {
        b"0" => Err(Error::new(ErrorKind::Remote, "handle")),
        b"1" => panic!("a handler's own fault"),
        _ => Ok(()),
    });
    let _failing = broker.subscribe("t", Arc::new(failing), SubscribeOptions::default()).await.unwrap();
    let (served, _served) = subscribe(&broker, "t", None).await;
    for number in numbers(0..3) {
        publish(&broker, "t", &number).await.unwrap();
    }
    settle(&world.env(1)).await;
    assert_eq!(*failures.0.lock().unwrap(), ["t 0: Remote", "t 1: Internal"]);
    assert_eq!(served.bodies(), numbers(0..3));
}

/// Waits at a gate for each message.
struct Gated {
    gate: Arc<Semaphore>,
    recorder: Arc<Recorder>,
}

#[async_trait]
impl Handler for Gated {
    async fn handle(&self, event: Event) -> Result<()> {
        self.gate.acquire().await.unwrap().forget();
        self.recorder.handle(event).await
    }
}

async fn a_slow_consumer_makes_publishers_wait_and_harms_nobody_else(world: World) {
    let (one, two) = (world.broker(1).await, world.broker(2).await);
    let (gate, slow) = (Arc::new(Semaphore::new(0)), Arc::new(Recorder::default()));
    let gated = Gated { gate: gate.clone(), recorder: slow.clone() };
    let _slow = one.subscribe("t", Arc::new(gated), SubscribeOptions::default()).await.unwrap();
    let (fast, _fast) = subscribe(&one, "t", None).await;
    let env = world.env(2);
    // One is being handled, 1024 wait.
    for number in numbers(0..1025) {
        publish(&two, "t", &number).await.unwrap();
    }
    let before = env.now();
    let outcome = publish(&two, "t", "1025").await;
    let waited = env.now() - before;
    assert!((4..=5).contains(&waited.as_secs()), "{waited:?}");
    if let Err(error) = outcome {
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
    assert_eq!(fast.count(), 1026);
    gate.add_permits(2000);
    settle(&env).await;
    publish(&two, "t", "1026").await.unwrap();
    settle(&env).await;
    let expected: Vec<String> = (0..1027).filter(|number| *number != 1025).map(|number| number.to_string()).collect();
    assert_eq!(slow.bodies(), expected);
}

async fn a_full_member_leaves_its_turn_to_the_next_one(world: World) {
    let broker = world.broker(1).await;
    let gate = Arc::new(Semaphore::new(0));
    let gated = Gated { gate, recorder: Arc::default() };
    let options = SubscribeOptions { queue: Some("q".into()), ..SubscribeOptions::default() };
    let _gated = broker.subscribe("t", Arc::new(gated), options).await.unwrap();
    for number in numbers(0..1025) {
        publish(&broker, "t", &number).await.unwrap();
    }
    let (other, _other) = subscribe(&broker, "t", Some("q")).await;
    publish(&broker, "t", "a").await.unwrap();
    publish(&broker, "t", "b").await.unwrap();
    settle(&world.env(1)).await;
    assert_eq!(other.bodies(), ["a", "b"]);
}

async fn disconnect_ends_everything_and_connect_begins_anew(world: World) {
    let env = world.env(1);
    let (broker, publisher) = (world.broker_on(&env).await, world.broker(2).await);
    for round in 0..20 {
        broker.connect().await.unwrap();
        let (recorder, handle) = subscribe(&broker, "t", None).await;
        let (grouped, _grouped) = subscribe(&broker, "t", Some("q")).await;
        publish(&publisher, "t", &round.to_string()).await.unwrap();
        publish(&broker, "t", "own").await.unwrap();
        broker.disconnect().await.unwrap();
        broker.disconnect().await.unwrap();
        assert_eq!(broker.address(), "");
        assert_eq!(recorder.bodies(), [round.to_string(), "own".to_owned()]);
        publish(&publisher, "t", "late").await.unwrap();
        assert_kind(publish(&broker, "t", "x").await, ErrorKind::NotConnected);
        handle.unsubscribe().await.unwrap();
        settle(&env).await;
        assert_eq!((recorder.count(), grouped.count()), (2, 2));
        assert_eq!(env.live_tasks().counts(), BTreeMap::new(), "no task outlives the connection");
    }
}

async fn a_handler_may_end_its_own_subscription(world: World) {
    struct Once {
        handle: Mutex<Option<Arc<dyn Subscriber>>>,
        env: Env,
        runs: AtomicUsize,
        finished: AtomicBool,
    }
    #[async_trait]
    impl Handler for Arc<Once> {
        async fn handle(&self, _event: Event) -> Result<()> {
            self.runs.fetch_add(1, Ordering::SeqCst);
            let handle = self.handle.lock().unwrap().take();
            handle.unwrap().unsubscribe().await?;
            self.env.sleep(Duration::from_secs(1)).await;
            self.finished.store(true, Ordering::SeqCst);
            Ok(())
        }
    }
    let env = world.env(1);
    let broker = world.broker(1).await;
    let once = Arc::new(Once {
        handle: Mutex::default(),
        env: env.clone(),
        runs: AtomicUsize::new(0),
        finished: AtomicBool::new(false),
    });
    let handle = broker.subscribe("t", Arc::new(once.clone()), SubscribeOptions::default()).await.unwrap();
    *once.handle.lock().unwrap() = Some(handle);
    publish(&broker, "t", "0").await.unwrap();
    publish(&broker, "t", "1").await.unwrap();
    env.sleep(Duration::from_secs(2)).await;
    assert_eq!(once.runs.load(Ordering::SeqCst), 1);
    assert!(once.finished.load(Ordering::SeqCst), "the handler itself goes on");
}

async fn unsubscribe_cuts_off_a_handler_that_never_ends(world: World) {
    let env = world.env(1);
    let broker = world.broker_on(&env).await;
    broker.connect().await.unwrap();
    let gated = Gated { gate: Arc::new(Semaphore::new(0)), recorder: Arc::default() };
    let handle = broker.subscribe("t", Arc::new(gated), SubscribeOptions::default()).await.unwrap();
    publish(&broker, "t", "0").await.unwrap();
    settle(&env).await;
    let before = env.now();
    handle.unsubscribe().await.unwrap();
    assert_eq!((env.now() - before).as_secs(), 5);
    settle(&env).await;
    assert!(env.live_tasks().counts().keys().all(|name| !name.ends_with("delivery")));
}

async fn a_broker_that_is_dropped_takes_its_subscriptions_along(world: World) {
    let env = world.env(1);
    let (broker, other) = (world.broker_on(&env).await, world.broker(2).await);
    broker.connect().await.unwrap();
    let (gone, _handle) = subscribe(&broker, "t", None).await;
    let (stays, _stays) = subscribe(&other, "t", None).await;
    drop(broker);
    settle(&env).await;
    assert_eq!(env.live_tasks().total(), 0);
    publish(&other, "t", "0").await.unwrap();
    settle(&env).await;
    assert_eq!((gone.count(), stays.count()), (0, 1));
}

macro_rules! check {
    ($plugin:ident: $($sentence:ident,)*) => {
        mod $plugin {
            $(
                #[tokio::test(start_paused = true)]
                async fn $sentence() {
                    super::$sentence(super::World::new(stringify!($plugin))).await;
                }
            )*
        }
    };
    ($($plugin:ident)*; $sentences:tt) => {
        $(check!(@ $plugin $sentences);)*
    };
    (@ $plugin:ident [$($sentence:ident,)*]) => {
        check!($plugin: $($sentence,)*);
    };
}

check!(memory http; [
    use_before_connect_is_an_error_and_encryption_is_not_supported,
    publishing_to_nobody_is_no_error,
    everyone_without_a_queue_gets_every_message_of_its_topic_in_order,
    members_of_one_queue_share_the_messages_wherever_they_are,
    publishers_at_the_same_time_keep_their_own_order,
    nothing_is_delivered_after_unsubscribe_and_others_go_on,
    a_member_that_leaves_in_order_loses_nothing_of_its_queue,
    a_handler_that_fails_or_panics_is_reported_and_others_are_served,
    a_slow_consumer_makes_publishers_wait_and_harms_nobody_else,
    disconnect_ends_everything_and_connect_begins_anew,
    a_handler_may_end_its_own_subscription,
    unsubscribe_cuts_off_a_handler_that_never_ends,
    a_broker_that_is_dropped_takes_its_subscriptions_along,
    a_full_member_leaves_its_turn_to_the_next_one,
]);

#[tokio::test(start_paused = true)]
async fn options_are_read_and_unknown_ones_refused() {
    let world = World::new("http");
    let make = |plugin: &str, name: &str, value: Setting| {
        let factory = reference().get(plugin).unwrap().factory.clone();
        factory(world.env(1), world.registry.clone(), Settings::new(Vec::new(), [(name.to_owned(), value)].into()))
    };
    let ttl = |seconds| Setting::Duration(Duration::from_secs(seconds));
    make("http", "register_ttl", ttl(31)).await.unwrap();
    assert_kind(make("http", "register_ttl", ttl(30)).await, ErrorKind::InvalidInput);
    assert_kind(make("http", "register_tll", ttl(60)).await, ErrorKind::InvalidInput);
    assert_kind(make("memory", "register_ttl", ttl(60)).await, ErrorKind::InvalidInput);
}
