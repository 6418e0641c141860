//! One end of a call as a socket; both ends are the same but for how they say that they are done.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, StatusCode};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use tonic::Code;

use super::super::gate::Gate;
use super::super::{Message, Socket, TransportOptions};
use super::link::Hold;
use super::{framing, is_grpc};
use crate::env::Env;
use crate::error::Status;
use crate::grpc::status;
use crate::opaque::opaque;
use crate::{Error, ErrorKind, Result};

/// Which end of the call it is, and where its messages come from.
pub(super) enum Side {
    Dialling { response: ResponseFuture },
    Accepting { body: RecvStream },
}

/// A socket on one call.
pub(super) struct GrpcSocket {
    gate: Gate,
    accepting: bool,
    // These three are locked within one poll only, so that closing waits for nobody.
    incoming: Mutex<Option<Incoming>>,
    outgoing: Mutex<Option<SendStream<Bytes>>>,
    hold: Mutex<Option<Hold>>,
    reading: tokio::sync::Mutex<Reading>,
    writing: tokio::sync::Mutex<Writing>,
    message_bytes_max: usize,
    local: SocketAddr,
    remote: SocketAddr,
}

/// The receiving half of a call.
pub(super) enum Incoming {
    /// The response has not begun; many servers begin it with their first message.
    Opening(ResponseFuture),
    Open(RecvStream),
}

#[derive(Default)]
struct Reading {
    buffer: BytesMut,
    /// Why nothing more will come.
    ended: Option<ErrorKind>,
}

