//! Retries, deadlines, the pool and ids of the `rpc` client, against servers that tests play by hand.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::RpcClient;
use crate::client::{CallOptions, Client, Context, Request, RequestOptions};
use crate::env::Env;
use crate::metadata::names;
use crate::selector::Outcome;
use crate::testing::{FakeTransport, Text, World, text};
use crate::transport::{ListenOptions, Message, Socket, Transport};
use crate::{Error, ErrorKind};

type Behaviour = Arc<dyn Fn(Message) -> Answer + Send + Sync>;

/// What a server played by hand does with a request.
enum Answer {
    Send(Message),
    Nothing,
    Close,
    SendAndClose(Message),
}

/// Listens and answers each request as `behaviour` says; gives the address.
async fn play(env: &Env, transport: &Arc<FakeTransport>, behaviour: Behaviour) -> String {
    let listener = transport.listen(":0", ListenOptions::default()).await.unwrap();
    let address = listener.address().replace("0.0.0.0", "host-1");
    let own = env.clone();
    env.spawn("played server", async move {
        while let Ok(socket) = listener.accept().await {
            let behaviour = behaviour.clone();
            own.spawn("played connection", async move { serve(&*socket, &behaviour).await }).detach();
        }
    })
    .detach();
    address
}

async fn serve(socket: &dyn Socket, behaviour: &Behaviour) {
    while let Ok(message) = socket.recv().await {
        match behaviour(message) {
            Answer::Send(message) => socket.send(&message).await.unwrap(),
            Answer::Nothing => {}
            Answer::Close => break,
            Answer::SendAndClose(message) => {
                socket.send(&message).await.unwrap();
                break;
            }
        }
    }
    socket.close().await.unwrap();
}

fn client(world: &World) -> RpcClient {
    RpcClient::new(world.client_env.clone(), world.client_options())
}

fn request(client: &RpcClient, idempotent: bool) -> Request {
    let options = RequestOptions { idempotent, ..RequestOptions::default() };
    client.new_request("user", "User.Get", Arc::new(text("x")), options)
}

async fn call(client: &RpcClient, idempotent: bool, options: CallOptions) -> Result<Text, Error> {
    let mut response = Text::default();
    client.call(&Context::new(), &request(client, idempotent), &mut response, options).await.map(|()| response)
}

fn counting(answer: impl Fn(usize, Message) -> Answer + Send + Sync + 'static) -> (Behaviour, Arc<FakeCount>) {
    let count = Arc::new(FakeCount::default());
    let own = count.clone();
    (Arc::new(move |message| answer(own.0.fetch_add(1, Ordering::SeqCst), message)), count)
}

#[derive(Default)]
struct FakeCount(std::sync::atomic::AtomicUsize);

