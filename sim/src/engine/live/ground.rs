//! What a live world stands on before it begins: its network, and the ways by which services that are the user's own reach the
//! servers of the world. Time passes only once the world is there.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is where real sockets are wrapped")]

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::links::Links;
use super::network::{Cable, Dialled};
use super::relay::{Life, Way, relay};
use crate::world::WorldError;

/// The network of a world that is to come.
#[derive(Clone, Debug)]
pub struct Ground {
    pub(super) cable: Arc<Cable>,
}

impl Ground {
    /// A network without hosts, on which toxics draw what `seed` decides.
    ///
    /// # Errors
    /// When this machine gives no thread.
    pub fn lay(seed: u64) -> Result<Self, WorldError> {
        let cable = Cable::lay(seed).map_err(|error| WorldError::Engine(format!("there is no network: {error}")))?;
        Ok(Self { cable })
    }

    /// Where `host`, whose program is not ours, reaches `server` at `address`: what it sends there passes the link between the
    /// two, and fares as is done to that link.
    ///
    /// # Errors
    /// When this machine gives no port.
    pub fn way(&self, host: &str, server: &str, address: &str) -> Result<String, WorldError> {
        let broke = |error: &dyn std::fmt::Display| {
            WorldError::Engine(format!("there is no way from {host} to {server}: {error}"))
        };
        let mut found = address.to_socket_addrs().map_err(|error| broke(&error))?;
        let server_at = found.next().ok_or_else(|| broke(&format!("nobody knows the address {address}")))?;
        let (from, to) = (host.to_owned(), server.to_owned());
        let cable = Arc::downgrade(&self.cable);
        let listening = async move {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let local = listener.local_addr()?;
            tokio::spawn(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    let Some(cable) = cable.upgrade() else { return };
                    let (way, links) = (cable.way(&from, &to), (cable.links(), cable.dialled()));
                    // It ends with the connection, at the latest with the world's thread.
                    tokio::spawn(go(socket, server_at, way, links));
                }
            });
            Ok(local)
        };
        let local = self.cable.wait(listening).map_err(|error| broke(&error))?;
        Ok(local.to_string())
    }
}

/// One connection by `way`, made as soon as anything passes.
async fn go(
    mut host: TcpStream,
    server: SocketAddr,
    mut way: Way,
    (links, dialled): (watch::Receiver<Links>, Dialled),
) {
    let mut seen = links.clone();
    if seen.wait_for(|links| links.passes(&way.there) && links.passes(&way.back)).await.is_err() {
        return;
    }
    if links.borrow().is_down(&way.there) {
        // Its system has accepted it, so that it cannot be refused any more.
        let _ = host.set_zero_linger();
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    dialled.count(&mut way);
    let _ = host.set_nodelay(true);
    // Whoever is not ours ends its connections by itself.
    let (_alive, life) = watch::channel(Life::Alive);
    let (mut near, passing) = relay(server, Some((way, links)), life);
    let carried = async {
        let done = copy_bidirectional(&mut host, &mut near).await;
        drop(near);
        done
    };
    let (done, ()) = tokio::join!(carried, passing);
    if done.is_err() {
        let _ = host.set_zero_linger();
    }
}
