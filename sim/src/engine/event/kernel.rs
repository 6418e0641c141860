//! What a simulated machine keeps for its programs: sockets, ports and timers. It outlives a program that dies, and is lost
//! when the machine does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Waker;

use bytes::Bytes;

use super::tcp::Connection;

/// Connections that wait to be accepted (Linux: somaxconn is 4,096, tokio asks for 1,024).
pub(super) const BACKLOG: usize = 1_024;

/// Datagrams that wait to be received; what comes on top is lost (Linux counts bytes: 212,992).
pub(super) const DATAGRAMS_MAX: usize = 256;

/// Ports that are given to who asks for any (RFC 6335).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// What of a machine is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Up {
    /// Machine and program.
    Program,
    /// The machine alone: it refuses connections, and ends those that the program had.
    Machine,
    /// Nothing: it is silent.
    Nothing,
}

/// One machine.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) address: IpAddr,
    pub(super) up: Up,
    pub(super) paused: bool,
    /// Its program has something to do now.
    pub(super) ready: bool,
    pub(super) connections: Connections,
    pub(super) by_peer: BTreeMap<(SocketAddr, SocketAddr), u64>,
    pub(super) listeners: BTreeMap<u16, ListenerEntry>,
    pub(super) datagrams: BTreeMap<u16, DatagramEntry>,
    pub(super) timers: BTreeMap<(u64, u64), Waker>,
    /// Tasks of its program that can go on. They are woken when it runs, within its runtime: from outside that is dearer.
    pub(super) wakers: Vec<Waker>,
    /// When the first timer's event is due.
    pub(super) timer_event: Option<u64>,
    /// When the program's runtime wants to run again for timers that libraries have set.
    pub(super) runtime_event: Option<u64>,
    port: u16,
}

/// One end of a connection, and whose it is.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) connection: Connection,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) peer_host: u32,
    /// The link to the peer.
    pub(super) link: u32,
    /// The other end's number, once it has been heard of.
    pub(super) peer_id: u64,
    /// When its deadline's event is due.
    pub(super) timer_event: Option<u64>,
    /// It stands in the list of those that owe an acknowledgment.
    pub(super) listed: bool,
}

/// The ends of connections on a machine. An end's number says where it is kept; no two ends of a world have the same.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Option<(u64, Entry)>>,
    free: Vec<usize>,
}

/// Bits of an end's number that say where it is kept; a machine has room for a million ends.
const SLOT_BITS: u32 = 20;

impl Connections {
    /// Keeps an end under a number that begins with `unique`.
    pub(super) fn insert(&mut self, unique: u64, entry: Entry) -> u64 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let id = (unique << SLOT_BITS) | slot as u64;
        self.slots[slot] = Some((id, entry));
        id
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Entry> {
        let slot = self.slots.get_mut(slot_of(id))?;
        slot.as_mut().filter(|(own, _)| *own == id).map(|(_, entry)| entry)
    }

    pub(super) fn get(&self, id: u64) -> Option<&Entry> {
        let slot = self.slots.get(slot_of(id))?;
        slot.as_ref().filter(|(own, _)| *own == id).map(|(_, entry)| entry)
    }

    pub(super) fn remove(&mut self, id: u64) {
        let slot = slot_of(id);
        if self.get(id).is_some() {
            self.slots[slot] = None;
            self.free.push(slot);
        }
    }
}

fn slot_of(id: u64) -> usize {
    (id & ((1 << SLOT_BITS) - 1)) as usize
}

/// A listening port.
#[derive(Debug, Default)]
pub(super) struct ListenerEntry {
    pub(super) id: u64,
    pub(super) loopback_only: bool,
    pub(super) queue: VecDeque<u64>,
    pub(super) waker: Option<Waker>,
}

/// A bound datagram socket.
#[derive(Debug, Default)]
pub(super) struct DatagramEntry {
    pub(super) id: u64,
    pub(super) queue: VecDeque<(Bytes, SocketAddr)>,
    pub(super) groups: BTreeSet<IpAddr>,
    pub(super) waker: Option<Waker>,
}

impl Kernel {
    /// `port` is where the search for a free port begins.
    pub(super) fn new(address: IpAddr, port: u16) -> Self {
        Self {
            address,
            up: Up::Program,
            paused: false,
            ready: false,
            connections: Connections::default(),
            by_peer: BTreeMap::new(),
            listeners: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            timers: BTreeMap::new(),
            wakers: Vec::new(),
            timer_event: None,
            runtime_event: None,
            port,
        }
    }

    /// Forgets everything but who it is: the machine has lost its power.
    pub(super) fn forget(&mut self) {
        *self = Self { up: Up::Nothing, ..Self::new(self.address, self.port) };
    }

    /// A port that nobody on this machine uses.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn free_port(&mut self) -> io::Result<u16> {
        let (first, last) = (*EPHEMERAL.start(), *EPHEMERAL.end());
        for _ in EPHEMERAL {
            self.port = if (first..last).contains(&self.port) { self.port + 1 } else { first };
            let port = self.port;
            let used = self.listeners.contains_key(&port)
                || self.datagrams.contains_key(&port)
                || self.by_peer.keys().any(|(local, _)| local.port() == port);
            if !used {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// The address to listen at for `address`, where 0 is any free port.
    ///
    /// # Errors
    /// When the address is not this machine's, or the port is taken.
    pub(super) fn bindable(
        &mut self,
        address: IpAddr,
        port: u16,
        taken: impl Fn(&Self, u16) -> bool,
    ) -> io::Result<SocketAddr> {
        if !address.is_unspecified() && !address.is_loopback() && address != self.address {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = if port == 0 { self.free_port()? } else { port };
        if taken(self, port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let address = if address.is_unspecified() { self.address } else { address };
        Ok(SocketAddr::new(address, port))
    }
}
