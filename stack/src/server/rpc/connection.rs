//! One connection of the `rpc` server: reads messages, starts a task per request or stream, gives further messages of a
//! stream to it. It does not know how handlers are found or run.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::stream::{Incoming, RpcServerStream};
use crate::client::Context;
use crate::codec::{Codecs, Marshaler, Payload};
use crate::env::Env;
use crate::error::Status;
use crate::metadata::{Metadata, get_ignoring_case, names};
use crate::server::shared::{FALLBACK_CONTENT_TYPE, Group, Router, encode_by, run_stream, run_unary, status_of};
use crate::server::{EndpointKind, StreamFunction};
use crate::transport::{Message, Socket};
use crate::{Error, ErrorKind, Result};

/// Messages of a stream that wait for its handler; then the connection is not read until there is room. go-micro: the
/// queue of `util/socket`.
const STREAM_QUEUE: usize = 128;

/// Streams that have ended and are remembered, so that a late message does not open them anew.
const ENDED_STREAMS: usize = 64;

/// Limit for sending one message to a peer that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// What the connections of one server share.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) env: Env,
    pub(super) router: Arc<Router>,
    pub(super) codecs: Codecs,
    pub(super) name: Arc<str>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) serving: Arc<Serving>,
    socket: Arc<dyn Socket>,
    streams: Mutex<Streams>,
}

#[derive(Debug, Default)]
struct Streams {
    open: BTreeMap<String, mpsc::Sender<Incoming>>,
    ended: VecDeque<String>,
}

/// A request as far as its headers tell.
struct Request {
    endpoint: String,
    reply: Metadata,
    codec: Arc<dyn Marshaler>,
    context: Context,
    body: Bytes,
}

impl Connection {
    pub(super) fn new(socket: Arc<dyn Socket>, serving: Arc<Serving>) -> Arc<Self> {
        Arc::new(Self { serving, socket, streams: Mutex::default() })
    }

    /// Reads until the connection ends. Requests under way keep it open and still answer: a peer that has only closed its
    /// direction gets its responses.
    pub(super) async fn serve(self: Arc<Self>, requests: Group) {
        while let Ok(message) = self.socket.recv().await {
            match get_ignoring_case(&message.header, names::STREAM) {
                Some(id) if !id.is_empty() => {
                    let id = id.to_owned();
                    self.take_stream_message(id, message, &requests).await;
                }
                _ => {
                    let connection = self.clone();
                    requests.spawn(async move { connection.answer(message).await });
                }
            }
        }
        // Handlers of open streams see the connection's end.
        self.lock().open.clear();
    }

