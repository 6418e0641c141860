//! Datagrams of the live world: lost where the link is cut, late where it is slow, kept where it is held.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is where real sockets are wrapped")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use shaketable_stack::env::Datagram;
use tokio::net::UdpSocket;

use super::network::Cable;

/// A datagram socket of a host.
#[derive(Debug)]
pub(super) struct LiveDatagram {
    cable: Arc<Cable>,
    host: String,
    own: Ipv4Addr,
    socket: Arc<UdpSocket>,
    local: SocketAddr,
}

impl LiveDatagram {
    pub(super) fn new(cable: Arc<Cable>, host: &str, own: Ipv4Addr, socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        Ok(Self { cable, host: host.to_owned(), own, socket: Arc::new(socket), local })
    }
}

#[async_trait]
impl Datagram for LiveDatagram {
    async fn send_to(&self, bytes: &[u8], target: SocketAddr) -> io::Result<()> {
        let Some(peer) = self.cable.owner(target) else {
            return self.socket.send_to(bytes, target).await.map(|_| ());
        };
        let (link, mut links) = ((self.host.clone(), peer), self.cable.links());
        let (latency, lost, passes) = {
            let links = links.borrow();
            (links.latency(&link), links.loses(&link), links.passes(&link))
        };
        if lost {
            return Ok(());
        }
        if passes && latency.is_zero() {
            return self.socket.send_to(bytes, target).await.map(|_| ());
        }
        let (socket, bytes) = (self.socket.clone(), bytes.to_vec());
        // It ends with the host's runtime.
        tokio::spawn(async move {
            tokio::time::sleep(latency).await;
            let _ = links.wait_for(|links| links.passes(&link)).await;
            let _ = socket.send_to(&bytes, target).await;
        });
        Ok(())
    }

    async fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer).await
    }

    fn join_multicast(&self, group: IpAddr) -> io::Result<()> {
        match group {
            IpAddr::V4(group) => self.socket.join_multicast_v4(group, self.own),
            IpAddr::V6(group) => self.socket.join_multicast_v6(&group, 0),
        }
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}
