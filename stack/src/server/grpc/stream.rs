//! The server's end of a stream over gRPC.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::HeaderMap;
use tokio::sync::Mutex;

use super::request::{SEND_TIMEOUT, head};
use crate::client::Context;
use crate::codec::Payload;
use crate::env::{Env, Instant};
use crate::grpc::content::Content;
use crate::grpc::frame::{self, Reader};
use crate::opaque::opaque;
use crate::server::ServerStream;
use crate::{Error, ErrorKind, Result};

/// The server's end of one stream.
pub(super) struct GrpcServerStream {
    env: Env,
    context: Context,
    content: Content,
    reader: Mutex<Reader>,
    responder: Arc<Responder>,
}

impl GrpcServerStream {
    pub(super) fn new(env: Env, context: Context, content: Content, reader: Reader, responder: Arc<Responder>) -> Self {
        Self { env, context, content, reader: Mutex::new(reader), responder }
    }
}

#[async_trait]
impl ServerStream for GrpcServerStream {
    fn context(&self) -> &Context {
        &self.context
    }

    async fn recv(&self, message: &mut dyn Payload) -> Result<()> {
        let mut reader = self.reader.lock().await;
        let read = match self.context.deadline {
            Some(deadline) => self.env.timeout_at(deadline, reader.next()).await.map_err(|_| late())?,
            None => reader.next().await,
        };
        let Some(bytes) = read? else { return Err(Error::new(ErrorKind::EndOfStream, "receive")) };
        self.content.read(bytes, message)
    }

    async fn send(&self, message: &dyn Payload) -> Result<()> {
        self.responder.send(self.content.write(message)?).await
    }
}

opaque!(GrpcServerStream);

/// The sending side of a stream: the head with the first message, or, without a message, with the status alone.
pub(super) struct Responder {
    env: Env,
    content_type: &'static str,
    deadline: Option<Instant>,
    state: Mutex<State>,
}

enum State {
    Unopened(SendResponse<Bytes>),
    Open(SendStream<Bytes>),
    /// Ended, or given up in the middle of a message.
    Ended,
}

impl Responder {
    pub(super) fn new(
        env: Env,
        respond: SendResponse<Bytes>,
        content_type: &'static str,
        deadline: Option<Instant>,
    ) -> Self {
        Self { env, content_type, deadline, state: Mutex::new(State::Unopened(respond)) }
    }

    async fn send(&self, frame: Bytes) -> Result<()> {
        let mut state = self.state.lock().await;
        let mut stream = match std::mem::replace(&mut *state, State::Ended) {
            State::Unopened(mut respond) => {
                respond.send_response(head(self.content_type, HeaderMap::new()), false).map_err(broken)?
            }
            State::Open(stream) => stream,
            State::Ended => return Err(Error::new(ErrorKind::Closed, "send")),
        };
        let limit = self.env.now() + SEND_TIMEOUT;
        let limit = self.deadline.map_or(limit, |deadline| deadline.min(limit));
        self.env
            .timeout_at(limit, frame::send(&mut stream, frame, false))
            .await
            .map_err(|_| late())?
            .map_err(broken)?;
        *state = State::Open(stream);
        Ok(())
    }

    /// Ends the stream with `trailers`.
    pub(super) async fn finish(&self, trailers: HeaderMap) {
        // A peer that is gone needs no end; one whose message was given up sees the reset.
        match std::mem::replace(&mut *self.state.lock().await, State::Ended) {
            State::Unopened(mut respond) => drop(respond.send_response(head(self.content_type, trailers), true)),
            State::Open(mut stream) => drop(stream.send_trailers(trailers)),
            State::Ended => {}
        }
    }
}

fn late() -> Error {
    Error::new(ErrorKind::Timeout, "stream").detail("the stream's deadline has passed")
}

fn broken(error: h2::Error) -> Error {
    Error::new(ErrorKind::Disconnected, "send").caused_by(error)
}
