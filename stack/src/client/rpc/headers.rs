//! The headers of mucp requests (facts: go-micro's `client/rpc_codec.go`). It knows no connection.

use std::time::Duration;

use crate::client::headers::forwarded;
use crate::client::{ClientOptions, Context, Request};
use crate::metadata::{Metadata, names};

/// The headers of a request: the caller's own, then those of the protocol. `remaining` is what is left of the deadline at
/// the moment of sending, so that time-outs cascade.
pub(super) fn request(
    client: &ClientOptions,
    context: &Context,
    request: &Request,
    id: &str,
    remaining: Option<Duration>,
) -> Metadata {
    let mut header = forwarded(&context.metadata);
    let mut put = |name: &str, value: &str| header.insert(name.to_owned(), value.to_owned());
    put(names::SERVICE, &request.service);
    put(names::ENDPOINT, &request.endpoint);
    put(names::METHOD, &request.endpoint);
    put(names::ID, id);
    put(names::CONTENT_TYPE, &request.content_type);
    put(names::ACCEPT, &request.content_type);
    if let Some(from) = &client.from_service {
        put(names::FROM_SERVICE, from);
    }
    if let Some(remaining) = remaining {
        put(names::TIMEOUT, &remaining.as_nanos().to_string());
    }
    header
}
