//! The contract, and that a gRPC library understands both ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::Uri;
use bytes::{Bytes, BytesMut};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use shaketable_proto::micro::transport::v1 as wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tower_service::Service;
use wire::transport_client::TransportClient;
use wire::transport_server::{self, TransportServer};

use super::super::contract::{self, Traits};
use super::super::{DialOptions, ListenOptions, Listener, Message, Transport, TransportOptions};
use super::{CONTENT_TYPE, GrpcTransport, PATH, framing};
use crate::ErrorKind;
use crate::env::testing::Hosts;
use crate::env::{Env, Stream, Task};
use crate::metadata::Metadata;

#[tokio::test(start_paused = true)]
async fn grpc_meets_the_contract() {
    let traits = Traits { keeps_key_case: true, on_network: true };
    contract::check(traits, |env, options| Arc::new(GrpcTransport::new(env, options))).await;
}

fn transport(env: Env) -> GrpcTransport {
    GrpcTransport::new(env, TransportOptions::default())
}

fn message(id: &str) -> Message {
    Message { header: Metadata::from([("Micro-ID".to_owned(), id.to_owned())]), body: Bytes::from_static(b"{}") }
}

async fn listen(hosts: &Hosts) -> Arc<dyn Listener> {
    transport(hosts.host(2)).listen(":80", ListenOptions::default()).await.unwrap()
}

async fn still_serves(hosts: &Hosts, listener: &Arc<dyn Listener>) {
    let near = transport(hosts.host(1)).dial("host-2:80", DialOptions::default()).await.unwrap();
    near.send(&message("still there?")).await.unwrap();
    assert_eq!(listener.accept().await.unwrap().recv().await.unwrap(), message("still there?"));
}

