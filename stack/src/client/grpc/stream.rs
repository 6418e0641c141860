//! A stream of the `grpc` client. The request's body is not sent: with gRPC opening carries no message, and a handler would
//! get one that nobody has sent to it; go-micro's gRPC client does the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{Either, select};
use h2::SendStream;
use h2::client::ResponseFuture;
use tokio::sync::{Mutex, Notify};

use super::GrpcClient;
use super::call::{self, Call};
use super::connection::Lease;
use crate::client::attempts::Attempts;
use crate::client::{CallOptions, ClientOptions, ClientStream, Context, Request};
use crate::codec::Payload;
use crate::env::{Env, Instant};
use crate::error::Status;
use crate::grpc::content::Content;
use crate::grpc::frame::{self, Reader};
use crate::grpc::status;
use crate::opaque::opaque;
use crate::registry::Node;
use crate::selector::Picked;
use crate::{Error, ErrorKind, Result};

/// How long `close` waits until the end of the stream is sent.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

impl GrpcClient {
    pub(super) async fn open(
        &self,
        client: &ClientOptions,
        call: &CallOptions,
        attempts: &Attempts<'_>,
        context: &Context,
        request: &Request,
        node: &Picked,
    ) -> Result<GrpcStream> {
        let content = call::content(client, request)?;
        let now = self.core.env.now();
        let limit = call.stream_timeout.map(|timeout| now + timeout);
        let deadline = [context.deadline, limit].into_iter().flatten().min();
        let remaining = deadline.map(|deadline| deadline - now);
        let call = Call { client, context, request, content: &content, address: &node.address };
        let (lease, response, sender) = self.begin(attempts, &call, remaining).await?;
        Ok(GrpcStream {
            env: self.core.env.clone(),
            context: context.clone(),
            request: request.clone(),
            node: node.clone(),
            content,
            deadline,
            sender: Mutex::new(Some(sender)),
            receiver: Mutex::new(Receiver::Opening(response)),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
            _lease: lease,
        })
    }
}

/// A stream over an HTTP/2 stream.
pub(super) struct GrpcStream {
    env: Env,
    context: Context,
    request: Request,
    node: Picked,
    content: Content,
    deadline: Option<Instant>,
    /// `None` once this direction has ended, and while a message is being sent: a message that was given up half-way
    /// leaves nothing that could be continued.
    sender: Mutex<Option<SendStream<Bytes>>>,
    receiver: Mutex<Receiver>,
    closed: AtomicBool,
    closing: Notify,
    _lease: Lease,
}

enum Receiver {
    Opening(ResponseFuture),
    Open(Reader),
    Ended(End),
}

/// How the server's direction ended; every later `recv` says the same.
#[derive(Clone, Debug)]
enum End {
    InOrder,
    Failed(Status),
    Broken(ErrorKind),
}

impl End {
    fn of(error: &Error) -> Self {
        match error.status() {
            Some(status) => Self::Failed(status.clone()),
            None => Self::Broken(error.kind()),
        }
    }
}

impl Receiver {
    /// The next message. May be given up at any await point.
    async fn next(&mut self, address: &str) -> Result<Bytes> {
        if let Self::Opening(response) = self {
            let opened = response.await.map_err(|error| call::opened(error, address)).and_then(|response| {
                let (parts, body) = response.into_parts();
                // A success without a body has nothing but its status.
                match status::read(&parts.headers) {
                    Some(Ok(())) => Ok(None),
                    _ => call::check(parts.status, &parts.headers).map(|()| Some(Reader::new(body))),
                }
            });
            match opened {
                Ok(Some(reader)) => *self = Self::Open(reader),
                Ok(None) => *self = Self::Ended(End::InOrder),
                Err(error) => return Err(self.end(error)),
            }
        }
        let Self::Open(reader) = self else {
            let Self::Ended(end) = self else { return Err(Error::new(ErrorKind::Internal, "receive")) };
            return Err(match end {
                End::InOrder => Error::new(ErrorKind::EndOfStream, "receive"),
                End::Failed(status) => Error::remote("receive", status.clone()),
                End::Broken(kind) => Error::new(*kind, "receive").with("address", address),
            });
        };
        let ended = match reader.next().await {
            Ok(Some(message)) => return Ok(message),
            Ok(None) => match reader.trailers().await {
                Ok(trailers) => match trailers.as_ref().and_then(status::read) {
                    Some(Ok(())) => Error::new(ErrorKind::EndOfStream, "receive"),
                    Some(Err(status)) => Error::remote("receive", status),
                    None => Error::new(ErrorKind::Disconnected, "receive").with("address", address),
                },
                Err(error) => error,
            },
            Err(error) => error,
        };
        Err(self.end(ended))
    }

    fn end(&mut self, error: Error) -> Error {
        *self = Self::Ended(match error.kind() {
            ErrorKind::EndOfStream => End::InOrder,
            _ => End::of(&error),
        });
        error
    }
}

impl GrpcStream {
    /// Does `work` until the deadline, or until the stream is closed by this end.
    async fn bounded<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let closing = self.closing.notified();
        tokio::pin!(closing);
        closing.as_mut().enable();
        if self.closed.load(Ordering::Acquire) {
            return Err(self.closed_error());
        }
        let work = async {
            match self.deadline {
                Some(deadline) => self.env.timeout_at(deadline, work).await.unwrap_or_else(|_| {
                    Err(Error::new(ErrorKind::Timeout, "stream")
                        .detail("the stream's deadline has passed")
                        .with("service", &self.request.service)
                        .with("endpoint", &self.request.endpoint))
                }),
                None => work.await,
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

    fn broken(&self, error: h2::Error) -> Error {
        Error::new(ErrorKind::Disconnected, "send").with("address", &self.node.address).caused_by(error)
    }
}

#[async_trait]
impl ClientStream for GrpcStream {
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
        let frame = self.content.write(message)?;
        let mut sender = self.sender.lock().await;
        let mut stream = sender.take().ok_or_else(|| self.closed_error())?;
        self.bounded(async { frame::send(&mut stream, frame, false).await.map_err(|error| self.broken(error)) })
            .await?;
        *sender = Some(stream);
        Ok(())
    }

    async fn recv(&self, message: &mut dyn Payload) -> Result<()> {
        let mut receiver = self.receiver.lock().await;
        let body = self.bounded(receiver.next(&self.node.address)).await?;
        self.content.read(body, message)
    }

    async fn close_send(&self) -> Result<()> {
        match self.sender.lock().await.take() {
            Some(mut stream) => stream.send_data(Bytes::new(), true).map_err(|error| self.broken(error)),
            None => Ok(()),
        }
    }

    async fn close(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        // Best effort: the peer also learns of the end by the stream's reset.
        let _ = self.env.timeout(CLOSE_TIMEOUT, self.close_send()).await;
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.closing.notify_waiters();
            // Letting go of the receiving side cancels what the server may still be doing.
            *self.receiver.lock().await = Receiver::Ended(End::Broken(ErrorKind::Closed));
        }
        Ok(())
    }
}

opaque!(GrpcStream { node });
