//! The `grpc` client and the `grpc` server against each other over the test network, and against peers that say nothing.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use hyper_util::rt::TokioIo;

use crate::client::grpc::GrpcClient;
use crate::client::{CallOptions, Client, Context, Request, RequestOptions};
use crate::env::{Env, Stream};
use crate::error::Status;
use crate::server::{Handler, Server};
use crate::testing::{Text, World, text};
use crate::{Error, ErrorKind};

/// Echoes texts; fails, panics or waits (milliseconds) where the text asks for it.
fn echo(world: &World, seen: &Arc<Mutex<Vec<Context>>>) -> Handler {
    let (env, seen) = (world.server_env.clone(), seen.clone());
    Handler::new("Say").unary("Echo", move |context: Context, request: Text| {
        let env = env.clone();
        seen.lock().unwrap().push(context);
        async move {
            match request.text.as_str() {
                "fail" => return Err(Error::remote("find", Status::new("user", 404, "no such user"))),
                "panic" => panic!("asked to"),
                wait => env.sleep(Duration::from_millis(wait.parse().unwrap_or(0))).await,
            }
            Ok(request)
        }
    })
}

/// Echoes until the client ends; says "done" then, or fails where asked to.
fn chat() -> Handler {
    Handler::new("Chat").stream("Talk", |_, stream| async move {
        let mut message = Text::default();
        loop {
            match stream.recv(&mut message).await {
                Ok(()) if message.text == "fail" => {
                    return Err(Error::remote("find", Status::new("user", 409, "taken")));
                }
                Ok(()) => stream.send(&message).await?,
                Err(error) if error.kind() == ErrorKind::EndOfStream => return stream.send(&text("done")).await,
                Err(error) => return Err(error),
            }
        }
    })
}

async fn world() -> (World, Arc<dyn Server>, GrpcClient, Arc<Mutex<Vec<Context>>>) {
    let world = World::new();
    let seen = Arc::default();
    let server = super::server(world.server_env.clone(), world.server_options());
    server.handle(echo(&world, &seen)).unwrap();
    server.handle(chat()).unwrap();
    server.start().await.unwrap();
    world.selector.add(&server.record().unwrap().nodes[0].address);
    let client = GrpcClient::new(world.client_env.clone(), world.client_options());
    (world, server, client, seen)
}

fn request(client: &GrpcClient, endpoint: &str, body: &str, content_type: Option<&str>) -> Request {
    let options = RequestOptions { content_type: content_type.map(str::to_owned), ..RequestOptions::default() };
    client.new_request("go.micro.user", endpoint, Arc::new(text(body)), options)
}

async fn call(client: &GrpcClient, endpoint: &str, body: &str) -> crate::Result<String> {
    let mut response = Text::default();
    let request = request(client, endpoint, body, None);
    client.call(&Context::new(), &request, &mut response, CallOptions::default()).await?;
    Ok(response.text)
}

#[tokio::test(start_paused = true)]
async fn calls_share_one_connection_and_bodies_of_any_size_arrive() {
    let (world, server, client, _) = world().await;
    let calls = (0..50).map(|number: u32| {
        let client = &client;
        async move { call(client, "Say.Echo", &number.to_string()).await.unwrap() == number.to_string() }
    });
    assert!(futures_util::future::join_all(calls).await.into_iter().all(|same| same));
    for bytes in [0, 1, 16_383, 16_385, 65_536, 1 << 20, (4 << 20) - 5] {
        let body = "x".repeat(bytes);
        assert!(call(&client, "Say.Echo", &body).await.unwrap() == body, "{bytes}");
    }
    let too_large = call(&client, "Say.Echo", &"x".repeat(4 << 20)).await.unwrap_err();
    assert_eq!(too_large.kind(), ErrorKind::TooLarge);
    let mut response = Text::default();
    let json = request(&client, "Say.Echo", "json", Some("application/json"));
    client.call(&Context::new(), &json, &mut response, CallOptions::default()).await.unwrap();
    assert_eq!(response.text, "json");
    assert_eq!(world.server_env.live_tasks().counts()["grpc server connection"], 1);
    let node = &server.record().unwrap().nodes[0];
    assert_eq!((node.metadata["protocol"].as_str(), node.metadata["server"].as_str()), ("grpc", "grpc"));
    client.close().await.unwrap();
    server.stop().await.unwrap();
    World::settle().await;
    assert_eq!(world.server_env.live_tasks().counts(), [].into());
    assert_eq!(world.client_env.live_tasks().counts(), [].into());
}

