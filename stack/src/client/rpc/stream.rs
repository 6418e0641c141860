//! A stream of the `rpc` client: a connection of its own, messages with one id. The end of a stream is a message with
//! `Micro-Error: EOS` and no body, in either direction. go-micro: `client/rpc_stream.go`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{Either, select};
use tokio::sync::{Mutex, Notify};

use super::{RpcClient, headers};
use crate::client::attempts::{Attempts, broken};
use crate::client::core::{Settled, decode, encode};
use crate::client::{CallOptions, ClientStream, Context, Request};
use crate::codec::Payload;
use crate::env::{Env, Instant};
use crate::error::Status;
use crate::metadata::{Metadata, get_ignoring_case, names};
use crate::opaque::opaque;
use crate::registry::Node;
use crate::selector::Picked;
use crate::transport::{Message, Socket};
use crate::{Error, ErrorKind, Result};

/// How long `close` waits until the end of the stream is sent.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

impl RpcClient {
    /// Dials and sends the first message, which carries the request's body. A go-micro server takes it as the opening of
    /// the stream and gives its body to nobody.
    pub(super) async fn open(
        &self,
        client: &Arc<Settled>,
        call: &CallOptions,
        attempts: &Attempts<'_>,
        context: &Context,
        request: &Request,
        node: &Picked,
    ) -> Result<RpcStream> {
        let socket = self.dial(client, attempts, &node.address, true).await?;
        let now = self.core.env.now();
        let limit = call.stream_timeout.map(|timeout| now + timeout);
        let deadline = [context.deadline, limit].into_iter().flatten().min();
        let id = self.next_id();
        let mut header = headers::request(client, context, request, &id, deadline.map(|deadline| deadline - now));
        header.insert(names::STREAM.to_owned(), id);
        let stream = RpcStream {
            env: self.core.env.clone(),
            client: client.clone(),
            context: context.clone(),
            request: request.clone(),
            node: node.clone(),
            socket,
            header,
            deadline,
            send_ended: Mutex::new(false),
            recv_ended: Mutex::new(None),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
        };
        let body = encode(&client.parts.codecs, &request.content_type, &*request.body)?;
        stream.transmit(&Message { header: stream.header.clone(), body }).await?;
        Ok(stream)
    }
}

/// A stream over a connection of its own.
pub(super) struct RpcStream {
    env: Env,
    client: Arc<Settled>,
    context: Context,
    request: Request,
    node: Picked,
    socket: Arc<dyn Socket>,
    /// Of every message.
    header: Metadata,
    deadline: Option<Instant>,
    send_ended: Mutex<bool>,
    /// How the server ended the stream; every later `recv` says the same.
    recv_ended: Mutex<Option<End>>,
    closed: AtomicBool,
    closing: Notify,
}

/// How a stream ended.
#[derive(Clone, Debug)]
enum End {
    InOrder,
    Failed(Status),
    Broken,
}

impl RpcStream {
    async fn transmit(&self, message: &Message) -> Result<()> {
        self.bounded(self.socket.send(message)).await?.map_err(|error| broken(error, &self.node.address))
    }

    /// Does `work` until the deadline, or until the stream is closed by this end.
    async fn bounded<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let closing = self.closing.notified();
        tokio::pin!(work, closing);
        closing.as_mut().enable();
        if self.closed.load(Ordering::Acquire) {
            return Err(self.closed_error());
        }
        let work = async {
            match self.deadline {
                Some(deadline) => self.env.timeout_at(deadline, work).await.map_err(|_| {
                    Error::new(ErrorKind::Timeout, "stream")
                        .detail("the stream's deadline has passed")
                        .with("service", &self.request.service)
                        .with("endpoint", &self.request.endpoint)
                }),
                None => Ok(work.await),
            }
        };
        tokio::pin!(work);
        // The close counts first: what has arrived with it is of no interest any more.
        match select(closing, work).await {
            Either::Left(_) => Err(self.closed_error()),
            Either::Right((result, _)) => result,
        }
    }

    fn closed_error(&self) -> Error {
        Error::new(ErrorKind::Closed, "stream").with("service", &self.request.service)
    }

    fn ended(&self, end: &End) -> Error {
        match end {
            End::InOrder => Error::new(ErrorKind::EndOfStream, "receive"),
            End::Failed(status) => Error::remote("receive", status.clone()),
            End::Broken => Error::new(ErrorKind::Disconnected, "receive").with("address", &self.node.address),
        }
    }

    /// Sends the end of the stream, once.
    async fn send_end(&self) -> Result<()> {
        let mut ended = self.send_ended.lock().await;
        if *ended {
            return Ok(());
        }
        *ended = true;
        let mut header = self.header.clone();
        header.insert(names::ERROR.to_owned(), names::END_OF_STREAM.to_owned());
        self.transmit(&Message { header, body: Bytes::new() }).await
    }
}

#[async_trait]
impl ClientStream for RpcStream {
    fn context(&self) -> &Context {
        &self.context
    }

    fn request(&self) -> &Request {
        &self.request
    }

    fn node(&self) -> &Node {
        &self.node
    }

    async fn send(&self, message: &dyn Payload) -> Result<()> {
        let body = encode(&self.client.parts.codecs, &self.request.content_type, message)?;
        // Held while sending: messages keep their order, and none follows the end.
        let ended = self.send_ended.lock().await;
        if *ended {
            return Err(self.closed_error());
        }
        self.transmit(&Message { header: self.header.clone(), body }).await
    }

    async fn recv(&self, message: &mut dyn Payload) -> Result<()> {
        let mut ended = self.recv_ended.lock().await;
        if self.closed.load(Ordering::Acquire) {
            return Err(self.closed_error());
        }
        if let Some(end) = &*ended {
            return Err(self.ended(end));
        }
        let received = match self.bounded(self.socket.recv()).await? {
            Ok(received) => received,
            // An end without EOS is none in order, however orderly the connection was closed.
            Err(error) => {
                let error = broken(error, &self.node.address);
                if error.kind() == ErrorKind::Disconnected {
                    *ended = Some(End::Broken);
                }
                return Err(error);
            }
        };
        match get_ignoring_case(&received.header, names::ERROR) {
            None | Some("") => decode(&self.client.parts.codecs, &self.request.content_type, received.body, message),
            Some(names::END_OF_STREAM) => Err(self.ended(ended.insert(End::InOrder))),
            Some(text) => Err(self.ended(ended.insert(End::Failed(Status::parse(text))))),
        }
    }

    async fn close_send(&self) -> Result<()> {
        self.send_end().await
    }

    async fn close(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        // Best effort: the peer also learns of the end by the connection's.
        let _ = self.env.timeout(CLOSE_TIMEOUT, self.send_end()).await;
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.closing.notify_waiters();
        self.socket.close().await
    }
}

opaque!(RpcStream { node });
