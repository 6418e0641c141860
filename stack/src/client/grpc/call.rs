//! One attempt of a unary call over gRPC, and the opening of any request.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header, uri};

use super::GrpcClient;
use super::connection::Lease;
use crate::client::attempts::Attempts;
use crate::client::headers::travels;
use crate::client::{ClientOptions, Context, Request};
use crate::grpc::content::{self, Content};
use crate::grpc::{frame, headers, path, status};
use crate::metadata::names;
use crate::{Error, ErrorKind, Result};

/// What one attempt is made of, beside its deadline.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) client: &'a ClientOptions,
    pub(super) context: &'a Context,
    pub(super) request: &'a Request,
    pub(super) content: &'a Content,
    pub(super) address: &'a str,
}

/// The codec of `request`.
pub(super) fn content(client: &ClientOptions, request: &Request) -> Result<Content> {
    content::find(&client.parts.codecs, &request.content_type)
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "choose codec").with("content_type", &request.content_type))
}

impl GrpcClient {
    /// Sends the request and waits for its response. When this future is dropped, the request is cancelled.
    pub(super) async fn exchange(&self, attempts: &Attempts<'_>, call: &Call<'_>, frame: Bytes) -> Result<Bytes> {
        let address = call.address;
        let remaining = attempts.deadline() - self.core.env.now();
        let (_lease, response, mut sender) = self.begin(attempts, call, Some(remaining)).await?;
        // A server may answer before it has read everything: its answer says more than the failure to send.
        let sent = frame::send(&mut sender, frame, true).await;
        let response = response.await.map_err(|error| opened(error, address))?;
        let (parts, body) = response.into_parts();
        check(parts.status, &parts.headers)?;
        let mut reader = frame::Reader::new(body);
        let message = reader.next().await?;
        let trailers = reader.trailers().await?;
        match trailers.as_ref().and_then(status::read) {
            Some(Ok(())) => {
                sent.map_err(|error| opened(error, address))?;
                message.ok_or_else(|| Error::new(ErrorKind::InvalidMessage, "call").detail("success without a message"))
            }
            Some(Err(status)) => Err(Error::remote("call", status)),
            None => Err(Error::new(ErrorKind::Disconnected, "call")
                .detail("the response ended without a status")
                .with("address", address)),
        }
    }

    /// Opens the HTTP/2 stream of a request. A connection that turns out to be dead before anything was sent is replaced
    /// once.
    pub(super) async fn begin(
        &self,
        attempts: &Attempts<'_>,
        call: &Call<'_>,
        remaining: Option<Duration>,
    ) -> Result<(Lease, ResponseFuture, SendStream<Bytes>)> {
        let (client, address) = (call.client, call.address);
        let mut last = None;
        for _ in 0..2 {
            let mut lease = match self.connections.lease_open(address) {
                Some(lease) => lease,
                // Seldom, and large while it is under way.
                None => Box::pin(self.dial(client, attempts, address)).await?,
            };
            let opened = match poll_fn(|context| lease.sender.poll_ready(context)).await {
                Ok(()) => lease.sender.send_request(head(call, remaining, lease.authority())?, false),
                Err(error) => Err(error),
            };
            match opened {
                Ok((response, sender)) => return Ok((lease, response, sender)),
                Err(error) => {
                    lease.give_up();
                    last = Some(error);
                }
            }
        }
        let error = Error::new(ErrorKind::Unreachable, "open request").with("address", address);
        Err(match last {
            Some(last) => error.caused_by(last),
            None => error,
        })
    }

    async fn dial(&self, client: &ClientOptions, attempts: &Attempts<'_>, address: &str) -> Result<Lease> {
        let timeout = attempts.dial_timeout();
        let lease = self.connections.lease(address, client.pool_size, client.pool_ttl);
        self.core.env.timeout(timeout, lease).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Unreachable, "dial")
                .detail(format!("no connection within {timeout:?}"))
                .with("address", address))
        })
    }
}

/// The head of a request: path, gRPC's headers, the caller's headers in lower case.
fn head(call: &Call<'_>, remaining: Option<Duration>, authority: Authority) -> Result<http::Request<()>> {
    let Call { client, context, request, content, .. } = *call;
    let invalid = |error: http::Error| {
        Error::new(ErrorKind::InvalidInput, "write request").with("endpoint", &request.endpoint).caused_by(error)
    };
    let path = Bytes::from(path::of(&request.service, &request.endpoint));
    let path = PathAndQuery::from_maybe_shared(path).map_err(|error| invalid(error.into()))?;
    let mut parts = uri::Parts::default();
    (parts.scheme, parts.authority, parts.path_and_query) = (Some(Scheme::HTTP), Some(authority), Some(path));
    let mut head = http::Request::new(());
    *head.method_mut() = Method::POST;
    *head.uri_mut() = Uri::from_parts(parts).map_err(|error| invalid(error.into()))?;
    *head.version_mut() = Version::HTTP_2;
    let all = head.headers_mut();
    all.reserve(5 + context.metadata.len());
    if let Some(from) = &client.from_service {
        headers::put(all, names::FROM_SERVICE, from)?;
    }
    let own = |name: &str| client.from_service.is_some() && name == names::FROM_SERVICE;
    let grpc = |name: &str| name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("grpc-"));
    for (name, value) in &context.metadata {
        if travels(name) && !grpc(name) && !own(name) {
            headers::put(all, name, value)?;
        }
    }
    all.insert(header::CONTENT_TYPE, HeaderValue::from_static(content.content_type));
    all.insert(header::TE, HeaderValue::from_static("trailers"));
    all.insert(headers::X_CONTENT_TYPE, content_type(&request.content_type)?);
    if let Some(remaining) = remaining {
        headers::put_timeout(all, remaining);
    }
    Ok(head)
}

/// go-micro's content type as a header.
fn content_type(text: &str) -> Result<HeaderValue> {
    const USUAL: [&str; 2] = ["application/protobuf", "application/json"];
    match USUAL.into_iter().find(|usual| *usual == text) {
        Some(usual) => Ok(HeaderValue::from_static(usual)),
        None => HeaderValue::from_str(text)
            .map_err(|_| Error::new(ErrorKind::InvalidInput, "write header").with("header", "x-content-type")),
    }
}

/// Refuses a response that is no gRPC, or that is a status without a body.
pub(super) fn check(code: StatusCode, headers: &HeaderMap) -> Result<()> {
    if let Some(Err(status)) = status::read(headers) {
        return Err(Error::remote("call", status));
    }
    let content_type = headers::text(headers, &header::CONTENT_TYPE).unwrap_or_default();
    if code == StatusCode::OK && content_type.starts_with("application/grpc") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidMessage, "call")
        .detail(format!("the response is no gRPC: HTTP status {code}, content type '{content_type}'")))
}

/// The error of a request that was opened. A server that refuses a stream, or goes away before it, has not given it to a
/// handler (RFC 9113, sections 6.8 and 8.7).
pub(super) fn opened(error: h2::Error, address: &str) -> Error {
    let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let gone = error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
    let kind = if refused || gone { ErrorKind::Unreachable } else { ErrorKind::Disconnected };
    Error::new(kind, "call").with("address", address).caused_by(error)
}