    async fn answer(&self, message: Message) {
        let (mut reply, result) = match self.read(message) {
            Ok(request) => match self.serving.router.find(&request.endpoint) {
                Ok(EndpointKind::Unary(function)) => {
                    let Request { reply, codec, context, body, .. } = request;
                    let name = &self.serving.name;
                    let answered = run_unary(&function, context, codec.clone(), body, name).await;
                    let encode = |response: Box<dyn Payload>| encode_by(&*codec, &*response);
                    (reply, answered.and_then(|response| encode(response).map_err(|error| status_of(&error, name))))
                }
                Ok(EndpointKind::Stream(_)) => {
                    let text = format!("{} is a stream: open it with a stream id", request.endpoint);
                    (request.reply, Err(Status::new(&self.serving.name, 400, &text)))
                }
                Err(no) => (request.reply, Err(plain(&no.text()))),
            },
            Err((reply, status)) => (reply, Err(status)),
        };
        let body = result.unwrap_or_else(|status| {
            reply.insert(names::ERROR.to_owned(), error_text(&status));
            Bytes::new()
        });
        let message = Message { header: reply, body };
        let mut sent = self.send(&message).await;
        if let Err(error) = &sent
            && matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::InvalidInput)
        {
            // The response is the matter, not the connection: the caller hears why.
            let mut header = message.header;
            header.insert(names::ERROR.to_owned(), Status::new(&self.serving.name, 500, &error.to_string()).to_text());
            sent = self.send(&Message { header, body: Bytes::new() }).await;
        }
        if sent.is_err() {
            // The caller must not wait for a response that cannot come.
            let _ = self.socket.close().await;
        }
    }

    /// The first message of a stream opens it, and its body goes to nobody, as with go-micro's server (all lines); further
    /// ones go to its handler.
    async fn take_stream_message(self: &Arc<Self>, id: String, message: Message, requests: &Group) {
        let error = get_ignoring_case(&message.header, names::ERROR).filter(|text| !text.is_empty());
        let incoming = match error {
            None => Incoming::Body(message.body.clone()),
            Some(names::END_OF_STREAM) => Incoming::End,
            Some(text) => Incoming::Failed(Status::parse(text)),
        };
        let (open, ended) = {
            let streams = self.lock();
            (streams.open.get(&id).cloned(), streams.ended.contains(&id))
        };
        if let Some(stream) = open {
            // The handler may have returned meanwhile: then nobody wants the message.
            let _ = stream.send(incoming).await;
        } else if !ended && error.is_none() {
            let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
            self.lock().open.insert(id.clone(), sender);
            let connection = self.clone();
            requests.spawn(async move { connection.serve_stream(id, message, receiver).await });
        }
    }

    async fn serve_stream(self: Arc<Self>, id: String, message: Message, receiver: mpsc::Receiver<Incoming>) {
        let (mut reply, result) = match self.read(message) {
            Ok(request) => match self.serving.router.find(&request.endpoint) {
                Ok(EndpointKind::Stream(function)) => {
                    let reply = request.reply.clone();
                    (reply, self.run(&id, request, &function, receiver).await)
                }
                Ok(EndpointKind::Unary(_)) => {
                    let text = format!("{} is no stream", request.endpoint);
                    (request.reply, Err(Status::new(&self.serving.name, 400, &text)))
                }
                Err(no) => (request.reply, Err(plain(&no.text()))),
            },
            Err((reply, status)) => (reply, Err(status)),
        };
        self.lock().end(&id);
        reply.insert(names::STREAM.to_owned(), id);
        let end = result.map_or_else(|status| error_text(&status), |()| names::END_OF_STREAM.to_owned());
        reply.insert(names::ERROR.to_owned(), end);
        // A peer that is gone needs no end.
        let _ = self.send(&Message { header: reply, body: Bytes::new() }).await;
    }

    async fn run(
        self: &Arc<Self>,
        id: &str,
        request: Request,
        function: &StreamFunction,
        receiver: mpsc::Receiver<Incoming>,
    ) -> Result<(), Status> {
        let Request { mut reply, codec, context, .. } = request;
        reply.insert(names::STREAM.to_owned(), id.to_owned());
        let stream = RpcServerStream::new(self.clone(), context.clone(), codec, reply, receiver);
        run_stream(function, context, Arc::new(stream), &self.serving.name).await
    }

    /// Reads the headers of a request; on failure what to answer.
    fn read(&self, message: Message) -> Result<Request, (Metadata, Status)> {
        let Message { mut header, body } = message;
        let get = |name| get_ignoring_case(&header, name).unwrap_or_default().to_owned();
        let mut endpoint = get(names::ENDPOINT);
        if endpoint.is_empty() {
            endpoint = get(names::METHOD);
        }
        let mut content_type = get(names::CONTENT_TYPE);
        if content_type.is_empty() {
            FALLBACK_CONTENT_TYPE.clone_into(&mut content_type);
        }
        let reply: Metadata = [
            (names::ID, get(names::ID)),
            (names::SERVICE, get(names::SERVICE)),
            (names::ENDPOINT, endpoint.clone()),
            (names::METHOD, endpoint.clone()),
            (names::CONTENT_TYPE, content_type.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        // A time-out that cannot be read is none, as in go-micro.
        let timeout = get(names::TIMEOUT).parse().ok().map(Duration::from_nanos);
        let Some(codec) = self.serving.codecs.marshaler_by_content_type(&content_type).cloned() else {
            let text = format!("unsupported Content-Type: {content_type}");
            return Err((reply, Status::new(&self.serving.name, 400, &text)));
        };
        header.insert("Local".to_owned(), self.socket.local());
        header.insert("Remote".to_owned(), self.socket.remote());
        let deadline = timeout.map(|timeout| self.serving.env.now() + timeout);
        Ok(Request { endpoint, reply, codec, context: Context { deadline, metadata: header }, body })
    }

    pub(super) async fn send(&self, message: &Message) -> Result<()> {
        self.serving.env.timeout(SEND_TIMEOUT, self.socket.send(message)).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, "send")
                .detail(format!("the peer has not read for {SEND_TIMEOUT:?}"))
                .with("peer", self.socket.remote()))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams {
    fn end(&mut self, id: &str) {
        self.open.remove(id);
        if self.ended.len() == ENDED_STREAMS {
            self.ended.pop_front();
        }
        self.ended.push_back(id.to_owned());
    }
}

/// An error that go-micro sends as a plain text.
fn plain(text: &str) -> Status {
    Status { detail: text.to_owned(), ..Status::default() }
}

/// The text of `Micro-Error`. An error without a text would read as success.
fn error_text(status: &Status) -> String {
    let text = status.to_text();
    if text.is_empty() { "unspecified error".to_owned() } else { text }
}
