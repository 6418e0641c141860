//! Connections to other brokers: kept and reused per address, each request with a deadline. It knows what became of a
//! request as exactly as HTTP/1.1 lets it: accepted, refused, never sent, or unknown.
//!
//! Order. A publisher sends its next message when the last was answered, so an answered message is in order. One whose
//! fate is unknown may still be on its way when the next is sent. Each request therefore carries `Micro-Publisher:
//! <uuid>/<epoch>`, and the epoch of an address rises whenever a request to it was given up; a receiver of this crate
//! refuses what comes from before the newest epoch that it has seen (go-micro's receivers ignore the header).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;

use super::encoding;
use crate::env::{Env, Instant, Task};
use crate::opaque::opaque;
use crate::registry::Node;
use crate::{Error, ErrorKind, Result};

/// Names the publisher and its epoch; see the head of this file.
pub(super) const PUBLISHER: &str = "micro-publisher";

/// Requests at a time to one address, and so connections to it.
const CONNECTIONS_MAX: usize = 8;

/// How long a connection, and what is known of an address, is kept without use.
const IDLE: Duration = Duration::from_secs(60);

/// Limit for opening a connection; less than that of the request, so that a queue's next member is tried soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a message that was overtaken is sent again.
const OVERTAKEN_MAX: usize = 3;

/// Largest answer that is read so that the connection can be used again, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What became of a message for one subscription.
#[derive(Debug)]
pub(super) enum Sent {
    /// It was accepted.
    Accepted,
    /// The subscription is gone: nothing was delivered, and nothing was owed.
    Gone,
    /// It certainly was not delivered.
    NotDelivered(Error),
    /// It may have been delivered.
    Unknown(Error),
}

/// Sends requests to other brokers.
pub(super) struct Connections {
    env: Env,
    publisher: String,
    request_timeout: Duration,
    /// Epochs rise over all addresses, so that one that was forgotten does not begin below what its receiver has seen.
    epochs: Arc<AtomicU64>,
    addresses: Mutex<BTreeMap<String, Arc<Address>>>,
}

struct Address {
    slots: Semaphore,
    idle: Mutex<Vec<Connection>>,
    epoch: AtomicU64,
    last_use: Mutex<Instant>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
    _task: Task,
}

impl Connections {
    /// Connections of the publisher called `publisher`, who gives up a request after `request_timeout`.
    pub(super) fn new(env: Env, publisher: String, request_timeout: Duration) -> Self {
        Self { env, publisher, request_timeout, epochs: Arc::default(), addresses: Mutex::default() }
    }

    /// Sends `text` to the subscription that `node` stands for.
    pub(super) async fn post(&self, node: &Node, text: &Bytes) -> Sent {
        let deadline = self.env.now() + self.request_timeout;
        let mut overtaken = 0;
        loop {
            match self.post_once(node, text, deadline).await {
                Ok(status) if status.is_success() => return Sent::Accepted,
                Ok(StatusCode::NOT_FOUND) => return Sent::Gone,
                // Another message to this address was given up meanwhile; this one was refused, so it may go again.
                Ok(StatusCode::CONFLICT) if overtaken < OVERTAKEN_MAX => overtaken += 1,
                Ok(status) => {
                    let kind = match status {
                        StatusCode::SERVICE_UNAVAILABLE => ErrorKind::Timeout,
                        StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::TooLarge,
                        _ => ErrorKind::Backend,
                    };
                    return Sent::NotDelivered(failed(kind, node).detail(format!("it answered {status}")));
                }
                Err(sent) => return sent,
            }
        }
    }

    async fn post_once(&self, node: &Node, text: &Bytes, deadline: Instant) -> Result<StatusCode, Sent> {
        let address = self.address(&node.address);
        let in_flight = InFlight { address: &address, epochs: &self.epochs, sent: AtomicBool::new(false) };
        match self.env.timeout_at(deadline, self.exchange(&address, node, text, deadline, &in_flight)).await {
            Ok(result) => result,
            Err(elapsed) if in_flight.is_open() => {
                Err(Sent::Unknown(failed(ErrorKind::Timeout, node).caused_by(elapsed)))
            }
            Err(elapsed) => Err(Sent::NotDelivered(failed(ErrorKind::Unreachable, node).caused_by(elapsed))),
        }
    }

