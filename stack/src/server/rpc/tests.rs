//! The `rpc` client and the `rpc` server against each other, and each against hand-made messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::client::rpc::RpcClient;
use crate::client::{CallOptions, Client, Context, MessageOptions, PublishOptions, Request, RequestOptions};
use crate::metadata::names;
use crate::selector::Outcome;
use crate::server::{Handler, RegisterCheck, Server, Subscription};
use crate::testing::{Text, World, text};
use crate::transport::{DialOptions, Message, Transport};
use crate::{Error, ErrorKind};

/// A world with a started server `user` and a client that finds it.
async fn world(handler: Handler) -> (World, Arc<dyn Server>, RpcClient) {
    let world = World::new();
    let server = super::server(world.server_env.clone(), world.server_options());
    server.handle(handler).unwrap();
    server.start().await.unwrap();
    world.selector.add(&server.record().unwrap().nodes[0].address);
    let client = RpcClient::new(world.client_env.clone(), world.client_options());
    (world, server, client)
}

fn echo() -> Handler {
    Handler::new("User").unary("Echo", |_, request: Text| async move { Ok(request) })
}

fn request(client: &RpcClient, endpoint: &str, body: &str) -> Request {
    client.new_request("user", endpoint, Arc::new(text(body)), RequestOptions::default())
}

async fn call(client: &RpcClient, endpoint: &str, body: &str) -> crate::Result<String> {
    let mut response = Text::default();
    let request = request(client, endpoint, body);
    client.call(&Context::new(), &request, &mut response, CallOptions::default()).await?;
    Ok(response.text)
}