impl FakeCount {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_refuses_is_tried_again_elsewhere() {
    let world = World::new();
    let (behaviour, count) = counting(|_, message| Answer::Send(message));
    let address = play(&world.server_env, &world.transport, behaviour).await;
    world.selector.add("host-1:1");
    world.selector.add(&address);
    call(&client(&world), false, CallOptions::default()).await.unwrap();
    assert_eq!(count.get(), 1);
    let marks = world.selector.marks.lock().unwrap().clone();
    assert_eq!(marks, [("host-1:1".to_owned(), Outcome::Failed), (address, Outcome::Answered)]);
}

#[tokio::test(start_paused = true)]
async fn retries_are_extra_attempts_and_none_means_one_attempt() {
    for retries in [0, 1, 3] {
        let world = World::new();
        world.selector.add("host-1:1");
        let options = CallOptions { retries: Some(retries), ..CallOptions::default() };
        let error = call(&client(&world), false, options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!(world.transport.dials.load(Ordering::SeqCst), retries as usize + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn addresses_bypass_the_selector_each_attempt_the_next() {
    let world = World::new();
    let (behaviour, _) = counting(|_, message| Answer::Send(message));
    let address = play(&world.server_env, &world.transport, behaviour).await;
    let addresses = vec!["host-1:1".to_owned(), "host-1:2".to_owned(), address];
    let options = CallOptions { addresses, retries: Some(2), ..CallOptions::default() };
    call(&client(&world), false, options).await.unwrap();
    assert_eq!(world.transport.dials.load(Ordering::SeqCst), 3);
    assert!(world.selector.marks.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_have_run_is_repeated_only_when_idempotent() {
    for (idempotent, runs) in [(false, 1), (true, 3)] {
        let world = World::new();
        let (behaviour, count) = counting(|_, _| Answer::Close);
        let address = play(&world.server_env, &world.transport, behaviour).await;
        world.selector.add(&address);
        let options = CallOptions { retries: Some(2), ..CallOptions::default() };
        let error = call(&client(&world), idempotent, options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected);
        assert_eq!(count.get(), runs);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_call_names_itself_and_is_not_retried() {
    for retries in [0, 5] {
        let world = World::new();
        let (behaviour, count) = counting(|_, _| Answer::Nothing);
        let address = play(&world.server_env, &world.transport, behaviour).await;
        world.selector.add(&address);
        let options = CallOptions {
            retries: Some(retries),
            request_timeout: Some(Duration::from_millis(300)),
            ..CallOptions::default()
        };
        let error = call(&client(&world), false, options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("no answer within 300ms"), "{error}");
        assert_eq!(world.client_env.now().since_origin(), Duration::from_millis(300));
        assert_eq!(count.get(), 1);
        World::settle().await;
        assert_eq!(world.client_env.live_tasks().total(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_dialling_and_a_dial_that_hangs_is_safe_to_repeat() {
    let world = World::new();
    let (behaviour, count) = counting(|_, message| Answer::Send(message));
    let address = play(&world.server_env, &world.transport, behaviour).await;
    world.transport.silent.lock().unwrap().insert("host-1:1".to_owned());
    world.selector.add("host-1:1");
    world.selector.add(&address);
    let options = CallOptions { dial_timeout: Some(Duration::from_secs(1)), ..CallOptions::default() };
    call(&client(&world), false, options).await.unwrap();
    assert_eq!(count.get(), 1);
    let options =
        CallOptions { request_timeout: Some(Duration::from_secs(2)), retries: Some(0), ..CallOptions::default() };
    let before = world.client_env.now();
    let error = call(&client(&world), false, options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_eq!(world.client_env.now() - before, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_passed_deadline_sends_nothing() {
    let world = World::new();
    world.selector.add("host-1:1");
    let client = client(&world);
    let context = Context::new().with_timeout(&world.client_env, Duration::ZERO);
    let mut response = Text::default();
    let request = request(&client, true);
    let error = client.call(&context, &request, &mut response, CallOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(world.transport.dials.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_response_with_another_id_is_refused_and_its_connection_dropped() {
    let world = World::new();
    let (behaviour, _) = counting(|number, mut message| {
        if number == 0 {
            message.header.insert(names::ID.to_owned(), "another".to_owned());
        }
        Answer::Send(message)
    });
    world.selector.add(&play(&world.server_env, &world.transport, behaviour).await);
    let client = client(&world);
    let error = call(&client, true, CallOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidMessage);
    call(&client, true, CallOptions::default()).await.unwrap();
    assert_eq!(world.transport.dials.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pooled_connection_that_the_peer_has_closed_is_noticed_before_sending() {
    let world = World::new();
    let (behaviour, count) = counting(|_, message| Answer::SendAndClose(message));
    world.selector.add(&play(&world.server_env, &world.transport, behaviour).await);
    let client = client(&world);
    for _ in 0..5 {
        call(&client, false, CallOptions { retries: Some(0), ..CallOptions::default() }).await.unwrap();
        World::settle().await;
    }
    assert_eq!(count.get(), 5);
    assert_eq!(world.transport.dials.load(Ordering::SeqCst), 5);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_limited_and_end_with_their_time() {
    let world = World::new();
    let own = world.server_env.clone();
    let (behaviour, _) = counting(|_, message| Answer::Send(message));
    world.selector.add(&play(&own, &world.transport, behaviour).await);
    let mut options = world.client_options();
    options.pool_size = 2;
    options.pool_ttl = Duration::from_secs(10);
    let client = RpcClient::new(world.client_env.clone(), options);
    let calls = (0..4).map(|_| call(&client, false, CallOptions::default()));
    assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
    World::settle().await;
    assert_eq!(world.transport.dials.load(Ordering::SeqCst), 4);
    assert_eq!(own.live_tasks().counts()["played connection"], 2, "two are kept");
    world.client_env.sleep(Duration::from_secs(9)).await;
    call(&client, false, CallOptions::default()).await.unwrap();
    assert_eq!(world.transport.dials.load(Ordering::SeqCst), 4);
    world.client_env.sleep(Duration::from_secs(11)).await;
    World::settle().await;
    assert_eq!(own.live_tasks().counts().get("played connection"), None, "none outlives its time");
    assert_eq!(world.client_env.live_tasks().total(), 0, "with nothing idle nobody sweeps");
}
