//! Posting to every subscriber with bare hyper: a kept HTTP/1.1 connection each, the body as it is, an answer without a body.
//! It encodes nothing and looks nobody up: less cannot be done with that wire.
#![expect(clippy::disallowed_types, reason = "a peer on the system's own sockets")]

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::Publishes;
use crate::tally::{Seen, Tally, body};

pub(crate) struct BareHyper {
    senders: Vec<SendRequest<Full<Bytes>>>,
    authority: String,
    tally: Arc<Tally>,
    /// Both ends of the connections.
    _tasks: JoinSet<()>,
}

impl BareHyper {
    pub(crate) async fn new(subscribers: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let authority = listener.local_addr().expect("it is bound").to_string();
        let (tally, mut tasks, mut senders) = (Arc::<Tally>::default(), JoinSet::new(), Vec::new());
        for _ in 0..subscribers {
            let near = TcpStream::connect(&authority).await.expect("it listens");
            let (far, _) = listener.accept().await.expect("it was connected to");
            for end in [&near, &far] {
                end.set_nodelay(true).expect("a TCP socket");
            }
            let seen = Arc::new(tally.subscriber(0));
            tasks.spawn(serve(far, seen));
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.expect("HTTP");
            tasks.spawn(async move { connection.await.expect("the connection holds") });
            senders.push(sender);
        }
        Self { senders, authority, tally, _tasks: tasks }
    }
}

async fn serve(stream: TcpStream, seen: Arc<Seen>) {
    let service = service_fn(|request: Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            seen.handle(&body);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    // It ends when the other end is dropped.
    let _ = server.auto_date_header(false).serve_connection(TokioIo::new(stream), service).await;
}

impl Publishes for BareHyper {
    async fn publish(&mut self, number: u64) {
        self.tally.expect(self.senders.len());
        let (body, authority) = (body(number), &self.authority);
        let posts = self.senders.iter_mut().map(|sender| {
            let body = Full::new(body.clone());
            let request = Request::post("/?id=1").header(hyper::header::HOST, authority).body(body);
            async move {
                sender.ready().await.expect("the connection holds");
                let response = sender.send_request(request.expect("a request")).await.expect("an answer");
                assert!(response.status().is_success());
                response.into_body().collect().await.expect("a whole answer");
            }
        });
        join_all(posts).await;
    }

    async fn handled(&mut self) {
        self.tally.complete().await;
    }
}
