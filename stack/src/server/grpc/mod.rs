//! The `grpc` server: real gRPC on HTTP/2 over the network of its `Env`. It shares handlers, registration and events with the
//! `rpc` server. go-micro: `server/grpc/grpc.go`; unlike there, a stop drains as long as the options say.

mod connection;
mod request;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::shared::{Door, Front, FrontServer, Group, Router};
use super::{Server, ServerOptions};
use crate::codec::Codecs;
use crate::env::{Env, Listener, Task};
use crate::{Error, ErrorKind, Result};

/// How long accepting pauses after an error, so that one that lasts does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server with `options` that speaks gRPC.
pub fn server(env: Env, options: ServerOptions) -> Arc<dyn Server> {
    Arc::new(FrontServer::new(env, Arc::new(Grpc), options))
}

#[derive(Debug)]
struct Grpc;

/// What the connections of one server share.
#[derive(Debug)]
struct Serving {
    env: Env,
    router: Arc<Router>,
    codecs: Codecs,
    name: Arc<str>,
}

#[async_trait]
impl Front for Grpc {
    fn name(&self) -> &'static str {
        "grpc"
    }

    fn protocol(&self) -> &'static str {
        "grpc"
    }

    fn transport(&self, _options: &ServerOptions) -> String {
        "grpc".to_owned()
    }

    async fn open(&self, env: &Env, options: &ServerOptions, router: Arc<Router>) -> Result<Arc<dyn Door>> {
        let listener = env.network().listen(&options.address).await.map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "listen").with("address", &options.address).caused_by(error)
        })?;
        let address = listener.local_address().to_string();
        let connections = Group::new(env, "grpc server connection");
        let requests = Group::new(env, "grpc server request");
        let stopping = watch::Sender::new(false);
        let serving = Arc::new(Serving {
            env: env.clone(),
            router,
            codecs: options.parts.codecs.clone(),
            name: options.name.as_str().into(),
        });
        let accept = accept(listener, serving, connections.clone(), requests.clone(), stopping.subscribe());
        let accepting = env.spawn("grpc server accept", accept);
        Ok(Arc::new(GrpcDoor { address, accepting, stopping, connections, requests }))
    }
}

/// Accepts until it is aborted; dropping the listener closes the port.
async fn accept(
    mut listener: Box<dyn Listener>,
    serving: Arc<Serving>,
    connections: Group,
    requests: Group,
    stopping: watch::Receiver<bool>,
) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let serve = connection::serve(stream, serving.clone(), requests.clone(), stopping.clone());
                connections.spawn(serve);
            }
            Err(_) => serving.env.sleep(ACCEPT_PAUSE).await,
        }
    }
}

#[derive(Debug)]
struct GrpcDoor {
    address: String,
    accepting: Task,
    stopping: watch::Sender<bool>,
    connections: Group,
    requests: Group,
}

#[async_trait]
impl Door for GrpcDoor {
    fn address(&self) -> String {
        self.address.clone()
    }

    async fn stop_accepting(&self) {
        self.accepting.abort();
        // Connections tell their peers to open no further request (GOAWAY) and end with the last one.
        self.stopping.send_replace(true);
    }

    async fn drained(&self) {
        self.requests.idle().await;
        // Responses that are still on their way leave before their connections end.
        self.connections.idle().await;
    }

    async fn close(&self) {
        self.connections.end().await;
        self.requests.end().await;
    }
}