#[derive(Default)]
struct Writing {
    /// A message was begun and not finished, so that nothing can follow it.
    broken: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GrpcSocket {
    pub(super) fn new(
        env: &Env,
        side: Side,
        sender: SendStream<Bytes>,
        hold: Hold,
        (local, remote): (SocketAddr, SocketAddr),
        options: &TransportOptions,
    ) -> Self {
        let (accepting, incoming) = match side {
            Side::Dialling { response } => (false, Incoming::Opening(response)),
            Side::Accepting { body } => (true, Incoming::Open(body)),
        };
        Self {
            gate: Gate::new(env.clone(), options.timeout),
            accepting,
            incoming: Mutex::new(Some(incoming)),
            outgoing: Mutex::new(Some(sender)),
            hold: Mutex::new(Some(hold)),
            reading: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            message_bytes_max: options.message_bytes_max,
            local,
            remote,
        }
    }

    /// The next whole message. What has been read stays in the buffer when the future is dropped.
    async fn read(&self) -> Result<Message> {
        let Reading { buffer, ended } = &mut *self.reading.lock().await;
        if let Some(kind) = ended {
            return Err(Error::new(*kind, "receive"));
        }
        loop {
            match framing::decode(buffer, self.message_bytes_max) {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(error) => {
                    *ended = Some(ErrorKind::Disconnected);
                    self.refuse(&error);
                    return Err(error);
                }
            }
            match poll_fn(|context| self.poll_bytes(context)).await {
                Ok(Some(bytes)) => buffer.extend_from_slice(&bytes),
                Ok(None) if buffer.is_empty() => {
                    *ended = Some(ErrorKind::EndOfStream);
                    return Err(Error::new(ErrorKind::EndOfStream, "receive"));
                }
                Ok(None) => {
                    *ended = Some(ErrorKind::Disconnected);
                    return Err(
                        Error::new(ErrorKind::Disconnected, "receive").detail("the stream ended inside a message")
                    );
                }
                Err(error) => {
                    // A status is the peer's last word, and said once.
                    let said = error.status().map(|_| ErrorKind::EndOfStream);
                    *ended = said.or(Some(error.kind()));
                    return Err(error);
                }
            }
        }
    }

    /// Some bytes of the call, or nothing when the peer has ended it in order.
    fn poll_bytes(&self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        let mut incoming = lock(&self.incoming);
        loop {
            match &mut *incoming {
                None => return Poll::Ready(Err(Error::new(ErrorKind::Disconnected, "receive"))),
                Some(Incoming::Opening(response)) => match ready!(Pin::new(response).poll(context)) {
                    Ok(response) => {
                        check_head(&response)?;
                        *incoming = Some(Incoming::Open(response.into_body()));
                    }
                    Err(error) => return Poll::Ready(ended_by(error)),
                },
                Some(Incoming::Open(body)) => {
                    let data = match ready!(body.poll_data(context)) {
                        Some(Ok(data)) => data,
                        Some(Err(error)) => return Poll::Ready(ended_by(error)),
                        None => {
                            return Poll::Ready(match ready!(body.poll_trailers(context)) {
                                Ok(trailers) => check_status(&trailers.unwrap_or_default()).map(|()| None),
                                Err(error) => ended_by(error),
                            });
                        }
                    };
                    // It fails when the call is over, where there is no room left to give back.
                    let _ = body.flow_control().release_capacity(data.len());
                    return Poll::Ready(Ok(Some(data)));
                }
            }
        }
    }

    async fn write(&self, mut rest: Bytes) -> Result<()> {
        let mut writing = self.writing.lock().await;
        if writing.broken {
            return Err(Error::new(ErrorKind::Disconnected, "send"));
        }
        writing.broken = true;
        poll_fn(|context| self.poll_write(context, &mut rest)).await?;
        writing.broken = false;
        Ok(())
    }

    /// Sends `rest` as the peer has room for it.
    fn poll_write(&self, context: &mut Context<'_>, rest: &mut Bytes) -> Poll<Result<()>> {
        let broken = || Error::new(ErrorKind::Disconnected, "send");
        let mut outgoing = lock(&self.outgoing);
        let Some(sender) = &mut *outgoing else { return Poll::Ready(Err(broken())) };
        while !rest.is_empty() {
            sender.reserve_capacity(rest.len());
            while sender.capacity() == 0 {
                match ready!(sender.poll_capacity(context)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(broken().caused_by(error))),
                    None => return Poll::Ready(Err(broken().detail("the peer has closed"))),
                }
            }
            let piece = rest.split_to(sender.capacity().min(rest.len()));
            sender.send_data(piece, false).map_err(|error| broken().caused_by(error))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the call after a message that cannot be read; the accepting end says why.
    fn refuse(&self, error: &Error) {
        let code = if error.kind() == ErrorKind::TooLarge { Code::ResourceExhausted } else { Code::Internal };
        self.end(status::plain(code, &error.to_string()));
    }

    /// Ends the call; `trailers` are the accepting end's last word. What was sent before goes out; a message that was only
    /// begun ends with a reset, which h2 sends by itself for a stream that is dropped open.
    fn end(&self, trailers: HeaderMap) {
        let whole = self.writing.try_lock().is_ok_and(|writing| !writing.broken);
        if let Some(mut sender) = lock(&self.outgoing).take()
            && whole
        {
            // Both fail when the peer has ended the call already.
            let _ = if self.accepting { sender.send_trailers(trailers) } else { sender.send_data(Bytes::new(), true) };
        }
        let (incoming, hold) = (lock(&self.incoming).take(), lock(&self.hold).take());
        if let (Some(incoming), Some(hold), true) = (incoming, hold, whole && !self.accepting) {
            hold.part(incoming);
        }
    }
}

impl Drop for GrpcSocket {
    fn drop(&mut self) {
        self.end(status::success());
    }
}

/// Whether a response is a gRPC call that goes well so far. A gRPC status says more than the HTTP status.
fn check_head(response: &::http::Response<RecvStream>) -> Result<()> {
    check_status(response.headers())?;
    if response.status() != StatusCode::OK || !is_grpc(response.headers()) {
        let detail = format!("{}, which is no gRPC", response.status());
        return Err(Error::remote("receive", Status { detail, ..Status::default() }));
    }
    Ok(())
}

/// What the gRPC status in `headers` means; no status is none.
fn check_status(headers: &HeaderMap) -> Result<()> {
    match status::read(headers) {
        Some(Err(status)) => Err(Error::remote("receive", status)),
        _ => Ok(()),
    }
}

/// What an error of a call means: a peer who cancels has closed its end; any other error broke the call.
fn ended_by(error: h2::Error) -> Result<Option<Bytes>> {
    match error.reason() {
        Some(Reason::CANCEL | Reason::NO_ERROR) if error.is_reset() && error.is_remote() => Ok(None),
        Some(Reason::REFUSED_STREAM) => Err(Error::new(ErrorKind::Unreachable, "receive").caused_by(error)),
        _ => Err(Error::new(ErrorKind::Disconnected, "receive").caused_by(error)),
    }
}

#[async_trait]
impl Socket for GrpcSocket {
    async fn recv(&self) -> Result<Message> {
        self.gate.pass("receive", self.read()).await
    }

    async fn send(&self, message: &Message) -> Result<()> {
        self.gate.pass("send", async { self.write(framing::encode(message, self.message_bytes_max)?).await }).await
    }

    async fn close(&self) -> Result<()> {
        self.gate.close();
        self.end(status::success());
        Ok(())
    }

    fn local(&self) -> String {
        self.local.to_string()
    }

    fn remote(&self) -> String {
        self.remote.to_string()
    }
}

opaque!(GrpcSocket { local, remote });
