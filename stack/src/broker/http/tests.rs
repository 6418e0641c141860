//! What only the http broker has: its wire, its registrations, and what it does about peers that fail. Peers are raw
//! streams, so that each byte is ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::ErrorKind;
use crate::broker::testing::{World, assert_kind, message, numbers, publish, settle, subscribe};
use crate::broker::{BrokerOptions, PublishOptions, SubscribeOptions};
use crate::env::{Env, Stream, Task};
use crate::registry::{Node, RegisterOptions, Registry, Service};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A subscription in the registry as another broker would make it.
async fn register(world: &World, version: &str, id: &str, address: &str) {
    let metadata = [("broker", "http"), ("topic", "t"), ("secure", "false")];
    let node = Node {
        id: id.into(),
        address: address.into(),
        metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    };
    let service =
        Service { name: "micro.http.broker".into(), version: version.into(), nodes: vec![node], ..Service::default() };
    world.registry.register(&service, RegisterOptions::default()).await.unwrap();
}

/// Reads one request: its head and its body.
async fn read_request(stream: &mut Stream) -> Option<(String, String)> {
    let mut text = Vec::new();
    let head = loop {
        if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
    };
    let head = String::from_utf8(text[..head].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    Some((head, String::from_utf8(body).unwrap()))
}

/// A peer at `host-<host>:80` that treats every request alike; `None` reads it and never answers.
struct Peer {
    requests: Arc<std::sync::Mutex<Vec<(String, String)>>>,
    connections: Arc<AtomicUsize>,
    _task: Task,
}

async fn peer(world: &World, host: u8, answer: Option<&'static str>) -> Peer {
    let env = world.env(host);
    let mut listener = env.network().listen(":80").await.unwrap();
    let requests = Arc::<std::sync::Mutex<Vec<_>>>::default();
    let connections = Arc::<AtomicUsize>::default();
    let (kept, counted, spawner) = (requests.clone(), connections.clone(), env.clone());
    let task = env.spawn("peer", async move {
        let mut serving = Vec::new();
        while let Ok(mut stream) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let kept = kept.clone();
            serving.push(spawner.spawn("peer connection", async move {
                while let Some(request) = read_request(&mut stream).await {
                    kept.lock().unwrap().push(request);
                    match answer {
                        Some("") => return,
                        Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                        None => std::future::pending().await,
                    }
                }
            }));
        }
    });
    Peer { requests, connections, _task: task }
}

