//! The transport `grpc`: go-micro's transport over gRPC. A socket is one call of the method `Stream`, a message both ways
//! after the other; header names keep their case. Source: go-micro's `transport/grpc` and its `proto/transport.proto`
//! (the path is the one of v2 and later).
//!
//! It is written on `h2` itself, not on a gRPC library: `send` then waits until the peer has room, which a library hides
//! behind a queue of its own, and HTTP/2's only task is one that the host owns.
//!
//! Closing either end ends the call; the peer receives what was sent before and then the end. A body beyond the limit is
//! refused before anything is sent, and the socket stays usable; an end that cannot read a message (too large, or no
//! message) ends the call, the accepting one with a gRPC status that says why. `DialOptions::connection_close` means
//! nothing here.

mod framing;
mod link;
mod serve;
mod socket;
#[cfg(test)]
mod tests;
mod tracked;

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::{HeaderMap, Request, Version, header};
use async_trait::async_trait;

use super::config::Config;
use super::connect::{StreamListener, connect, timed_out};
use super::{DialOptions, ListenOptions, Listener, Socket, Transport, TransportOptions};
use crate::env::Env;
use crate::{Error, ErrorKind, Result};
use serve::Accepted;
use socket::{GrpcSocket, Side};

/// The method whose calls are sockets.
const PATH: &str = "/go.micro.transport.grpc.Transport/Stream";

/// The content type of both directions.
const CONTENT_TYPE: &str = "application/grpc";

/// What tasks are counted under.
const TASK: &str = "grpc";

/// How much a peer may send ahead on one call, in bytes.
const WINDOW_BYTES: u32 = 1 << 20;

/// How much a peer may send ahead on one connection, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Sockets over gRPC.
#[derive(Debug)]
pub struct GrpcTransport {
    env: Env,
    config: Config,
}

impl GrpcTransport {
    /// A transport on `env`'s network.
    pub fn new(env: Env, options: TransportOptions) -> Self {
        Self { env, config: Config::new(options) }
    }
}

#[async_trait]
impl Transport for GrpcTransport {
    fn init(&self, options: TransportOptions) -> Result<()> {
        self.config.set(options);
        Ok(())
    }

    fn options(&self) -> TransportOptions {
        self.config.get()
    }

    async fn dial(&self, address: &str, options: DialOptions) -> Result<Arc<dyn Socket>> {
        let config = self.config.checked("dial")?;
        let deadline = self.env.now() + options.timeout;
        let stream = connect(&self.env, address, &options).await?;
        let (local, remote) = (stream.local_address(), stream.peer_address());
        let opening = async {
            let (requests, hold) = link::open(&self.env, stream).await?;
            let mut requests = requests.ready().await?;
            let (response, sender) = requests.send_request(call(address, remote), false)?;
            Ok((response, sender, hold))
        };
        let broken =
            |error: h2::Error| Error::new(ErrorKind::Unreachable, "dial").with("address", address).caused_by(error);
        let opened = self.env.timeout_at(deadline, opening).await.map_err(|_| timed_out(address, &options))?;
        let (response, sender, hold) = opened.map_err(broken)?;
        let side = Side::Dialling { response };
        Ok(Arc::new(GrpcSocket::new(&self.env, side, sender, hold, (local, remote), &config)))
    }

    async fn listen(&self, address: &str, _options: ListenOptions) -> Result<Arc<dyn Listener>> {
        let options = self.config.checked("listen")?;
        StreamListener::open(&self.env, TASK, address, Accepted::new(&self.env, options)).await
    }

    fn name(&self) -> &'static str {
        "grpc"
    }
}

/// Whether a request or response says that it is gRPC.
fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(CONTENT_TYPE.as_bytes()))
}

/// The head of a call. The authority is what was dialled, or the peer's address where that is none (`:80`).
fn call(address: &str, remote: SocketAddr) -> Request<()> {
    let head = |authority: &str| {
        Request::post(format!("http://{authority}{PATH}"))
            .version(Version::HTTP_2)
            .header(header::TE, "trailers")
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header(header::USER_AGENT, concat!("shaketable/", env!("CARGO_PKG_VERSION")))
            .body(())
    };
    head(address)
        .or_else(|_| head(&remote.to_string()))
        .unwrap_or_else(|error| unreachable!("an IP address and port are an authority: {error}"))
}
