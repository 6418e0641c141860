//! Who listens where in one namespace. Knows nothing of messages.

use std::collections::BTreeMap;
use std::io;
use std::iter::Cycle;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::socket::End;
use crate::env::{Env, split_host_port};

/// The ports that port 0 stands for.
const FREE_PORTS: Range<u16> = 10_000..30_000;

/// The listeners of one namespace.
#[derive(Debug, Default)]
pub(super) struct State(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    listeners: BTreeMap<SocketAddr, mpsc::Sender<End>>,
    /// Counted, not drawn, because two hosts must not draw the same.
    free_ports: Cycle<Range<u16>>,
}

impl Default for Inner {
    fn default() -> Self {
        Self { listeners: BTreeMap::new(), free_ports: FREE_PORTS.cycle() }
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who listens at `address`; it may have ended, and takes nothing then.
    pub(super) fn listener(&self, address: SocketAddr) -> Option<mpsc::Sender<End>> {
        self.lock().listeners.get(&address).cloned()
    }

    /// A port for a dialling end.
    pub(super) fn free_port(&self) -> u16 {
        self.lock().free_ports.next().unwrap_or(FREE_PORTS.start)
    }

    /// Takes `wanted` for `listener`; port 0 is a free one. `None` when it is taken.
    pub(super) fn register(&self, wanted: SocketAddr, listener: mpsc::Sender<End>) -> Option<SocketAddr> {
        let Inner { listeners, free_ports } = &mut *self.lock();
        // Who was closed, dropped or has crashed with its host has left its place.
        listeners.retain(|_, listener| !listener.is_closed());
        let is_free = |port: &u16| !listeners.contains_key(&SocketAddr::new(wanted.ip(), *port));
        let port = match wanted.port() {
            0 => free_ports.take(FREE_PORTS.len()).find(is_free)?,
            port => Some(port).filter(is_free)?,
        };
        let address = SocketAddr::new(wanted.ip(), port);
        listeners.insert(address, listener);
        Some(address)
    }
}

/// The address that `address` means on this host: no host, an unspecified or a loopback one is the host itself.
pub(super) async fn resolve(env: &Env, address: &str) -> io::Result<SocketAddr> {
    let (host, port) = split_host_port(address)?;
    let own = env.host();
    if ["", "localhost", &own.name].contains(&host) {
        return Ok(SocketAddr::new(own.address, port));
    }
    let address = match host.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_loopback() => own.address,
        Ok(address) => address,
        Err(_) => {
            let addresses = env.network().lookup(host).await?;
            *addresses.first().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?
        }
    };
    Ok(SocketAddr::new(address, port))
}
