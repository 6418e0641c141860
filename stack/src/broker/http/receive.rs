//! Receiving over HTTP: accepts connections, checks requests and queues their messages for the subscription that they name.
//! An answer of 200 means that the message was queued; any other, that it was not. It knows nothing of the registry.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

use super::connection::PUBLISHER;
use super::encoding::{self, TEXT_BYTES_MAX};
use super::subscription::Subscriptions;
use crate::broker::Message;
use crate::env::{Env, Instant, Listener, Stream, Task};
use crate::{ErrorKind, Result};

/// Connections at a time; further ones are closed at once.
const PEERS_MAX: usize = 1024;

/// Limit for reading one request's body.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request waits for room in its subscription's queue; less than the publisher waits, so that it is told.
const ROOM_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a connection may rest between requests; longer than publishers of this crate keep one. A publisher that
/// vanished without a word would hold it for ever.
const PEER_IDLE: Duration = Duration::from_secs(120);

/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Publishers whose epochs are kept before the old ones are dropped, and what is old.
const PUBLISHERS_MAX: usize = 1024;
const PUBLISHER_IDLE: Duration = Duration::from_secs(60);

/// Serves `listener` until the task is dropped; the connections end with it.
pub(super) fn serve(env: &Env, mut listener: Box<dyn Listener>, subscriptions: Arc<Subscriptions>) -> Task {
    let receiver = Arc::new(Receiver { env: env.clone(), subscriptions, publishers: Mutex::default() });
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
    /// The newest epoch of each publisher, and when it was seen; see [`super::connection`].
    publishers: Mutex<BTreeMap<String, (u64, Instant)>>,
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
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
        }
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
            let (publisher, epoch) = value.rsplit_once('/')?;
            Some((publisher.to_owned(), epoch.parse::<u64>().ok()?))
        });
        let text = self.read(request.into_body()).await?;
        let (topic, message) = encoding::decode(&text).map_err(|error| {
            let status = match error.kind() {
                ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            };
            (status, error.to_string())
        })?;
        let Some(queue) = self.subscriptions.queue(&id, &topic) else {
            return refuse(StatusCode::NOT_FOUND, "no such subscription");
        };
        self.put(&queue, message, publisher).await
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, (StatusCode, String)> {
        let too_large = || (StatusCode::PAYLOAD_TOO_LARGE, format!("more than {TEXT_BYTES_MAX} bytes"));
        if body.size_hint().lower() > TEXT_BYTES_MAX as u64 {
            return Err(too_large());
        }
        match self.env.timeout(READ_TIMEOUT, Limited::new(body, TEXT_BYTES_MAX).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
            Ok(Err(error)) => Err((StatusCode::BAD_REQUEST, error.to_string())),
            Err(elapsed) => Err((StatusCode::REQUEST_TIMEOUT, elapsed.to_string())),
        }
    }

    async fn put(
        &self,
        queue: &mpsc::Sender<Message>,
        message: Message,
        publisher: Option<(String, u64)>,
    ) -> Result<(), (StatusCode, String)> {
        let room = match self.env.timeout(ROOM_TIMEOUT, queue.reserve()).await {
            Ok(Ok(room)) => room,
            Ok(Err(_)) => return Err((StatusCode::NOT_FOUND, "the subscription has ended".to_owned())),
            Err(_) => return Err((StatusCode::SERVICE_UNAVAILABLE, "the subscriber does not keep up".to_owned())),
        };
        // Judged together with the sending, so that nothing newer can come between.
        let mut publishers = self.publishers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((publisher, epoch)) = publisher {
            let now = self.env.now();
            if publishers.len() >= PUBLISHERS_MAX {
                publishers.retain(|_, (_, seen)| now - *seen < PUBLISHER_IDLE);
            }
            let newest = publishers.entry(publisher).or_insert((epoch, now));
            if epoch < newest.0 {
                return Err((StatusCode::CONFLICT, "overtaken by a later message of its publisher".to_owned()));
            }
            *newest = (epoch, now);
        }
        room.send(message);
        Ok(())
    }
}
