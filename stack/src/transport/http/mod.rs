//! The transport `http`: go-micro's HTTP/1.1 wire. On the dialling end each `send` is one POST and each `recv` one response;
//! on the accepting end each `recv` is a request, and any number of responses may answer it. Source: go-micro's
//! `transport/http_transport.go` and, in v6, `transport/http_{client,socket,listener}.go`.
//!
//! Header names are title-cased on the way; `Host`, `Content-Length` and `Transfer-Encoding` belong to the wire and are
//! neither taken from a message nor given to one. Responses start as a copy of the connection's first request's headers.
//! With [`DialOptions::connection_close`] requests say `Connection: close`, and whoever serves them closes the socket.
//!
//! A body beyond the limit is refused before anything is sent, and the connection stays usable. What an end cannot read
//! (too large, or no HTTP) breaks that connection: an accepting end answers 413 or 400 and hangs up.

mod decode;
mod encode;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::config::Config;
use super::connect::{Arrival, StreamListener, connect};
use super::{DialOptions, ListenOptions, Listener, Socket, Transport, TransportOptions};
use crate::Result;
use crate::env::{Env, Stream};
use socket::{HttpSocket, Side};

/// Sockets over HTTP/1.1.
#[derive(Debug)]
pub struct HttpTransport {
    env: Env,
    config: Config,
}

impl HttpTransport {
    /// A transport on `env`'s network.
    pub fn new(env: Env, options: TransportOptions) -> Self {
        Self { env, config: Config::new(options) }
    }
}

#[async_trait]
impl Transport for HttpTransport {
    fn init(&self, options: TransportOptions) -> Result<()> {
        self.config.set(options);
        Ok(())
    }

    fn options(&self) -> TransportOptions {
        self.config.get()
    }

    async fn dial(&self, address: &str, options: DialOptions) -> Result<Arc<dyn Socket>> {
        let config = self.config.checked("dial")?;
        let stream = connect(&self.env, address, &options).await?;
        let side = Side::Dialling { host: address.to_owned(), connection_close: options.connection_close };
        Ok(Arc::new(HttpSocket::new(&self.env, stream, side, &config)))
    }

    async fn listen(&self, address: &str, _options: ListenOptions) -> Result<Arc<dyn Listener>> {
        let options = self.config.checked("listen")?;
        StreamListener::open(&self.env, "http", address, Accepted { env: self.env.clone(), options }).await
    }

    fn name(&self) -> &'static str {
        "http"
    }
}

/// Every accepted stream is a socket.
struct Accepted {
    env: Env,
    options: TransportOptions,
}

#[async_trait]
impl Arrival for Accepted {
    async fn arrive(&mut self, stream: Stream, sockets: &mpsc::Sender<Arc<dyn Socket>>) {
        let socket = HttpSocket::new(&self.env, stream, Side::accepting(), &self.options);
        // It fails when the listener is closed; the socket is dropped then, and the peer sees the end.
        let _ = sockets.send(Arc::new(socket)).await;
    }
}
