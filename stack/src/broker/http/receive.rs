//! Receiving over HTTP: accepts connections, checks requests and queues their messages for the subscription that they name.
//! An answer of 200 means that the message was queued; any other, that it was not. It knows nothing of the registry.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::connection::PUBLISHER;
use super::encoding::{self, TEXT_BYTES_MAX};
use super::subscription::{Door, Subscriptions};
use crate::Result;
use crate::broker::Message;
use crate::env::{Env, Listener, Stream, Task};

/// Connections at a time, one for each publisher and subscription; further ones are closed at once.
const PEERS_MAX: usize = 16 << 10;

/// Limit for reading one request's body.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// What is told whose subscription ended while its message was on its way.
const ENDED: &str = "the subscription has ended";

/// How long a request waits for room in its subscription's queue; less than the publisher waits, so that it is told.
const ROOM_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a connection may rest between requests; longer than publishers of this crate keep one. A publisher that
/// vanished without a word would hold it for ever.
const PEER_IDLE: Duration = Duration::from_secs(120);

/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Publishers whose numbers a subscription keeps; beyond it, each that comes takes the place of some other.
const PUBLISHERS_MAX: usize = 64 << 10;

/// Serves `listener` until the task is dropped; the connections end with it.
pub(super) fn serve(env: &Env, mut listener: Box<dyn Listener>, subscriptions: Arc<Subscriptions>) -> Task {
    let receiver = Arc::new(Receiver { env: env.clone(), subscriptions });
    env.spawn("broker.http.accept", async move {
        let mut peers: Vec<Task> = Vec::new();
        loop {
            let Ok(stream) = listener.accept().await else {
                receiver.env.sleep(ACCEPT_PAUSE).await;
                continue;
            };
            peers.retain(|peer| !peer.is_finished());
            if peers.len() == PEERS_MAX {
                continue;
            }
            let serving = receiver.clone();
            peers.push(receiver.env.spawn("broker.http.peer", async move { serving.serve_peer(stream).await }));
        }
    })
}

#[derive(Debug)]
struct Receiver {
    env: Env,
    subscriptions: Arc<Subscriptions>,
}

impl Receiver {
    async fn serve_peer(&self, stream: Stream) {
        let last_request = Mutex::new(self.env.now());
        let service = service_fn(|request| {
            *last_request.lock().unwrap_or_else(PoisonError::into_inner) = self.env.now();
            async move { Ok::<_, Infallible>(self.answer(request).await) }
        });
        let connection = http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        loop {
            let deadline = *last_request.lock().unwrap_or_else(PoisonError::into_inner) + PEER_IDLE;
            // A peer that breaks off has nothing to be told.
            if deadline <= self.env.now() || self.env.timeout_at(deadline, connection.as_mut()).await.is_ok() {
                return;
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, text) = match self.receive(request).await {
            Ok(()) => (StatusCode::OK, String::new()),
            Err(refusal) => refusal,
        };
        let mut response = Response::new(Full::new(text.into()));
        *response.status_mut() = status;
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
        response
    }

    async fn receive(&self, request: Request<Incoming>) -> Result<(), (StatusCode, String)> {
        let refuse = |status: StatusCode, why: &str| Err((status, why.to_owned()));
        if request.method() != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "events are posted");
        }
        let Some(id) = request.uri().query().and_then(encoding::subscription_id) else {
            return refuse(StatusCode::BAD_REQUEST, "no subscription id in the query");
        };
        let publisher = request.headers().get(PUBLISHER).and_then(|value| value.to_str().ok()).and_then(|value| {
            let (publisher, number) = value.rsplit_once('/')?;
            Some((publisher.to_owned(), number.parse::<u64>().ok()?))
        });
        let text = self.read(request.into_body()).await?;
        let decoded = encoding::decode(&text).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()));
        let (topic, message) = decoded?;
        let Some(door) = self.subscriptions.door(&id, &topic) else {
            return refuse(StatusCode::NOT_FOUND, "no such subscription");
        };
        self.put(&door, message, publisher).await
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, (StatusCode, String)> {
        match self.env.timeout(READ_TIMEOUT, Limited::new(body, TEXT_BYTES_MAX).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            // Or it broke off: then nobody waits for the answer.
            Ok(Err(error)) => Err((StatusCode::PAYLOAD_TOO_LARGE, error.to_string())),
            Err(elapsed) => Err((StatusCode::REQUEST_TIMEOUT, elapsed.to_string())),
        }
    }

    async fn put(
        &self,
        door: &Door,
        message: Message,
        publisher: Option<(String, u64)>,
    ) -> Result<(), (StatusCode, String)> {
        let room = match self.env.timeout(ROOM_TIMEOUT, door.queue.place()).await {
            Ok(Ok(room)) => room,
            Ok(Err(_)) => return Err((StatusCode::NOT_FOUND, ENDED.to_owned())),
            Err(_) => return Err((StatusCode::SERVICE_UNAVAILABLE, "the subscriber does not keep up".to_owned())),
        };
        // Judged together with the sending, so that nothing newer can come between.
        let mut newest = door.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((publisher, number)) = publisher {
            if newest.len() == PUBLISHERS_MAX {
                newest.pop_first();
            }
            let newest = newest.entry(publisher).or_default();
            *newest = number.max(*newest);
            if *newest != number {
                return Err((StatusCode::CONFLICT, "overtaken by a later message of its publisher".to_owned()));
            }
        }
        // Who ended it meanwhile takes nothing any more.
        room.put(Arc::new(message)).map_err(|_| (StatusCode::NOT_FOUND, ENDED.to_owned()))
    }
}