#[tokio::test(start_paused = true)]
async fn a_call_reaches_its_handler_over_one_pooled_connection() {
    let (world, server, client) = world(echo()).await;
    for number in 0..50 {
        let body = number.to_string();
        assert_eq!(call(&client, "User.Echo", &body).await.unwrap(), body);
    }
    assert_eq!(world.transport.dials.load(Ordering::SeqCst), 1);
    assert_eq!(world.selector.loads.load(Ordering::SeqCst), 1);
    assert_eq!(world.selector.marks.lock().unwrap().len(), 50);
    client.close().await.unwrap();
    server.stop().await.unwrap();
    World::settle().await;
    assert_eq!(world.server_env.live_tasks().counts(), [].into());
    assert_eq!(world.client_env.live_tasks().counts(), [].into());
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_of_handlers_arrive_as_statuses_and_the_server_goes_on() {
    let handler = echo()
        .unary("Fail", |_, _: Text| async {
            let status = crate::error::Status::new("user", 409, "taken");
            Err::<Text, _>(Error::remote("put", status))
        })
        .unary("Panic", |_, request: Text| async move {
            assert!(request.text.is_empty(), "the handler's own text");
            Ok(request)
        });
    let (world, _server, client) = world(handler).await;
    let status = |error: Error| error.status().cloned().unwrap();
    assert_eq!(status(call(&client, "User.Fail", "").await.unwrap_err()).code, 409);
    let panicked = status(call(&client, "User.Panic", "x").await.unwrap_err());
    assert_eq!((panicked.code, panicked.detail.as_str()), (500, "panic recovered: the handler's own text"));
    let unknown = status(call(&client, "Book.Get", "").await.unwrap_err());
    assert_eq!((unknown.code, unknown.detail.as_str()), (0, "rpc: can't find service Book"));
    assert_eq!(call(&client, "User.Echo", "still here").await.unwrap(), "still here");
    assert!(world.selector.marks.lock().unwrap().iter().all(|(_, outcome)| *outcome == Outcome::Answered));
    assert_eq!(world.transport.dials.load(Ordering::SeqCst), 1, "an error is an answer: the connection is kept");
}

#[tokio::test(start_paused = true)]
async fn requests_of_one_connection_are_answered_with_their_own_ids_and_out_of_order() {
    let world = World::new();
    let server = super::server(world.server_env.clone(), world.server_options());
    let env = world.server_env.clone();
    let handler = Handler::new("User").unary("Wait", move |_, request: Text| {
        let env = env.clone();
        async move {
            env.sleep(Duration::from_millis(request.text.parse().unwrap_or(0))).await;
            Ok(request)
        }
    });
    server.handle(handler).unwrap();
    server.start().await.unwrap();
    let address = server.record().unwrap().nodes[0].address.clone();
    let socket = world.transport.dial(&address, DialOptions::default()).await.unwrap();
    let message = |id: &str, content_type: &str, body: &[u8]| {
        let pairs = [(names::ID, id), (names::ENDPOINT, "User.Wait"), (names::CONTENT_TYPE, content_type)];
        let header = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Message { header, body: body.to_vec().into() }
    };
    socket.send(&message("7", "application/json", br#"{"text":"500"}"#)).await.unwrap();
    socket.send(&message("8", "application/json", br#"{"text":"1"}"#)).await.unwrap();
    socket.send(&message("9", "application/json", b"{")).await.unwrap();
    socket.send(&message("10", "text/html", b"")).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..4 {
        let answer = socket.recv().await.unwrap();
        let error = answer.header.get(names::ERROR).map(|text| crate::error::Status::parse(text).code);
        answers.push((answer.header[names::ID].clone(), error));
    }
    let expected = [("9", Some(400)), ("10", Some(400)), ("8", None), ("7", None)];
    assert_eq!(answers, expected.map(|(id, code)| (id.to_owned(), code)));
}

#[tokio::test(start_paused = true)]
async fn the_remaining_deadline_cascades_and_metadata_travels() {
    let world_seen: Arc<std::sync::Mutex<Vec<Context>>> = Arc::default();
    let seen = world_seen.clone();
    let handler = Handler::new("User").unary("See", move |context: Context, request: Text| {
        seen.lock().unwrap().push(context);
        async move { Ok(request) }
    });
    let (world, _server, client) = world(handler).await;
    let context = Context::new().with_timeout(&world.client_env, Duration::from_secs(2)).with_header("X-User", "u");
    world.client_env.sleep(Duration::from_millis(500)).await;
    let mut response = Text::default();
    client.call(&context, &request(&client, "User.See", ""), &mut response, CallOptions::default()).await.unwrap();
    let inner = world_seen.lock().unwrap()[0].clone();
    assert_eq!(inner.deadline, context.deadline, "one clock in this world: the same moment");
    assert_eq!(inner.header("X-User"), Some("u"));
    assert_eq!(inner.header("Remote"), Some("far"));
    // The handler calls on with its own context.
    client.call(&inner, &request(&client, "User.See", ""), &mut response, CallOptions::default()).await.unwrap();
    let nested = world_seen.lock().unwrap()[1].clone();
    assert!(nested.deadline.unwrap() <= context.deadline.unwrap());
    assert_ne!(nested.metadata[names::ID], inner.metadata[names::ID]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_drains_what_is_under_way_and_no_longer_than_allowed() {
    for (work_ms, answered) in [(1_500, true), (20_000, false)] {
        let world_env = World::new();
        let server = super::server(world_env.server_env.clone(), world_env.server_options());
        let env = world_env.server_env.clone();
        let handler = Handler::new("User").unary("Work", move |_, request: Text| {
            let env = env.clone();
            async move {
                env.sleep(Duration::from_millis(work_ms)).await;
                Ok(request)
            }
        });
        server.handle(handler).unwrap();
        server.start().await.unwrap();
        world_env.selector.add(&server.record().unwrap().nodes[0].address);
        let client = RpcClient::new(world_env.client_env.clone(), world_env.client_options());
        let options = CallOptions { request_timeout: Some(Duration::from_secs(60)), ..CallOptions::default() };
        let request = request(&client, "User.Work", "x");
        let (context, mut response) = (Context::new(), Text::default());
        let stop = async {
            world_env.server_env.sleep(Duration::from_millis(100)).await;
            server.stop().await.unwrap();
            world_env.server_env.now().since_origin()
        };
        let (result, stopped) = tokio::join!(client.call(&context, &request, &mut response, options), stop);
        assert_eq!(result.is_ok(), answered);
        assert_eq!(stopped, Duration::from_millis(if answered { 1_500 } else { 10_100 }));
        World::settle().await;
        assert_eq!(world_env.server_env.live_tasks().counts(), [].into());
        assert_eq!(world_env.registry.log(), ["register", "deregister"]);
        assert!(server.record().is_none());
        server.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn registration_is_renewed_and_follows_the_check() {
    let world = World::new();
    let passes = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let mut options = world.server_options();
    let check = passes.clone();
    options.register_check = Some(RegisterCheck::new(move || {
        let passes = check.load(Ordering::SeqCst);
        async move { if passes { Ok(()) } else { Err(Error::new(ErrorKind::Backend, "check")) } }
    }));
    let server = super::server(world.server_env.clone(), options);
    server.handle(echo()).unwrap();
    server.subscribe(Subscription::new("news", |_, _: Text| async { Ok(()) }).queue("q1")).unwrap();
    server.subscribe(Subscription::new("news", |_, _: Text| async { Ok(()) }).queue("q2")).unwrap();
    world.registry.failing.store(true, Ordering::SeqCst);
    server.start().await.unwrap();
    world.registry.failing.store(false, Ordering::SeqCst);
    let sleep = |seconds| world.server_env.sleep(Duration::from_secs(seconds));
    sleep(61).await;
    assert_eq!(world.registry.log(), ["register"; 3]);
    let queues = [("news".to_owned(), Some("q1".to_owned())), ("news".to_owned(), Some("q2".to_owned()))];
    assert_eq!(world.broker.subscribed(), queues, "each once, whatever the number of heartbeats");
    passes.store(false, Ordering::SeqCst);
    sleep(90).await;
    assert_eq!(world.registry.log(), ["register", "register", "register", "deregister"]);
    assert!(world.broker.subscribed().is_empty());
    passes.store(true, Ordering::SeqCst);
    sleep(30).await;
    assert_eq!(world.registry.log().last().unwrap(), "register");
    assert_eq!(world.broker.subscribed().len(), 2);
    // By hand: it stays deregistered until it is registered by hand.
    server.deregister().await.unwrap();
    let before = world.registry.log().len();
    sleep(90).await;
    assert_eq!(world.registry.log().len(), before);
    server.register().await.unwrap();
    sleep(31).await;
    assert_eq!(world.registry.log().len(), before + 2);

    let record = world.registry.last.lock().unwrap().clone().unwrap();
    assert_eq!(Some(&record), server.record().as_ref());
    let node = &record.nodes[0];
    assert_eq!((node.id.as_str(), node.address.as_str()), ("user-1", "10.0.0.1:100"));
    for (name, value) in [("protocol", "mucp"), ("transport", "fake"), ("server", "rpc"), ("broker", "fake")] {
        assert_eq!(node.metadata[name], value);
    }
    let endpoints: Vec<&str> = record.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    assert_eq!(endpoints, ["User.Echo", "news", "news"]);
    assert_eq!(record.endpoints[1].metadata["subscriber"], "true");
    server.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_changed_version_and_label_are_told_by_the_next_registration() {
    let world = World::new();
    let server = super::server(world.server_env.clone(), world.server_options());
    server.handle(echo()).unwrap();
    server.start().await.unwrap();
    let mut options = server.options();
    options.version = "v2".to_owned();
    options.metadata.insert("zone".to_owned(), "north".to_owned());
    server.init(options).unwrap();
    server.register().await.unwrap();
    let record = world.registry.last.lock().unwrap().clone().unwrap();
    assert_eq!((record.version.as_str(), record.nodes[0].metadata["zone"].as_str()), ("v2", "north"));
    assert_eq!(record.nodes[0].metadata["server"], "rpc");
    assert_eq!(Some(record), server.record());
    server.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn subscribing_while_the_server_runs_takes_effect_at_once() {
    let world = World::new();
    let server = super::server(world.server_env.clone(), world.server_options());
    server.handle(echo()).unwrap();
    server.start().await.unwrap();
    server.subscribe(Subscription::new("late", |_, _: Text| async { Ok(()) })).unwrap();
    World::settle().await;
    assert_eq!(world.broker.subscribed(), [("late".to_owned(), None)]);
    assert_eq!(server.register().await.map_err(|error| error.kind()), Ok(()));
    server.stop().await.unwrap();
    assert_eq!(server.register().await.unwrap_err().kind(), ErrorKind::NotConnected);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_published_reaches_its_function_and_its_failure_is_told() {
    let world = World::new();
    let server = super::server(world.server_env.clone(), world.server_options());
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let subscription = Subscription::new("news", move |context: Context, event: Text| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_ne!(event.text, "panic", "asked to");
            assert_eq!(context.header(names::TOPIC), Some("headline"));
            if event.text == "bad" { Err(Error::new(ErrorKind::Backend, "store")) } else { Ok(()) }
        }
    });
    server.subscribe(subscription).unwrap();
    server.start().await.unwrap();
    world.broker.connected.store(false, Ordering::SeqCst);
    let client = RpcClient::new(world.client_env.clone(), world.client_options());
    let publish = async |body: &str| {
        let message = client.new_message("headline", Arc::new(text(body)), MessageOptions::default());
        let options = PublishOptions { exchange: Some("news".to_owned()) };
        client.publish(&Context::new(), &message, options).await.map_err(|error| error.kind())
    };
    assert_eq!(publish("good").await, Ok(()));
    assert_eq!(publish("bad").await, Err(ErrorKind::Backend));
    assert_eq!(publish("panic").await, Err(ErrorKind::Internal));
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    let (topic, message) = world.broker.published.lock().unwrap()[0].clone();
    assert_eq!(topic, "news");
    assert_eq!(message.header[names::CONTENT_TYPE], "application/protobuf");
    assert_eq!(message.header[names::ID].len(), 36);
}

/// Echoes until the client ends; says "done" then, or fails where asked to.
fn chat() -> Handler {
    Handler::new("User").stream("Chat", |_, stream| async move {
        let mut message = Text::default();
        loop {
            match stream.recv(&mut message).await {
                Ok(()) if message.text == "fail" => return Err(Error::new(ErrorKind::NotFound, "find")),
                Ok(()) => stream.send(&message).await?,
                Err(error) if error.kind() == ErrorKind::EndOfStream => return stream.send(&text("done")).await,
                Err(error) => return Err(error),
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_stream_carries_messages_both_ways_and_ends_in_order() {
    let (world, server, client) = world(chat()).await;
    let opening = request(&client, "User.Chat", "opens");
    let stream = client.stream(&Context::new(), &opening, CallOptions::default()).await.unwrap();
    let mut message = Text::default();
    for number in 0..300 {
        stream.send(&text(&number.to_string())).await.unwrap();
        stream.recv(&mut message).await.unwrap();
        assert_eq!(message.text, number.to_string(), "the opening message's body goes to nobody");
    }
    // Sending while a `recv` waits.
    let waiting = text("while waiting");
    let (received, sent) = tokio::join!(stream.recv(&mut message), stream.send(&waiting));
    assert!(received.is_ok() && sent.is_ok());
    stream.close_send().await.unwrap();
    assert_eq!(stream.send(&text("late")).await.unwrap_err().kind(), ErrorKind::Closed);
    stream.recv(&mut message).await.unwrap();
    assert_eq!(message.text, "done");
    for _ in 0..2 {
        assert_eq!(stream.recv(&mut message).await.unwrap_err().kind(), ErrorKind::EndOfStream);
    }
    stream.close().await.unwrap();
    stream.close().await.unwrap();
    assert_eq!(stream.recv(&mut message).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(stream.send(&message).await.unwrap_err().kind(), ErrorKind::Closed);
    server.stop().await.unwrap();
    World::settle().await;
    assert_eq!(world.server_env.live_tasks().counts(), [].into());
    assert_eq!(world.client_env.live_tasks().counts(), [].into());
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_the_handlers_error_and_an_unknown_endpoint() {
    let (_world, _server, client) = world(chat()).await;
    for (endpoint, code) in [("User.Chat", 404), ("User.Other", 0)] {
        let request = request(&client, endpoint, "");
        let stream = client.stream(&Context::new(), &request, CallOptions::default()).await.unwrap();
        stream.send(&text("fail")).await.unwrap();
        let error = stream.recv(&mut Text::default()).await.unwrap_err();
        assert_eq!(error.status().map(|status| status.code), Some(code), "{error}");
        stream.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_without_the_streams_end_is_a_disconnection_on_both_sides() {
    let seen: Arc<std::sync::Mutex<Vec<ErrorKind>>> = Arc::default();
    let own = seen.clone();
    let handler = Handler::new("User").stream("Listen", move |_, stream| {
        let seen = own.clone();
        async move {
            let error = stream.recv(&mut Text::default()).await.unwrap_err();
            seen.lock().unwrap().push(error.kind());
            Err(error)
        }
    });
    let (world, _server, client) = world(handler).await;
    let open = async || {
        let request = request(&client, "User.Listen", "");
        let stream = client.stream(&Context::new(), &request, CallOptions::default()).await.unwrap();
        World::settle().await;
        stream
    };
    drop(open().await);
    World::settle().await;
    assert_eq!(*seen.lock().unwrap(), [ErrorKind::Disconnected]);
    let stream = open().await;
    let accepted = world.transport.accepted.lock().unwrap().last().unwrap().clone();
    crate::transport::Socket::close(&*accepted).await.unwrap();
    assert_eq!(stream.recv(&mut Text::default()).await.unwrap_err().kind(), ErrorKind::Disconnected);
    // Closing releases a `recv` that waits, and tells the server the end in order.
    let stream = open().await;
    let mut message = Text::default();
    let close = async {
        World::settle().await;
        stream.close().await
    };
    let (received, closed) = tokio::join!(stream.recv(&mut message), close);
    let error = received.unwrap_err();
    assert_eq!((error.kind(), closed.is_ok()), (ErrorKind::Closed, true), "{error}");
    World::settle().await;
    assert_eq!(seen.lock().unwrap().last(), Some(&ErrorKind::EndOfStream));
}
