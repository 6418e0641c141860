//! The `rpc` server: go-micro's mucp over any transport. It knows no transport in particular. go-micro:
//! `server/rpc_server.go`; unlike there, several requests of one connection may be under way, and each response carries its
//! own request's id.

mod connection;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::shared::{Door, Front, FrontServer, Group, Router};
use super::{Server, ServerOptions};
use crate::env::{Env, Task};
use crate::transport::{ListenOptions, Listener};
use crate::{ErrorKind, Result};
use connection::{Connection, Serving};

/// How long accepting pauses after an error, so that one that lasts does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server with `options` that speaks mucp over the transport of its parts.
pub fn server(env: Env, options: ServerOptions) -> Arc<dyn Server> {
    Arc::new(FrontServer::new(env, Arc::new(Rpc), options))
}

#[derive(Debug)]
struct Rpc;

#[async_trait]
impl Front for Rpc {
    fn name(&self) -> &'static str {
        "rpc"
    }

    fn protocol(&self) -> &'static str {
        "mucp"
    }

    fn transport(&self, options: &ServerOptions) -> String {
        options.parts.transport.name().to_owned()
    }

    async fn open(&self, env: &Env, options: &ServerOptions, router: Arc<Router>) -> Result<Arc<dyn Door>> {
        let listener = options.parts.transport.listen(&options.address, ListenOptions::default()).await?;
        let connections = Group::new(env, "rpc server connection");
        let requests = Group::new(env, "rpc server request");
        let serving = Arc::new(Serving {
            env: env.clone(),
            router,
            codecs: options.parts.codecs.clone(),
            name: options.name.as_str().into(),
        });
        let accept = accept(listener.clone(), serving, connections.clone(), requests.clone());
        let accepting = env.spawn("rpc server accept", accept);
        Ok(Arc::new(RpcDoor { listener, accepting, connections, requests }))
    }
}

async fn accept(listener: Arc<dyn Listener>, serving: Arc<Serving>, connections: Group, requests: Group) {
    loop {
        match listener.accept().await {
            Ok(socket) => connections.spawn(Connection::new(socket, serving.clone()).serve(requests.clone())),
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(_) => serving.env.sleep(ACCEPT_PAUSE).await,
        }
    }
}

#[derive(Debug)]
struct RpcDoor {
    listener: Arc<dyn Listener>,
    accepting: Task,
    connections: Group,
    requests: Group,
}

#[async_trait]
impl Door for RpcDoor {
    fn address(&self) -> String {
        self.listener.address()
    }

    async fn stop_accepting(&self) {
        self.accepting.abort();
        // A listener that cannot be closed in order is closed by its drop.
        let _ = self.listener.close().await;
    }

    async fn drained(&self) {
        self.requests.idle().await;
    }

    async fn close(&self) {
        self.connections.end().await;
        self.requests.end().await;
    }
}