#[tokio::test(start_paused = true)]
async fn errors_arrive_as_go_micros_statuses() {
    let (_world, _server, client, _) = world().await;
    let status = async |endpoint, body| call(&client, endpoint, body).await.unwrap_err().status().cloned().unwrap();
    assert_eq!(status("Say.Echo", "fail").await, Status::new("user", 404, "no such user"));
    assert_eq!(status("Say.Echo", "panic").await, Status::new("user", 500, "panic recovered: asked to"));
    assert_eq!(status("Nobody.Echo", "").await, Status::new("go.micro.client", 501, "unknown service Nobody"));
    assert_eq!(
        status("Say.Nothing", "").await,
        Status::new("go.micro.client", 501, "unknown method Nothing for service Say")
    );
    assert_eq!(status("Ill", "").await.code, 400);
    assert_eq!(call(&client, "Say.Echo", "0").await.unwrap(), "0");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_travels_and_metadata_is_lower_cased() {
    let (world, _server, client, seen) = world().await;
    let context = Context::new().with_timeout(&world.client_env, Duration::from_secs(2)).with_header("X-User-Id", "7");
    world.client_env.sleep(Duration::from_millis(300)).await;
    let mut response = Text::default();
    let slow = request(&client, "Say.Echo", "5000", None);
    let error = client.call(&context, &slow, &mut response, CallOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("no answer within 1.7s"), "{error}");
    assert_eq!(world.client_env.now().since_origin(), Duration::from_secs(2));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1, "a handler that may have run is not run again");
    assert_eq!(seen[0].deadline, context.deadline);
    assert_eq!(seen[0].metadata["x-user-id"], "7");
    assert!(seen[0].metadata.contains_key(":authority") && seen[0].metadata.contains_key("Remote"));
    for own in ["timeout", "grpc-timeout", "x-content-type", "te"] {
        assert!(!seen[0].metadata.contains_key(own), "{own}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_carries_messages_both_ways_and_ends_in_order() {
    let (world, server, client, _) = world().await;
    let opening = request(&client, "Chat.Talk", "not sent", None);
    let stream = client.stream(&Context::new(), &opening, CallOptions::default()).await.unwrap();
    let mut message = Text::default();
    for number in 0..300 {
        stream.send(&text(&number.to_string())).await.unwrap();
        stream.recv(&mut message).await.unwrap();
        assert_eq!(message.text, number.to_string());
    }
    let waiting = text("while waiting");
    let (received, sent) = tokio::join!(stream.recv(&mut message), stream.send(&waiting));
    assert!(received.is_ok() && sent.is_ok());
    stream.close_send().await.unwrap();
    assert_eq!(stream.send(&waiting).await.unwrap_err().kind(), ErrorKind::Closed);
    stream.recv(&mut message).await.unwrap();
    assert_eq!(message.text, "done");
    for _ in 0..2 {
        assert_eq!(stream.recv(&mut message).await.unwrap_err().kind(), ErrorKind::EndOfStream);
    }
    stream.close().await.unwrap();
    stream.close().await.unwrap();
    assert_eq!(stream.recv(&mut message).await.unwrap_err().kind(), ErrorKind::Closed);

    // The handler's error, after a message and as the first thing.
    for echoes in [1, 0] {
        let stream = client.stream(&Context::new(), &opening, CallOptions::default()).await.unwrap();
        for _ in 0..echoes {
            stream.send(&waiting).await.unwrap();
            stream.recv(&mut message).await.unwrap();
        }
        stream.send(&text("fail")).await.unwrap();
        for _ in 0..2 {
            let error = stream.recv(&mut message).await.unwrap_err();
            assert_eq!(error.status(), Some(&Status::new("user", 409, "taken")));
        }
    }
    // Closing releases a `recv` that waits.
    let stream = client.stream(&Context::new(), &opening, CallOptions::default()).await.unwrap();
    let close = async {
        World::settle().await;
        stream.close().await
    };
    let (received, closed) = tokio::join!(stream.recv(&mut message), close);
    let error = received.unwrap_err();
    assert_eq!((error.kind(), closed.is_ok()), (ErrorKind::Closed, true), "{error}");
    drop(stream);
    client.close().await.unwrap();
    server.stop().await.unwrap();
    World::settle().await;
    assert_eq!(world.server_env.live_tasks().counts(), [].into());
    assert_eq!(world.client_env.live_tasks().counts(), [].into());
}

#[tokio::test(start_paused = true)]
async fn a_stop_drains_and_a_stream_that_is_cut_off_is_a_disconnection() {
    for (work_ms, answered) in [("1500", true), ("20000", false)] {
        let (world, server, client, _) = world().await;
        let options = CallOptions { request_timeout: Some(Duration::from_secs(60)), ..CallOptions::default() };
        let request = request(&client, "Say.Echo", work_ms, None);
        let (context, mut response) = (Context::new(), Text::default());
        let stop = async {
            world.server_env.sleep(Duration::from_millis(100)).await;
            server.stop().await.unwrap();
            world.server_env.now().since_origin()
        };
        let (result, stopped) = tokio::join!(client.call(&context, &request, &mut response, options), stop);
        match answered {
            true => result.unwrap(),
            false => assert_eq!(result.unwrap_err().kind(), ErrorKind::Disconnected),
        }
        assert_eq!(stopped, Duration::from_millis(if answered { 1_500 } else { 10_100 }));
        World::settle().await;
        assert_eq!(world.server_env.live_tasks().counts(), [].into());
        assert_eq!(call(&client, "Say.Echo", "").await.unwrap_err().kind(), ErrorKind::Unreachable);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanished_is_noticed_and_its_connection_ends() {
    let world = World::new();
    let mut listener = world.server_env.network().listen(":80").await.unwrap();
    world.selector.add("host-1:80");
    let client = GrpcClient::new(world.client_env.clone(), world.client_options());
    let options = CallOptions { request_timeout: Some(Duration::from_secs(60)), ..CallOptions::default() };
    let request = request(&client, "Say.Echo", "", None);
    let (context, mut response) = (Context::new(), Text::default());
    // Accepted, and kept open without a word.
    let (result, _held) = tokio::join!(client.call(&context, &request, &mut response, options), listener.accept());
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Disconnected);
    assert_eq!(world.client_env.now().since_origin(), Duration::from_secs(7), "a ping after 5 s, 2 s for the pong");
    World::settle().await;
    assert_eq!(world.client_env.live_tasks().counts(), [].into());
}

#[tokio::test(start_paused = true)]
async fn a_client_is_pinged_when_nothing_has_come_for_a_while_and_given_up_when_it_does_not_answer() {
    let (world, server, _, _) = world().await;
    let (env, address) = (&world.client_env, server.record().unwrap().nodes[0].address.clone());
    let (mut sender, mut connection) =
        h2::client::handshake(env.network().connect(&address).await.unwrap()).await.unwrap();
    let mut responses = Vec::new();
    for alive_s in [15, 1] {
        let head = http::Request::post(format!("http://{address}/Say.Nothing/At")).body(()).unwrap();
        responses.push(sender.send_request(head, true).unwrap());
        assert!(env.timeout(Duration::from_secs(alive_s), &mut connection).await.is_err(), "it is open");
    }
    // From here on, 1 s after the last request, nobody reads: a ping 20 s after it, and 20 s for the answer.
    let open = || world.server_env.live_tasks().counts().get("grpc server connection").copied();
    env.sleep(Duration::from_secs(38)).await;
    assert_eq!(open(), Some(1));
    env.sleep(Duration::from_secs(2)).await;
    assert_eq!(open(), None);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_after_its_time() {
    let (world, _server, client, _) = world().await;
    call(&client, "Say.Echo", "").await.unwrap();
    world.client_env.sleep(Duration::from_secs(50)).await;
    assert_eq!(world.client_env.live_tasks().total(), 1);
    world.client_env.sleep(Duration::from_secs(16)).await;
    assert_eq!(world.client_env.live_tasks().total(), 0);
    call(&client, "Say.Echo", "").await.unwrap();
}

/// Lets tonic connect over the test network.
#[derive(Clone)]
struct Connector(Env);

impl tower_service::Service<http::Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _context: &mut std::task::Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let env = self.0.clone();
        let address = uri.authority().map(ToString::to_string).unwrap_or_default();
        Box::pin(async move { env.network().connect(&address).await.map(TokioIo::new) })
    }
}

/// tonic is a gRPC implementation that knows nothing of go-micro.
#[tokio::test(start_paused = true)]
async fn a_tonic_client_is_served() {
    let (world, server, _client, _) = world().await;
    let address = server.record().unwrap().nodes[0].address.clone();
    let connector = Connector(world.client_env.clone());
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let endpoint = endpoint.executor(world.client_env.executor("tonic"));
    let mut client = tonic::client::Grpc::new(endpoint.connect_with_connector(connector).await.unwrap());
    let codec = tonic_prost::ProstCodec::<Text, Text>::default;
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/any.package.Say/Echo");
    let response = client.unary(tonic::Request::new(text("7")), path.clone(), codec()).await.unwrap();
    assert_eq!(response.into_inner().text, "7");
    client.ready().await.unwrap();
    let status = client.unary(tonic::Request::new(text("fail")), path, codec()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
    assert_eq!(Status::parse(status.message()), Status::new("user", 404, "no such user"));
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/Chat/Talk");
    let messages = tokio_stream::iter([text("one"), text("two")]);
    let mut answers = client.streaming(tonic::Request::new(messages), path, codec()).await.unwrap().into_inner();
    let mut texts = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        texts.push(answer.text);
    }
    assert_eq!(texts, ["one", "two", "done"]);
}
