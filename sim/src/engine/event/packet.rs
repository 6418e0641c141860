//! What travels through a link.

use std::net::SocketAddr;

use bytes::Bytes;

use super::tcp::{HEADERS, Segment};

/// Headers of IPv4 and UDP, in bytes.
const UDP_HEADERS: usize = 28;

/// Largest payload of a datagram, in bytes: what UDP's 16 bits of length leave.
pub(super) const DATAGRAM_MAX: usize = 65_507;

/// A packet. Hosts are numbers, because links are between hosts and not between addresses.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) from: u32,
    pub(super) to: u32,
    /// The link that it takes.
    pub(super) link: u32,
    /// The ends of the connection that it belongs to, as far as they are known; 0 is none.
    pub(super) ends: Ends,
    pub(super) source: SocketAddr,
    pub(super) target: SocketAddr,
    pub(super) body: Body,
}

/// The ends of a connection as the sender knows them. They save looking for addresses, and decide nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    pub(super) sender: u64,
    pub(super) receiver: u64,
}

/// What a packet carries.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Tcp(Segment),
    Udp(Bytes),
}

impl Packet {
    /// Bytes on the wire.
    pub(super) fn size(&self) -> u64 {
        let size = match &self.body {
            Body::Tcp(segment) => HEADERS + segment.payload.len(),
            Body::Udp(payload) => UDP_HEADERS + payload.len(),
        };
        size as u64
    }
}
