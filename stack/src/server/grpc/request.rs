//! One request of the `grpc` server: finds its handler, runs it, answers with messages and a status.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::Code;

use super::Serving;
use super::stream::{GrpcServerStream, Responder};
use crate::client::Context;
use crate::error::Status;
use crate::grpc::content::{self, Content};
use crate::grpc::frame::{self, Reader};
use crate::grpc::{headers, path, status};
use crate::server::EndpointKind;
use crate::server::shared::{NoRoute, run_stream, run_unary};
use crate::{Error, Result};

/// Limit for sending one message to a peer that does not read.
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Content type of a request that names none; go-micro's server.
const FALLBACK_CONTENT_TYPE: &str = "application/grpc";

/// Serves `request`.
pub(super) async fn serve(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    serving: Arc<Serving>,
    local: SocketAddr,
    remote: SocketAddr,
) {
    let (parts, body) = request.into_parts();
    // `content-type` wins over `x-content-type`, as in go-micro.
    let content_type =
        [headers::text(&parts.headers, "content-type"), headers::text(&parts.headers, headers::X_CONTENT_TYPE)]
            .into_iter()
            .flatten()
            .find(|text| !text.is_empty())
            .unwrap_or(FALLBACK_CONTENT_TYPE);
    let Some(content) = content::find(&serving.codecs, content_type) else {
        let status = Status::new(&serving.name, 400, &format!("unsupported Content-Type: {content_type}"));
        return refuse(respond, FALLBACK_CONTENT_TYPE, status::trailers(&status));
    };
    let kind = match route(&serving, parts.uri.path()) {
        Ok(kind) => kind,
        Err(refusal) => return refuse(respond, content.content_type, refusal),
    };
    let deadline = headers::timeout(&parts.headers).map(|timeout| serving.env.now() + timeout);
    let mut metadata = headers::metadata(&parts.headers);
    if let Some(authority) = parts.uri.authority() {
        metadata.insert(":authority".to_owned(), authority.to_string());
    }
    metadata.insert("Local".to_owned(), local.to_string());
    metadata.insert("Remote".to_owned(), remote.to_string());
    let context = Context { deadline, metadata };
    let reader = Reader::new(body);
    match kind {
        EndpointKind::Unary(function) => {
            let result = match first(&serving, &context, reader).await {
                Ok(body) => run_unary(&function, context, content.codec.clone(), body, &serving.name).await,
                Err(status) => Err(status),
            };
            // A peer that is gone needs no answer.
            let _ = serving.env.timeout(SEND_TIMEOUT, answer(respond, &content, &serving.name, result)).await;
        }
        EndpointKind::Stream(function) => {
            let responder = Arc::new(Responder::new(serving.env.clone(), respond, content.content_type, deadline));
            let stream =
                GrpcServerStream::new(serving.env.clone(), context.clone(), content, reader, responder.clone());
            let result = run_stream(&function, context, Arc::new(stream), &serving.name).await;
            responder.finish(result.map_or_else(|failed| status::trailers(&failed), |()| status::success())).await;
        }
    }
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
async fn first(serving: &Serving, context: &Context, mut reader: Reader) -> Result<Bytes, Status> {
    let read = async {
        reader
            .next()
            .await
            .map_err(|error| Status::new(&serving.name, 400, &error.to_string()))?
            .ok_or_else(|| Status::new(&serving.name, 400, "the request has no message"))
    };
    match context.deadline {
        Some(deadline) => serving.env.timeout_at(deadline, read).await.unwrap_or_else(|_| {
            Err(Status::new(&serving.name, 408, "the deadline passed before the request had arrived"))
        }),
        None => read.await,
    }
}

async fn answer(
    mut respond: SendResponse<Bytes>,
    content: &Content,
    server: &str,
    result: Result<Bytes, Status>,
) -> Result<(), h2::Error> {
    let too_large = |error: Error| Status::new(server, 500, &error.to_string());
    match result.and_then(|body| frame::encode(&body).map_err(too_large)) {
        Ok(frame) => {
            let mut stream = respond.send_response(head(content.content_type, HeaderMap::new()), false)?;
            frame::send(&mut stream, frame, false).await?;
            stream.send_trailers(status::success())
        }
        Err(failed) => respond.send_response(head(content.content_type, status::trailers(&failed)), true).map(|_| ()),
    }
}

/// Answers with a status alone (Trailers-Only).
fn refuse(mut respond: SendResponse<Bytes>, content_type: &'static str, trailers: HeaderMap) {
    // A peer that is gone needs no answer.
    let _ = respond.send_response(head(content_type, trailers), true);
}

/// The head of a response.
pub(super) fn head(content_type: &'static str, mut headers: HeaderMap) -> Response<()> {
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let mut response = Response::new(());
    *response.headers_mut() = headers;
    response
}
