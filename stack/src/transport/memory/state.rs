//! Who listens where in one namespace. Knows nothing of messages.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::socket::End;
use crate::env::{Env, split_host_port};

/// The ports that port 0 stands for.
const FREE_PORTS: std::ops::Range<u16> = 10_000..30_000;

/// The listeners of one namespace.
#[derive(Debug, Default)]
pub(super) struct State(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    listeners: BTreeMap<SocketAddr, mpsc::Sender<End>>,
    /// How many free ports were handed out; counted, not drawn, because two hosts must not draw the same.
    ports_given: u16,
}

impl Inner {
    fn free_port(&mut self) -> u16 {
        let port = FREE_PORTS.start + self.ports_given % (FREE_PORTS.end - FREE_PORTS.start);
        self.ports_given = self.ports_given.wrapping_add(1) % (FREE_PORTS.end - FREE_PORTS.start);
        port
    }

    /// A listener whose host crashed may still be written down, but nobody is behind it.
    fn is_taken(&self, address: SocketAddr) -> bool {
        self.listeners.get(&address).is_some_and(|listener| !listener.is_closed())
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who listens at `address`.
    pub(super) fn listener(&self, address: SocketAddr) -> Option<mpsc::Sender<End>> {
        self.lock().listeners.get(&address).filter(|listener| !listener.is_closed()).cloned()
    }

    /// A port for a dialling end.
    pub(super) fn free_port(&self) -> u16 {
        self.lock().free_port()
    }

    /// Takes `wanted` for `listener`; port 0 is a free one. `None` when it is taken.
    pub(super) fn register(&self, wanted: SocketAddr, listener: mpsc::Sender<End>) -> Option<Registration> {
        let mut inner = self.lock();
        let mut address = wanted;
        if wanted.port() == 0 {
            let mut tries = FREE_PORTS;
            tries.find(|_| {
                address.set_port(inner.free_port());
                !inner.is_taken(address)
            })?;
        } else if inner.is_taken(address) {
            return None;
        }
        inner.listeners.insert(address, listener.clone());
        Some(Registration { address, listener, state: self.0.clone() })
    }
}

/// A listener's place in the namespace; released when it is dropped.
#[derive(Debug)]
pub(super) struct Registration {
    address: SocketAddr,
    listener: mpsc::Sender<End>,
    state: Arc<Mutex<Inner>>,
}

impl Registration {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Frees the place, unless somebody else has it by now.
    pub(super) fn release(&self) {
        let mut inner = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.listeners.get(&self.address).is_some_and(|listener| listener.same_channel(&self.listener)) {
            inner.listeners.remove(&self.address);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.release();
    }
}

/// The address that `address` means on this host: no host, an unspecified or a loopback one is the host itself.
pub(super) async fn resolve(env: &Env, address: &str) -> io::Result<SocketAddr> {
    let (host, port) = split_host_port(address)?;
    let own = env.host();
    if host.is_empty() || host == "localhost" || host == own.name {
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
