//! One attempt of a unary call over gRPC, and the opening of any request.

use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::{HeaderMap, Method, StatusCode, Uri, Version};

use super::GrpcClient;
use super::connection::Lease;
use crate::client::attempts::Attempts;
use crate::client::headers::forwarded;
use crate::client::{ClientOptions, Context, Request};
use crate::codec::Payload;
use crate::grpc::content::{self, Content};
use crate::grpc::{frame, headers, path, status};
use crate::metadata::names;
use crate::{Error, ErrorKind, Result};

/// The codec of `request`.
pub(super) fn content(client: &ClientOptions, request: &Request) -> Result<Content> {
    content::find(&client.parts.codecs, &request.content_type)
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "choose codec").with("content_type", &request.content_type))
}

/// `body` as a gRPC message.
pub(super) fn frame(content: &Content, body: &dyn Payload) -> Result<Bytes> {
    match body.as_frame() {
        Some(bytes) => frame::encode(bytes),
        None => frame::encode(&content.codec.marshaler().marshal(body)?),
    }
}

impl GrpcClient {
    /// Sends the request to `address` and waits for its response. When this future is dropped, the request is cancelled.
    #[expect(clippy::too_many_arguments, reason = "what one attempt is made of")]
    pub(super) async fn exchange(
        &self,
        client: &ClientOptions,
        attempts: &Attempts<'_>,
        context: &Context,
        request: &Request,
        content_type: &'static str,
        frame: Bytes,
        address: &str,
    ) -> Result<Bytes> {
        let remaining = attempts.deadline() - self.core.env.now();
        let head = head(client, context, request, content_type, Some(remaining), address)?;
        let (_lease, response, mut sender) = self.begin(client, attempts, head, address).await?;
        // A server may answer before it has read everything: its answer says more than the failure to send.
        let sent = frame::send(&mut sender, frame, true).await;
        let response = response.await.map_err(|error| opened(error, address))?;
        let (parts, body) = response.into_parts();
        check(parts.status, &parts.headers)?;
        let mut reader = frame::Reader::new(body);
        let message = reader.next().await?;
        let trailers = match reader.trailers().await? {
            Some(trailers) => trailers,
            None => HeaderMap::new(),
        };
        match status::read(&trailers) {
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
        client: &ClientOptions,
        attempts: &Attempts<'_>,
        head: http::Request<()>,
        address: &str,
    ) -> Result<(Lease, ResponseFuture, SendStream<Bytes>)> {
        let mut last = None;
        for _ in 0..2 {
            let timeout = attempts.dial_timeout();
            let lease = self.connections.lease(address, client.pool_size, client.pool_ttl);
            let lease = self.core.env.timeout(timeout, lease).await.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Unreachable, "dial")
                    .detail(format!("no connection within {timeout:?}"))
                    .with("address", address))
            })?;
            let opened = match lease.sender.clone().ready().await {
                Ok(mut sender) => sender.send_request(head.clone(), false),
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
}

/// The head of a request: path, gRPC's headers, the caller's headers in lower case.
pub(super) fn head(
    client: &ClientOptions,
    context: &Context,
    request: &Request,
    content_type: &'static str,
    remaining: Option<Duration>,
    address: &str,
) -> Result<http::Request<()>> {
    let path = path::of(&request.service, &request.endpoint);
    let invalid = |error: http::Error| {
        Error::new(ErrorKind::InvalidInput, "write request").with("endpoint", &request.endpoint).caused_by(error)
    };
    let uri = Uri::builder().scheme("http").authority(address).path_and_query(path).build().map_err(invalid)?;
    let mut metadata = forwarded(&context.metadata);
    if let Some(from) = &client.from_service {
        metadata.insert(names::FROM_SERVICE.to_owned(), from.clone());
    }
    metadata.retain(|name, _| !name.to_ascii_lowercase().starts_with("grpc-"));
    metadata.insert("content-type".to_owned(), content_type.to_owned());
    metadata.insert("te".to_owned(), "trailers".to_owned());
    metadata.insert(headers::X_CONTENT_TYPE.to_owned(), request.content_type.clone());
    if let Some(remaining) = remaining {
        metadata.insert(headers::GRPC_TIMEOUT.to_owned(), headers::timeout_text(remaining));
        metadata.insert(headers::TIMEOUT.to_owned(), remaining.as_nanos().to_string());
    }
    let mut head =
        http::Request::builder().method(Method::POST).uri(uri).version(Version::HTTP_2).body(()).map_err(invalid)?;
    headers::put(head.headers_mut(), &metadata)?;
    Ok(head)
}

/// Refuses a response that is no gRPC, or that is a status without a body.
pub(super) fn check(code: StatusCode, headers: &HeaderMap) -> Result<()> {
    if let Some(Err(status)) = status::read(headers) {
        return Err(Error::remote("call", status));
    }
    let content_type = headers::text(headers, "content-type").unwrap_or_default();
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