/// Connects tonic's channel over the test's network.
struct Connector(Env);

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let env = self.0.clone();
        Box::pin(async move { Ok(TokioIo::new(env.network().connect(uri.authority().unwrap().as_str()).await?)) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_library_client_speaks_with_our_listener() {
    contract::soon(async {
        let hosts = Hosts::default();
        let listener = listen(&hosts).await;
        let env = hosts.host(1);
        let endpoint = tonic::transport::Endpoint::from_static("http://host-2:80").executor(env.executor("library"));
        let channel = endpoint.connect_with_connector(Connector(env)).await.unwrap();
        let first = wire::Message { header: message("1").header, body: message("1").body };
        let mut client = TransportClient::new(channel);
        let mut answers = client.stream(tokio_stream::iter([first.clone(), first.clone()])).await.unwrap().into_inner();
        let far = listener.accept().await.unwrap();
        assert_eq!(far.recv().await.unwrap(), message("1"));
        assert_eq!(far.recv().await.unwrap(), message("1"));
        assert_eq!(far.recv().await.unwrap_err().kind(), ErrorKind::EndOfStream, "the client has no more to send");
        far.send(&message("1")).await.unwrap();
        assert_eq!(answers.message().await.unwrap(), Some(first));
        far.close().await.unwrap();
        assert_eq!(answers.message().await.unwrap(), None);

        // Several sockets live on one connection, and one that is dropped is an end, not a failure.
        let (sender, requests) = mpsc::channel(1);
        let mut answers = client.stream(ReceiverStream::new(requests)).await.unwrap().into_inner();
        let far = listener.accept().await.unwrap();
        far.send(&message("2")).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().header, message("2").header);
        drop((sender, answers));
        assert_eq!(far.recv().await.unwrap_err().kind(), ErrorKind::EndOfStream);
    })
    .await;
}

/// Sends everything back, or refuses.
struct Echo {
    refuses: bool,
}

#[tonic::async_trait]
impl transport_server::Transport for Echo {
    type StreamStream = Streaming<wire::Message>;

    async fn stream(&self, request: Request<Streaming<wire::Message>>) -> Result<Response<Self::StreamStream>, Status> {
        if self.refuses { Err(Status::unavailable("not today")) } else { Ok(Response::new(request.into_inner())) }
    }
}

/// Serves one connection at `host-2:80` by tonic's generated server.
async fn serve(hosts: &Hosts, refuses: bool) -> Task {
    let env = hosts.host(2);
    let mut listener = env.network().listen(":80").await.unwrap();
    let server = TransportServer::new(Echo { refuses });
    env.clone().spawn("library", async move {
        let stream = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(move |request| server.clone().call(request));
        let builder = hyper::server::conn::http2::Builder::new(env.executor("library"));
        builder.serve_connection(TokioIo::new(stream), service).await.unwrap();
    })
}

#[tokio::test(start_paused = true)]
async fn our_socket_speaks_with_a_library_server() {
    contract::soon(async {
        let hosts = Hosts::default();
        let _server = serve(&hosts, false).await;
        let near = transport(hosts.host(1)).dial("host-2:80", DialOptions::default()).await.unwrap();
        for id in ["1", "2"] {
            near.send(&message(id)).await.unwrap();
            assert_eq!(near.recv().await.unwrap(), message(id));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_status_of_the_server_is_a_remote_error() {
    contract::soon(async {
        let hosts = Hosts::default();
        let _server = serve(&hosts, true).await;
        let near = transport(hosts.host(1)).dial("host-2:80", DialOptions::default()).await.unwrap();
        let error = near.recv().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Remote);
        let status = error.status().unwrap();
        assert_eq!((status.code, &*status.detail), (503, "not today"));
        assert_eq!(near.recv().await.unwrap_err().kind(), ErrorKind::EndOfStream);
    })
    .await;
}

/// What our listener answers to a call with this head and these bytes: the gRPC status.
async fn answer(hosts: &Hosts, path: &str, content_type: &str, bytes: &'static [u8]) -> String {
    let stream = hosts.host(1).network().connect("host-2:80").await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    let _driver = hosts.host(1).spawn("raw", async move {
        let _ = connection.await;
    });
    let request = ::http::Request::post(format!("http://host-2{path}")).header("content-type", content_type);
    let (response, mut sender) =
        requests.ready().await.unwrap().send_request(request.body(()).unwrap(), false).unwrap();
    // It fails where the call was refused before.
    let _ = sender.send_data(Bytes::from_static(bytes), true);
    let (head, mut body) = response.await.unwrap().into_parts();
    while body.data().await.is_some() {}
    let trailers = poll_fn(|context| body.poll_trailers(context)).await.unwrap().unwrap_or(head.headers);
    trailers["grpc-status"].to_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_not_ours_are_refused() {
    contract::soon(async {
        let hosts = Hosts::default();
        let listener = listen(&hosts).await;
        assert_eq!(answer(&hosts, "/go.micro.grpc.transport.Transport/Stream", CONTENT_TYPE, b"").await, "12");
        assert_eq!(answer(&hosts, PATH, "text/plain", b"").await, "12");
        still_serves(&hosts, &listener).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_message_end_the_call_and_leave_the_listener_serving() {
    contract::soon(async {
        let hosts = Hosts::default();
        let listener = listen(&hosts).await;
        let cases: [(&[u8], ErrorKind, &str); 4] = [
            (b"\x01\0\0\0\0", ErrorKind::InvalidMessage, "13"),
            (b"\0\0\0\0\x02\xff\xff", ErrorKind::InvalidMessage, "13"),
            (b"\0\xff\xff\xff\xff", ErrorKind::TooLarge, "8"),
            (b"\0\0\0\0\x02\xff", ErrorKind::Disconnected, "0"),
        ];
        for (bytes, expected, status) in cases {
            let receive = async {
                let far = listener.accept().await.unwrap();
                let kind = far.recv().await.unwrap_err().kind();
                far.close().await.unwrap();
                kind
            };
            let (answered, kind) = tokio::join!(answer(&hosts, PATH, CONTENT_TYPE, bytes), receive);
            assert_eq!((kind, &*answered), (expected, status), "{bytes:?}");
        }
        let mut raw = hosts.host(1).network().connect("host-2:80").await.unwrap();
        raw.write_all(b"GET / HTTP/1.1\r\nHost: host-2\r\n\r\n").await.unwrap();
        let _ = raw.read_to_end(&mut Vec::new()).await;
        still_serves(&hosts, &listener).await;
    })
    .await;
}

proptest! {
    #[test]
    fn messages_survive_framing_in_pieces_of_any_size(
        messages in proptest::collection::vec((any::<Metadata>(), any::<Vec<u8>>()), 0..4),
        step in 1_usize..50,
    ) {
        let messages: Vec<_> =
            messages.into_iter().map(|(header, body)| Message { header, body: body.into() }).collect();
        let mut bytes = Vec::new();
        for message in &messages {
            bytes.extend_from_slice(&framing::encode(message, 1 << 20).unwrap());
        }
        let (mut buffer, mut received) = (BytesMut::new(), Vec::new());
        for piece in bytes.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(message) = framing::decode(&mut buffer, 1 << 20).unwrap() {
                received.push(message);
            }
        }
        prop_assert_eq!(received, messages);
    }

    #[test]
    fn no_bytes_make_framing_panic(bytes in any::<Vec<u8>>()) {
        let _ = framing::decode(&mut BytesMut::from(&bytes[..]), 1 << 20);
    }
}