impl Peer {
    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// Sends one request by hand and returns the status that is answered.
async fn post(env: &Env, address: &str, method: &str, target: &str, headers: &str, body: &[u8]) -> u16 {
    let mut stream = env.network().connect(address).await.unwrap();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    let (mut reading, mut writing) = tokio::io::split(&mut stream);
    let send = async {
        // A peer that refuses early need not read the rest.
        if writing.write_all(head.as_bytes()).await.is_ok() {
            let _ = writing.write_all(body).await;
        }
    };
    let receive = async {
        let mut text = String::new();
        reading.read_to_string(&mut text).await.unwrap();
        text
    };
    let ((), answer) = tokio::join!(send, receive);
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}")).parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_is_written_as_go_micro_writes_it() {
    let world = World::new("http");
    let (broker, peer) = (world.broker(1).await, peer(&world, 2, Some(OK)).await);
    register(&world, "ff.http.broadcast", "t-1 f", "host-2:80").await;
    publish(&broker, "t", "hi").await.unwrap();
    let (head, body) = peer.requests.lock().unwrap()[0].clone();
    let mut lines: Vec<&str> = head.trim_end().lines().collect();
    let publisher = lines.iter().position(|line| line.starts_with("micro-publisher: ")).unwrap();
    assert!(lines.remove(publisher).ends_with("/1"));
    assert_eq!(
        lines,
        ["POST /?id=t%2D1%20f HTTP/1.1", "host: host-2:80", "content-type: application/json", "content-length: 72"]
    );
    assert_eq!(body, r#"{"Header":{"Content-Type":"text/plain","Micro-Topic":"t"},"Body":"aGk="}"#);
}

#[tokio::test(start_paused = true)]
async fn a_request_of_a_go_micro_publisher_is_delivered_and_bad_ones_are_refused() {
    let world = World::new("http");
    let (broker, env) = (world.broker(1).await, world.env(2));
    let (recorder, _subscriber) = subscribe(&broker, "t", None).await;
    let id = world.registry.registered()[0].1.id.clone();
    let (address, target) = (broker.address(), format!("/?id={id}"));
    let good = br#"{"Header":{"Micro-Topic":"t"},"Body":"aGk="}"#;
    let huge = vec![b' '; 8 << 20];
    let no_topic = br#"{"Header":{},"Body":"aGk="}"#;
    let other_topic = br#"{"Header":{"Micro-Topic":"other"},"Body":"aGk="}"#;
    let cases: [(&str, &str, &[u8], u16); 8] = [
        ("GET", &target, b"", 405),
        ("POST", "/", good, 400),
        ("POST", "/?id=nobody", good, 404),
        ("POST", &target, b"{\"Header\"", 400),
        ("POST", &target, no_topic, 400),
        ("POST", &target, other_topic, 404),
        ("POST", &target, &huge, 413),
        ("POST", &target, good, 200),
    ];
    for (method, target, body, expected) in cases {
        let status = post(&env, &address, method, target, "", body).await;
        assert_eq!(status, expected, "{method} {target} with {} bytes", body.len());
    }
    settle(&env).await;
    assert_eq!(recorder.bodies(), ["hi"]);
}

#[tokio::test(start_paused = true)]
async fn the_largest_message_arrives() {
    let world = World::new("http");
    let (one, two) = (world.broker(1).await, world.broker(2).await);
    let (recorder, _subscriber) = subscribe(&one, "t", None).await;
    let body = "x".repeat(super::MESSAGE_BYTES_MAX);
    publish(&two, "t", &body).await.unwrap();
    settle(&world.env(1)).await;
    assert!(recorder.bodies() == [body.clone()], "the largest message is delivered whole");
    assert_kind(publish(&two, "t", &(body + "x")).await, ErrorKind::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn each_subscription_is_a_node_of_its_own_and_leaves_no_residue() {
    let world = World::new("http");
    let broker = world.broker(1).await;
    let (_, each) = subscribe(&broker, "t", None).await;
    let (_, first) = subscribe(&broker, "t", Some("q")).await;
    let _second = subscribe(&broker, "t", Some("q")).await;
    let registered = world.registry.registered();
    let versions: Vec<&str> = registered.iter().map(|(version, _)| version.as_str()).collect();
    assert_eq!(versions, ["ff.http.broadcast", "q", "q"]);
    assert_ne!(registered[1].1.id, registered[2].1.id);
    for (_, node) in &registered {
        assert!(node.id.starts_with("t-") && node.id.len() == 2 + 36, "{}", node.id);
        assert_eq!(node.address, broker.address());
        let expected = [("broker", "http"), ("secure", "false"), ("topic", "t")];
        let expected: BTreeMap<_, _> = expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(node.metadata, expected);
    }
    first.unsubscribe().await.unwrap();
    assert_eq!(world.registry.registered().len(), 2);
    each.unsubscribe().await.unwrap();
    broker.disconnect().await.unwrap();
    assert!(world.registry.registered().is_empty());
    world.env(1).sleep(Duration::from_secs(300)).await;
    assert!(world.registry.registered().is_empty());
}

#[tokio::test(start_paused = true)]
async fn registrations_are_renewed_and_come_back_after_the_registry_was_down() {
    let world = World::new("http");
    let (broker, env) = (world.broker(1).await, world.env(1));
    let (recorder, subscriber) = subscribe(&broker, "t", None).await;
    for _ in 0..30 {
        env.sleep(Duration::from_secs(10)).await;
        assert_eq!(world.registry.registered().len(), 1);
    }
    world.registry.broken.store(true, Ordering::SeqCst);
    env.sleep(Duration::from_secs(90)).await;
    assert!(world.registry.registered().is_empty());
    world.registry.broken.store(false, Ordering::SeqCst);
    env.sleep(Duration::from_secs(6)).await;
    publish(&broker, "t", "0").await.unwrap();
    settle(&env).await;
    assert_eq!(recorder.count(), 1);

    // An unsubscribe that the registry did not hear of ends the subscription all the same, and may be repeated.
    world.registry.broken.store(true, Ordering::SeqCst);
    assert_kind(subscriber.unsubscribe().await, ErrorKind::Backend);
    world.registry.broken.store(false, Ordering::SeqCst);
    publish(&broker, "t", "1").await.unwrap();
    settle(&env).await;
    assert_eq!(recorder.count(), 1);
    subscriber.unsubscribe().await.unwrap();
    assert!(world.registry.registered().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_that_fails_or_is_given_up_leaves_nothing() {
    let world = World::new("http");
    let env = world.env(1);
    let broker = world.broker_on(&env).await;
    broker.connect().await.unwrap();
    let tasks = env.live_tasks().total();
    world.registry.broken.store(true, Ordering::SeqCst);
    let handler = Arc::new(crate::broker::testing::Recorder::default());
    let subscribed = broker.subscribe("t", handler.clone(), SubscribeOptions::default()).await;
    assert_kind(subscribed.map(|_| ()), ErrorKind::Backend);
    world.registry.broken.store(false, Ordering::SeqCst);
    world.registry.hanging.store(true, Ordering::SeqCst);
    let subscribed = broker.subscribe("t", handler.clone(), SubscribeOptions::default());
    assert!(env.timeout(Duration::from_secs(1), subscribed).await.is_err());
    world.registry.hanging.store(false, Ordering::SeqCst);
    settle(&env).await;
    assert_eq!(env.live_tasks().total(), tasks);
    env.sleep(Duration::from_secs(60)).await;
    assert!(world.registry.registered().is_empty());
}

#[tokio::test(start_paused = true)]
async fn connections_are_kept_and_used_again() {
    let world = World::new("http");
    let (broker, peer) = (world.broker(1).await, peer(&world, 2, Some(OK)).await);
    register(&world, "ff.http.broadcast", "t-1", "host-2:80").await;
    for number in numbers(0..50) {
        publish(&broker, "t", &number).await.unwrap();
    }
    assert_eq!((peer.count(), peer.connections.load(Ordering::SeqCst)), (50, 1));
    let bodies = numbers(0..100);
    let publishing = bodies.iter().map(|body| publish(&broker, "t", body));
    for published in futures_util::future::join_all(publishing).await {
        published.unwrap();
    }
    assert_eq!(peer.count(), 150);
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_came_back_at_its_address_is_reached_by_the_next_message() {
    let world = World::new("http");
    let env = world.env(1);
    let (one, two) = (world.broker_on(&env).await, world.broker(2).await);
    one.init(BrokerOptions { addresses: vec![":8000".into()], ..BrokerOptions::default() }).unwrap();
    for _ in 0..3 {
        one.connect().await.unwrap();
        assert_eq!(one.address(), "10.0.0.1:8000");
        let (recorder, _subscriber) = subscribe(&one, "t", None).await;
        publish(&two, "t", "0").await.unwrap();
        settle(&env).await;
        assert_eq!(recorder.count(), 1);
        one.disconnect().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn peers_that_fail_keep_the_message_from_nobody_else() {
    let world = World::new("http");
    let (one, two) = (world.broker(1).await, world.broker(2).await);
    let hanging = peer(&world, 3, None).await;
    let broken = peer(&world, 4, Some("")).await;
    register(&world, "ff.http.broadcast", "t-hanging", "host-3:80").await;
    register(&world, "ff.http.broadcast", "t-broken", "host-4:80").await;
    register(&world, "ff.http.broadcast", "t-refusing", "host-5:80").await;
    register(&world, "ff.http.broadcast", "t-nonsense", "nowhere").await;
    let (recorder, _subscriber) = subscribe(&one, "t", None).await;
    let env = world.env(2);
    let before = env.now();
    publish(&two, "t", "0").await.unwrap();
    assert_eq!((env.now() - before).as_secs(), 5, "the one that hangs costs its deadline");
    assert_eq!(recorder.count(), 1);
    assert_eq!((hanging.count(), broken.count()), (1, 1), "at most once");
}

#[tokio::test(start_paused = true)]
async fn when_no_subscriber_accepts_the_publisher_is_told() {
    let world = World::new("http");
    let broker = world.broker(1).await;
    register(&world, "ff.http.broadcast", "t-1", "host-5:80").await;
    register(&world, "q", "t-2", "host-6:80").await;
    let error = publish(&broker, "t", "0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!((error.context("node"), error.context("address")), (Some("t-1"), Some("host-5:80")));
}

#[tokio::test(start_paused = true)]
async fn a_queue_turns_to_its_next_member_only_when_nothing_was_delivered() {
    const FULL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    const GONE: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    for (answer, delivered_elsewhere) in [(Some(FULL), true), (Some(GONE), true), (Some(""), false), (None, false)] {
        let world = World::new("http");
        let (one, two) = (world.broker(1).await, world.broker(2).await);
        let failing = peer(&world, 3, answer).await;
        register(&world, "q", "t-failing", "host-3:80").await;
        register(&world, "q", "t-refusing", "host-4:80").await;
        let (recorder, _subscriber) = subscribe(&one, "t", Some("q")).await;
        let mut accepted = 0;
        for number in numbers(0..9) {
            accepted += usize::from(publish(&two, "t", &number).await.is_ok());
        }
        settle(&world.env(1)).await;
        assert_eq!(failing.count(), 3, "it has its turns");
        assert_eq!(recorder.count(), if delivered_elsewhere { 9 } else { 6 }, "{answer:?}");
        assert_eq!(accepted, recorder.count());
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_view_serves_while_the_registry_is_down() {
    let world = World::new("http");
    let (one, two, three) = (world.broker(1).await, world.broker(2).await, world.broker(3).await);
    let (recorder, _subscriber) = subscribe(&one, "t", None).await;
    publish(&two, "t", "0").await.unwrap();
    world.registry.broken.store(true, Ordering::SeqCst);
    publish(&two, "t", "1").await.unwrap();
    assert_kind(publish(&three, "t", "2").await, ErrorKind::Backend);
    settle(&world.env(1)).await;
    assert_eq!(recorder.bodies(), ["0", "1"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_given_up_does_not_arrive_after_a_later_one() {
    let world = World::new("http");
    let (broker, env) = (world.broker(1).await, world.env(2));
    let (recorder, _subscriber) = subscribe(&broker, "t", None).await;
    let target = format!("/?id={}", world.registry.registered()[0].1.id);
    let send = |publisher: &'static str, body: &'static str| {
        let (env, address, target) = (env.clone(), broker.address(), target.clone());
        async move {
            let text = format!(r#"{{"Header":{{"Micro-Topic":"t"}},"Body":"{body}"}}"#);
            let headers = format!("micro-publisher: {publisher}\r\n");
            post(&env, &address, "POST", &target, &headers, text.as_bytes()).await
        }
    };
    assert_eq!(send("one/1", "MA==").await, 200);
    assert_eq!(send("one/2", "MQ==").await, 200);
    assert_eq!(send("one/1", "Mg==").await, 409);
    assert_eq!(send("two/1", "Mw==").await, 200);
    assert_eq!(send("one/3", "NA==").await, 200);
    settle(&env).await;
    assert_eq!(recorder.bodies(), ["0", "1", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_given_up_are_numbered_like_others() {
    let world = World::new("http");
    let (broker, env) = (world.broker(1).await, world.env(1));
    let peer = peer(&world, 2, None).await;
    register(&world, "ff.http.broadcast", "t-1", "host-2:80").await;
    for _ in 0..2 {
        let event = message("x");
        let published = broker.publish("t", &event, PublishOptions::default());
        assert!(env.timeout(Duration::from_secs(1), published).await.is_err());
    }
    assert_kind(publish(&broker, "t", "x").await, ErrorKind::Timeout);
    let requests = peer.requests.lock().unwrap();
    let numbers = requests.iter().map(|(head, _)| {
        let line = head.lines().find(|line| line.starts_with("micro-publisher: ")).unwrap();
        line.rsplit_once('/').unwrap().1.parse::<u64>().unwrap()
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_listen_address_that_is_wrong_or_taken_is_an_error() {
    let world = World::new("http");
    let env = world.env(1);
    let (one, two) = (world.broker_on(&env).await, world.broker_on(&env).await);
    let at = |address: &str| BrokerOptions { addresses: vec![address.into()], ..BrokerOptions::default() };
    one.init(at("nonsense")).unwrap();
    assert_kind(one.connect().await, ErrorKind::InvalidInput);
    one.init(at(":8000")).unwrap();
    one.connect().await.unwrap();
    two.init(at(":8000")).unwrap();
    assert_kind(two.connect().await, ErrorKind::Backend);
    one.disconnect().await.unwrap();
    two.connect().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_happens_is_closed() {
    let world = World::new("http");
    let (broker, env) = (world.broker(1).await, world.env(2));
    let mut silent = env.network().connect(&broker.address()).await.unwrap();
    let before = env.now();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    assert_eq!((env.now() - before).as_secs(), 120);

    let mut busy = env.network().connect(&broker.address()).await.unwrap();
    for _ in 0..3 {
        env.sleep(Duration::from_secs(100)).await;
        busy.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        busy.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 405");
        env.timeout(Duration::from_secs(1), async { while busy.read(&mut [0; 256]).await.unwrap() > 0 {} })
            .await
            .unwrap_err();
    }
}
