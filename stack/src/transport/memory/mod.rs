//! The transport `memory`: queues between sockets of one namespace. It touches no network: partitions and losses do not
//! reach it; a crash of a host does, because its sockets are dropped.

mod socket;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::config::Config;
use super::connect::{BACKLOG, check_address, timed_out};
use super::gate::Gate;
use super::inbox::Inbox;
use super::{DialOptions, ListenOptions, Listener, Socket, Transport, TransportOptions};
use crate::env::Env;
use crate::{Error, ErrorKind, Result};
use socket::{MemorySocket, pair};
use state::State;

/// Sockets in memory. Listeners of one [`Namespace`](crate::env::Namespace) see each other.
#[derive(Debug)]
pub struct MemoryTransport {
    env: Env,
    config: Config,
}

impl MemoryTransport {
    /// A transport in `env`'s namespace.
    pub fn new(env: Env, options: TransportOptions) -> Self {
        Self { env, config: Config::new(options) }
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn init(&self, options: TransportOptions) -> Result<()> {
        self.config.set(options);
        Ok(())
    }

    fn options(&self) -> TransportOptions {
        self.config.get()
    }

    async fn dial(&self, address: &str, options: DialOptions) -> Result<Arc<dyn Socket>> {
        let config = self.config.checked("dial")?;
        check_address("dial", address)?;
        let opening = async {
            let peer =
                state::resolve(&self.env, address).await.map_err(|error| unreachable(address).caused_by(error))?;
            let state = self.env.namespace().shared::<State>();
            let backlog = state.listener(peer).ok_or_else(|| unreachable(address))?;
            let local = SocketAddr::new(self.env.host().address, state.free_port());
            let (near, far) = pair(local, peer);
            backlog.send(far).await.map_err(|_| unreachable(address))?;
            Ok(near)
        };
        let near = self.env.timeout(options.timeout, opening).await.map_err(|_| timed_out(address, &options))??;
        Ok(Arc::new(MemorySocket::new(&self.env, near, &config)))
    }

    async fn listen(&self, address: &str, _options: ListenOptions) -> Result<Arc<dyn Listener>> {
        let config = self.config.checked("listen")?;
        check_address("listen", address)?;
        let invalid = |detail| Error::new(ErrorKind::InvalidInput, "listen").with("address", address).detail(detail);
        let wanted =
            state::resolve(&self.env, address).await.map_err(|error| invalid("unknown host").caused_by(error))?;
        let (sender, backlog) = mpsc::channel(BACKLOG);
        let state = self.env.namespace().shared::<State>();
        let address = state.register(wanted, sender).ok_or_else(|| invalid("somebody listens there already"))?;
        Ok(Arc::new(MemoryListener {
            gate: Gate::new(self.env.clone(), None),
            address,
            backlog: Inbox::new(backlog),
            env: self.env.clone(),
            options: config,
        }))
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

fn unreachable(address: &str) -> Error {
    Error::new(ErrorKind::Unreachable, "dial").with("address", address).detail("nobody listens there")
}

/// Accepts sockets. Its place in the namespace is free again once its backlog is closed or dropped.
#[derive(Debug)]
struct MemoryListener {
    gate: Gate,
    address: SocketAddr,
    backlog: Inbox<socket::End>,
    env: Env,
    options: TransportOptions,
}

#[async_trait]
impl Listener for MemoryListener {
    fn address(&self) -> String {
        self.address.to_string()
    }

    async fn accept(&self) -> Result<Arc<dyn Socket>> {
        let next = async { self.backlog.next().await.ok_or_else(|| Error::new(ErrorKind::Closed, "accept")) };
        let end = self.gate.pass("accept", next).await?;
        Ok(Arc::new(MemorySocket::new(&self.env, end, &self.options)))
    }

    async fn close(&self) -> Result<()> {
        self.gate.close();
        self.backlog.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::contract::{self, Traits};
    use super::MemoryTransport;

    #[tokio::test(start_paused = true)]
    async fn memory_meets_the_contract() {
        let traits = Traits { keeps_key_case: true, on_network: false };
        contract::check(traits, |env, options| Arc::new(MemoryTransport::new(env, options))).await;
    }
}