    async fn exchange(
        &self,
        address: &Address,
        node: &Node,
        text: &Bytes,
        deadline: Instant,
        in_flight: &InFlight<'_>,
    ) -> Result<StatusCode, Sent> {
        let slot = address.slots.acquire().await;
        let _slot = slot.map_err(|error| Sent::NotDelivered(failed(ErrorKind::Closed, node).caused_by(error)))?;
        loop {
            let (mut connection, reused) = match address.take(self.env.now()) {
                Some(connection) => (connection, true),
                None => (self.connect(node).await.map_err(Sent::NotDelivered)?, false),
            };
            let request = self.request(address, node, text).map_err(Sent::NotDelivered)?;
            if connection.sender.ready().await.is_err() && reused {
                continue;
            }
            in_flight.open();
            match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    in_flight.close();
                    let (head, body) = response.into_parts();
                    // The status is all that counts; a rest that does not come costs the connection.
                    let rest = self.env.timeout_at(deadline, Limited::new(body, ANSWER_BYTES_MAX).collect()).await;
                    if matches!(rest, Ok(Ok(_))) {
                        connection.since = self.env.now();
                        address.put(connection);
                    }
                    return Ok(head.status);
                }
                Err(mut error) => {
                    let unsent = error.take_message().is_some();
                    let error = error.into_error();
                    if !unsent {
                        // The guard stays open: the peer may have read the request before the connection broke.
                        return Err(Sent::Unknown(failed(ErrorKind::Disconnected, node).caused_by(error)));
                    }
                    in_flight.close();
                    if !reused {
                        return Err(Sent::NotDelivered(failed(ErrorKind::Unreachable, node).caused_by(error)));
                    }
                }
            }
        }
    }

    async fn connect(&self, node: &Node) -> Result<Connection> {
        let unreachable = || failed(ErrorKind::Unreachable, node);
        let opening = self.env.timeout(CONNECT_TIMEOUT, self.env.network().connect(&node.address));
        let stream = opening.await.map_err(|elapsed| unreachable().caused_by(elapsed))?;
        let stream = stream.map_err(|error| unreachable().caused_by(error))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| unreachable().caused_by(error))?;
        let task = self.env.spawn("broker.http.connection", async move {
            // What breaks the connection is seen by the request that is under way.
            let _ = connection.await;
        });
        Ok(Connection { sender, since: self.env.now(), _task: task })
    }

    fn request(&self, address: &Address, node: &Node, text: &Bytes) -> Result<Request<Full<Bytes>>> {
        Request::builder()
            .method(Method::POST)
            .uri(encoding::target(&node.id))
            .header(header::HOST, &node.address)
            .header(header::CONTENT_TYPE, "application/json")
            .header(PUBLISHER, format!("{}/{}", self.publisher, address.epoch.load(Ordering::SeqCst)))
            .body(Full::new(text.clone()))
            .map_err(|error| failed(ErrorKind::InvalidInput, node).caused_by(error))
    }

    fn address(&self, name: &str) -> Arc<Address> {
        let now = self.env.now();
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = addresses.get(name) {
            *address.last_use.lock().unwrap_or_else(PoisonError::into_inner) = now;
            return address.clone();
        }
        addresses.retain(|_, address| {
            let last_use = *address.last_use.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::strong_count(address) > 1 || now - last_use < IDLE
        });
        let address = Arc::new(Address {
            slots: Semaphore::new(CONNECTIONS_MAX),
            idle: Mutex::default(),
            epoch: AtomicU64::new(self.epochs.fetch_add(1, Ordering::SeqCst) + 1),
            last_use: Mutex::new(now),
        });
        addresses.insert(name.to_owned(), address.clone());
        address
    }
}

opaque!(Connections { publisher });

impl Address {
    fn take(&self, now: Instant) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.sender.is_closed() && now - connection.since < IDLE);
        idle.pop()
    }

    fn put(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// A request that may have reached the peer. Dropped while open, also because the publisher itself was given up, it
/// begins a new epoch and lets go of the other connections, which lead to the same peer.
struct InFlight<'a> {
    address: &'a Address,
    epochs: &'a AtomicU64,
    sent: AtomicBool,
}

impl InFlight<'_> {
    fn open(&self) {
        self.sent.store(true, Ordering::SeqCst);
    }

    fn close(&self) {
        self.sent.store(false, Ordering::SeqCst);
    }

    fn is_open(&self) -> bool {
        self.sent.load(Ordering::SeqCst)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.is_open() {
            let epoch = self.epochs.fetch_add(1, Ordering::SeqCst) + 1;
            self.address.epoch.fetch_max(epoch, Ordering::SeqCst);
            self.address.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

fn failed(kind: ErrorKind, node: &Node) -> Error {
    Error::new(kind, "publish").with("node", node.id.clone()).with("address", node.address.clone())
}
