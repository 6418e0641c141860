//! hyper with nothing above it: a POST whose body is the payload, answered with the same. HTTP/1.1 has a connection for each
//! lane, HTTP/2 one for all of them.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

use crate::echo::{Lane, Wire, held};
use crate::pair::pair;

pub(crate) struct Http1(http1::SendRequest<Full<Bytes>>);

pub(crate) struct Http2(http2::SendRequest<Full<Bytes>>);

/// A connection for each lane.
pub(crate) async fn http1(lanes: usize) -> Wire<Http1> {
    let (mut all, mut tasks) = (Vec::new(), JoinSet::new());
    for _ in 0..lanes {
        let [near, far] = pair().await;
        tasks.spawn(async move {
            // It ends when the other end is dropped.
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(far), service_fn(answer)).await;
        });
        let (sender, connection) = http1::handshake(TokioIo::new(near)).await.expect("HTTP/1.1");
        tasks.spawn(async move { connection.await.expect("the connection holds") });
        all.push(Http1(sender));
    }
    Wire { lanes: all, _held: held(tasks) }
}

/// One connection.
pub(crate) async fn http2(lanes: usize) -> Wire<Http2> {
    let [near, far] = pair().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = connection.serve_connection(TokioIo::new(far), service_fn(answer)).await;
    });
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(near)).await.expect("HTTP/2");
    tasks.spawn(async move { connection.await.expect("the connection holds") });
    Wire { lanes: (0..lanes).map(|_| Http2(sender.clone())).collect(), _held: held(tasks) }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.expect("a whole body").to_bytes();
    Ok(Response::new(Full::new(body)))
}

fn request(payload: &Bytes) -> Request<Full<Bytes>> {
    let request = Request::post("http://echo/Echo/Unary").header(hyper::header::HOST, "echo");
    request.body(Full::new(payload.clone())).expect("a request")
}

async fn body(response: Response<Incoming>) -> Bytes {
    assert!(response.status().is_success());
    response.into_body().collect().await.expect("a whole answer").to_bytes()
}

impl Lane for Http1 {
    async fn exchange(&mut self, payload: &Bytes, read: impl Fn(&[u8])) {
        self.0.ready().await.expect("the connection holds");
        read(&body(self.0.send_request(request(payload)).await.expect("an answer")).await);
    }
}

impl Lane for Http2 {
    async fn exchange(&mut self, payload: &Bytes, read: impl Fn(&[u8])) {
        self.0.ready().await.expect("the connection holds");
        read(&body(self.0.send_request(request(payload)).await.expect("an answer")).await);
    }
}
