//! One request of the `grpc` server: finds its handler, runs it, answers with messages and a status.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::Code;

use super::Serving;
use super::stream::{GrpcServerStream, Responder};
use crate::client::Context;
use crate::env::Instant;
use crate::error::Status;
use crate::grpc::content::{self, Content};
use crate::grpc::frame::{self, Reader};
use crate::grpc::{headers, path, status};
use crate::server::EndpointKind;
use crate::server::shared::{NoRoute, run_stream, run_unary, status_of};
use crate::server::{StreamFunction, UnaryFunction};
use crate::{ErrorKind, Result};

/// Limit for sending one message to a peer that does not read.
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Content type of a request that names none; go-micro's server.
const FALLBACK_CONTENT_TYPE: &str = "application/grpc";

/// The ends of a connection, as handlers read them.
#[derive(Debug)]
pub(super) struct Ends {
    local: String,
    remote: String,
}

impl Ends {
    pub(super) fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local: local.to_string(), remote: remote.to_string() }
    }
}

/// Serves `request`.
pub(super) async fn serve(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    serving: Arc<Serving>,
    ends: Arc<Ends>,
) {
    let Some(begun) = begin(request, respond, &serving, &ends) else { return };
    match begun.kind {
        EndpointKind::Unary(function) => {
            unary(&serving, &function, begun.context, begun.content, begun.reader, begun.respond).await;
        }
        // Boxed, so that what most requests need is small.
        EndpointKind::Stream(function) => {
            Box::pin(stream(&serving, &function, begun.context, begun.content, begun.reader, begun.respond)).await;
        }
    }
}

/// A request with the handler that it is for.
struct Begun {
    kind: EndpointKind,
    context: Context,
    content: Content,
    reader: Reader,
    respond: SendResponse<Bytes>,
}

/// Finds what serves `request`; `None` when it was refused.
fn begin(request: Request<RecvStream>, respond: SendResponse<Bytes>, serving: &Serving, ends: &Ends) -> Option<Begun> {
    let (parts, body) = request.into_parts();
    // `content-type` wins over `x-content-type`, as in go-micro.
    let content_type = [&CONTENT_TYPE, &headers::X_CONTENT_TYPE]
        .into_iter()
        .filter_map(|name| headers::text(&parts.headers, name))
        .find(|text| !text.is_empty())
        .unwrap_or(FALLBACK_CONTENT_TYPE);
    let Some(content) = content::find(&serving.codecs, content_type) else {
        let status = Status::new(&serving.name, 400, &format!("unsupported Content-Type: {content_type}"));
        refuse(respond, FALLBACK_CONTENT_TYPE, status::trailers(&status));
        return None;
    };
    let kind = match route(serving, parts.uri.path()) {
        Ok(kind) => kind,
        Err(refusal) => {
            refuse(respond, content.content_type, refusal);
            return None;
        }
    };
    let deadline = headers::timeout(&parts.headers).map(|timeout| serving.env.now() + timeout);
    let mut metadata = headers::metadata(&parts.headers);
    if let Some(authority) = parts.uri.authority() {
        metadata.insert(":authority".to_owned(), authority.as_str().to_owned());
    }
    metadata.insert("Local".to_owned(), ends.local.clone());
    metadata.insert("Remote".to_owned(), ends.remote.clone());
    Some(Begun { kind, context: Context { deadline, metadata }, content, reader: Reader::new(body), respond })
}

async fn unary(
    serving: &Serving,
    function: &UnaryFunction,
    context: Context,
    content: Content,
    reader: Reader,
    respond: SendResponse<Bytes>,
) {
    let result = match first(serving, context.deadline, reader).await {
        Ok(body) => run_unary(function, context, content.codec.clone(), body, &serving.name).await,
        Err(status) => Err(status),
    };
    let frame = result.and_then(|response| {
        content.write(&*response).map_err(|error| match error.kind() {
            ErrorKind::TooLarge => Status::new(&serving.name, 500, &error.to_string()),
            _ => status_of(&error, &serving.name),
        })
    });
    // A peer that is gone needs no answer.
    let _ = serving.env.timeout(SEND_TIMEOUT, answer(respond, content.content_type, frame)).await;
}

async fn stream(
    serving: &Serving,
    function: &StreamFunction,
    context: Context,
    content: Content,
    reader: Reader,
    respond: SendResponse<Bytes>,
) {
    let responder = Arc::new(Responder::new(serving.env.clone(), respond, content.content_type, context.deadline));
    let stream = GrpcServerStream::new(serving.env.clone(), context.clone(), content, reader, responder.clone());
    let result = run_stream(function, context, Arc::new(stream), &serving.name).await;
    responder.finish(result.map_or_else(|failed| status::trailers(&failed), |()| status::success())).await;
}

/// What serves `path`, or the trailers that refuse it.
fn route(serving: &Serving, path: &str) -> Result<EndpointKind, HeaderMap> {
    let Some((kind, method)) = path::target(path) else {
        let text = NoRoute::IllFormed(path.to_owned()).text();
        return Err(status::trailers(&Status::new(&serving.name, 400, &text)));
    };
    serving.router.find_method(kind, method).map_err(|no| {
        let text = match no {
            NoRoute::NoMethod(method) => format!("unknown method {method} for service {kind}"),
            NoRoute::NoService(service) | NoRoute::IllFormed(service) => format!("unknown service {service}"),
        };
        status::plain(Code::Unimplemented, &text)
    })
}

/// The one message of a unary request.
async fn first(serving: &Serving, deadline: Option<Instant>, mut reader: Reader) -> Result<Bytes, Status> {
    let read = async {
        reader
            .next()
            .await
            .map_err(|error| Status::new(&serving.name, 400, &error.to_string()))?
            .ok_or_else(|| Status::new(&serving.name, 400, "the request has no message"))
    };
    match deadline {
        Some(deadline) => serving.env.timeout_at(deadline, read).await.unwrap_or_else(|_| {
            Err(Status::new(&serving.name, 408, "the deadline passed before the request had arrived"))
        }),
        None => read.await,
    }
}

async fn answer(
    mut respond: SendResponse<Bytes>,
    content_type: &'static str,
    frame: Result<Bytes, Status>,
) -> Result<(), h2::Error> {
    match frame {
        Ok(frame) => {
            let mut stream = respond.send_response(head(content_type, HeaderMap::new()), false)?;
            frame::send(&mut stream, frame, false).await?;
            stream.send_trailers(status::success())
        }
        Err(failed) => respond.send_response(head(content_type, status::trailers(&failed)), true).map(|_| ()),
    }
}

/// Answers with a status alone (Trailers-Only).
fn refuse(mut respond: SendResponse<Bytes>, content_type: &'static str, trailers: HeaderMap) {
    // A peer that is gone needs no answer.
    let _ = respond.send_response(head(content_type, trailers), true);
}

/// The head of a response.
pub(super) fn head(content_type: &'static str, mut headers: HeaderMap) -> Response<()> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let mut response = Response::new(());
    *response.headers_mut() = headers;
    response
}
