//! Connections to other brokers: one for each subscription, kept and used again, each request with a deadline. It knows what
//! became of a request as exactly as HTTP/1.1 lets it: accepted, refused, never sent, or unknown.
//!
//! Order. Messages for one subscription are sent one at a time, each when the one before was answered or given up. One that
//! was given up may still be on its way when the next is sent, over another connection. Each request therefore carries
//! `Micro-Publisher: <uuid>/<number>`, and the numbers rise; a receiver of this crate refuses what comes after a higher
//! number of the same publisher (go-micro's receivers ignore the header).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::encoding;
use crate::env::{Env, Instant, Task};
use crate::opaque::opaque;
use crate::registry::{Node, Service};
use crate::{Error, ErrorKind, Result};

/// Names the publisher and numbers its messages; see the head of this file.
pub(super) const PUBLISHER: &str = "micro-publisher";

/// How long a connection is kept without use; less than receivers of this crate keep one, so that none is closed under a
/// message that is just being sent.
const IDLE: Duration = Duration::from_secs(60);

/// Limit for opening a connection; less than that of the request, so that a queue's next member is tried soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

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
    number: AtomicU64,
    /// By the subscription's node id and address.
    lines: Mutex<BTreeMap<(String, String), Arc<Line>>>,
}

/// Where messages for one subscription queue up, with the connection that the last one has left.
type Line = tokio::sync::Mutex<Option<Connection>>;

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    used_at: Instant,
    _task: Task,
}

impl Connections {
    /// Connections of the publisher called `publisher`, who gives up a request after `request_timeout`.
    pub(super) fn new(env: Env, publisher: String, request_timeout: Duration) -> Self {
        Self { env, publisher, request_timeout, number: AtomicU64::new(1), lines: Mutex::default() }
    }

    /// Lets go of the connections to subscriptions that are not among `services`, unless one is in use.
    pub(super) fn keep(&self, services: &[Service]) {
        let nodes = services.iter().flat_map(|service| &service.nodes);
        let known: BTreeSet<(&str, &str)> = nodes.map(|node| (&*node.id, &*node.address)).collect();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|(id, address), line| known.contains(&(&**id, &**address)) || line.try_lock().is_err());
    }

    /// Sends `text` to the subscription that `node` stands for.
    pub(super) async fn post(&self, node: &Node, text: &Bytes) -> Sent {
        match self.post_in_turn(node, text).await {
            Ok(status) if status.is_success() => Sent::Accepted,
            Ok(StatusCode::NOT_FOUND) => Sent::Gone,
            Ok(status) => {
                let kind = match status {
                    StatusCode::SERVICE_UNAVAILABLE => ErrorKind::Timeout,
                    _ => ErrorKind::Backend,
                };
                Sent::NotDelivered(failed(kind, node).detail(format!("it answered {status}")))
            }
            Err(sent) => sent,
        }
    }

    async fn post_in_turn(&self, node: &Node, text: &Bytes) -> Result<StatusCode, Sent> {
        let late = |kind| move |elapsed| Sent::NotDelivered(failed(kind, node).caused_by(elapsed));
        let line = self.line(node);
        let turn = self.env.timeout(self.request_timeout, line.lock()).await;
        let mut line = turn.map_err(late(ErrorKind::Timeout))?;
        // What the messages before have taken is not this one's: it could not be told whether it was delivered.
        let deadline = self.env.now() + self.request_timeout;
        let kept = line.take().filter(|connection| self.env.now() - connection.used_at < IDLE);
        // One that was kept may have been closed meanwhile; the second is new in any case.
        for kept in [kept, None] {
            let connection = match kept {
                Some(connection) => connection,
                None => {
                    let opening = self.env.timeout_at(deadline, self.connect(node)).await;
                    opening.map_err(late(ErrorKind::Unreachable))?.map_err(Sent::NotDelivered)?
                }
            };
            if let Some(status) = self.exchange(connection, &mut line, node, text, deadline).await? {
                return Ok(status);
            }
        }
        Err(Sent::NotDelivered(failed(ErrorKind::Unreachable, node).detail("connections are closed at once")))
    }

    /// The status that is answered; none when the connection was closed before it took the request. It stays in the line
    /// when it can be used again. Who gives this up closes it.
    async fn exchange(
        &self,
        mut connection: Connection,
        line: &mut Option<Connection>,
        node: &Node,
        text: &Bytes,
        deadline: Instant,
    ) -> Result<Option<StatusCode>, Sent> {
        let request = self.request(node, text).map_err(Sent::NotDelivered)?;
        let sending = async {
            // A connection that is closed gives the request back.
            let _ = connection.sender.ready().await;
            connection.sender.try_send_request(request).await
        };
        let unknown = |kind| failed(kind, node);
        let response = match self.env.timeout_at(deadline, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(mut error)) => {
                return match error.take_message() {
                    Some(_) => Ok(None),
                    // The peer may have read the request before the connection broke.
                    None => Err(Sent::Unknown(unknown(ErrorKind::Disconnected).caused_by(error.into_error()))),
                };
            }
            Err(elapsed) => return Err(Sent::Unknown(unknown(ErrorKind::Timeout).caused_by(elapsed))),
        };
        let (head, body) = response.into_parts();
        // The status is all that counts; a rest that does not come costs the connection.
        let rest = self.env.timeout_at(deadline, Limited::new(body, ANSWER_BYTES_MAX).collect()).await;
        if matches!(rest, Ok(Ok(_))) {
            connection.used_at = self.env.now();
            *line = Some(connection);
        }
        Ok(Some(head.status))
    }

    fn line(&self, node: &Node) -> Arc<Line> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.entry((node.id.clone(), node.address.clone())).or_default().clone()
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
        Ok(Connection { sender, used_at: self.env.now(), _task: task })
    }

    fn request(&self, node: &Node, text: &Bytes) -> Result<Request<Full<Bytes>>> {
        Request::builder()
            .method(Method::POST)
            .uri(encoding::target(&node.id))
            .header(header::HOST, &node.address)
            .header(header::CONTENT_TYPE, "application/json")
            .header(PUBLISHER, format!("{}/{}", self.publisher, self.number.fetch_add(1, Ordering::SeqCst)))
            .body(Full::new(text.clone()))
            .map_err(|error| failed(ErrorKind::InvalidInput, node).caused_by(error))
    }
}

opaque!(Connections { publisher });

fn failed(kind: ErrorKind, node: &Node) -> Error {
    Error::new(kind, "publish").with("node", node.id.clone()).with("address", node.address.clone())
}
