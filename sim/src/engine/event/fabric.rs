//! The one place where time passes: the queue of events, the machines and the links between them. It moves packets and tells
//! which programs have something to do; who runs them is not known here.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::kernel::{BACKLOG, DATAGRAMS_MAX, DatagramEntry, Entry, Kernel, ListenerEntry, Up};
use super::links::Links;
use super::packet::{Body, DATAGRAM_MAX, Ends, Packet};
use super::queue::{Queue, What};
use super::tcp::{Connection, Output, Segment};

/// The fabric as everybody shares it. One thread runs the world, so that nobody ever waits for the lock.
#[derive(Clone, Debug)]
pub(super) struct SharedFabric(Arc<Mutex<Fabric>>);

impl SharedFabric {
    pub(super) fn new(fabric: Fabric) -> Self {
        Self(Arc::new(Mutex::new(fabric)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Fabric> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A host that has run, and when its runtime wants to run again for its own timers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran {
    pub(super) host: u32,
    pub(super) wants: Option<u64>,
}

/// The world's machines, links and events.
#[derive(Debug)]
pub(super) struct Fabric {
    /// Nanoseconds since the world began.
    pub(super) now: u64,
    pub(super) links: Links,
    pub(super) kernels: Vec<Kernel>,
    /// Hosts whose programs have something to do now, in this order.
    pub(super) ready: VecDeque<u32>,
    names: BTreeMap<String, u32>,
    addresses: BTreeMap<IpAddr, u32>,
    queue: Queue,
    ids: u64,
    /// Ends that owe an acknowledgment, which is sent when nobody has anything to do at this moment.
    acknowledge: Vec<(u32, u64)>,
    output: Output,
}

impl Fabric {
    pub(super) fn new(links: Links) -> Self {
        Self {
            now: 0,
            links,
            kernels: Vec::new(),
            ready: VecDeque::new(),
            names: BTreeMap::new(),
            addresses: BTreeMap::new(),
            queue: Queue::default(),
            ids: 0,
            acknowledge: Vec::new(),
            output: Output::default(),
        }
    }

    /// Adds a machine; its number and address.
    pub(super) fn add(&mut self, name: &str, first_port: u16) -> (u32, IpAddr) {
        let number = u32::try_from(self.kernels.len()).unwrap_or(u32::MAX);
        let address = IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 1).to_bits() + number));
        self.kernels.push(Kernel::new(address, first_port));
        self.names.insert(name.to_owned(), number);
        self.addresses.insert(address, number);
        (number, address)
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    fn kernel(&mut self, host: u32) -> &mut Kernel {
        &mut self.kernels[host as usize]
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    // Events.

    /// When the next event is due.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.queue.next_at()
    }

    /// Does the next event; its time is now.
    pub(super) fn step(&mut self) {
        let Some(event) = self.queue.pop() else { return };
        self.now = self.now.max(event.at);
        match event.what {
            What::Arrive(place) => {
                if let Some((broken, packet)) = self.queue.arrived(place)
                    && self.links.arrives(&packet, broken)
                {
                    self.arrive(packet);
                }
            }
            What::Timers(host) => self.on_timers(host, event.at),
            What::Runtime(host) => {
                if self.kernel(host).runtime_event == Some(event.at) {
                    self.kernel(host).runtime_event = None;
                    self.make_ready(host);
                }
            }
            What::Connection(host, id) => {
                let now = self.now;
                self.with_connection(host, id, |entry, output| {
                    entry.timer_event = None;
                    if entry.connection.deadline().is_some_and(|deadline| deadline <= now) {
                        entry.connection.on_timer(now, output);
                    }
                });
            }
        }
    }

    /// Sends the acknowledgments that found nothing to travel with; whether there were any.
    pub(super) fn acknowledge(&mut self) -> bool {
        let mut list = std::mem::take(&mut self.acknowledge);
        let mut any = false;
        for (host, id) in list.drain(..) {
            let Some(entry) = self.kernel(host).connections.get_mut(id) else { continue };
            entry.listed = false;
            if entry.connection.acknowledgment_is_pending() {
                any = true;
                self.with_connection(host, id, |entry, output| entry.connection.acknowledge(output));
            }
        }
        list.append(&mut self.acknowledge);
        self.acknowledge = list;
        any
    }

    /// The next program that has something to do, and its tasks that can go on. What the one before wants is `ran`'s.
    pub(super) fn next_ready(&mut self, ran: Option<Ran>, wakers: &mut Vec<Waker>) -> Option<u32> {
        if let Some(Ran { host, wants }) = ran {
            self.runtime_wants(host, wants);
        }
        let host = self.ready.pop_front()?;
        let kernel = self.kernel(host);
        kernel.ready = false;
        wakers.append(&mut kernel.wakers);
        Some(host)
    }

    /// The program of `host` has something to do.
    pub(super) fn make_ready(&mut self, host: u32) {
        let kernel = self.kernel(host);
        if !kernel.ready && kernel.up == Up::Program {
            kernel.ready = true;
            if !kernel.paused {
                self.ready.push_back(host);
            }
        }
    }

    /// The runtime of `host` wants to run at `at` for its own timers.
    fn runtime_wants(&mut self, host: u32, at: Option<u64>) {
        let at = at.map(|at| at.max(self.now));
        if self.kernel(host).runtime_event != at {
            self.kernel(host).runtime_event = at;
            if let Some(at) = at {
                self.queue.push(at, What::Runtime(host));
            }
        }
    }

    // Links.

    /// Lets `change` change links, and arranges for what it releases.
    pub(super) fn change_links(&mut self, change: impl FnOnce(&mut Links, u64, &mut Queue)) {
        change(&mut self.links, self.now, &mut self.queue);
    }

    fn send(&mut self, packet: Packet) {
        self.links.send(self.now, packet, &mut self.queue);
    }

    fn arrive(&mut self, packet: Packet) {
        let host = packet.to;
        if self.kernel(host).up == Up::Nothing {
            return;
        }
        match packet.body {
            Body::Udp(payload) => self.datagram_arrives(host, packet.source, packet.target, payload),
            Body::Tcp(segment) => {
                let (kernel, ends) = (&self.kernels[host as usize], packet.ends);
                let is_meant = |entry: &Entry| entry.local == packet.target && entry.peer == packet.source;
                let id = if kernel.connections.get(ends.receiver).is_some_and(is_meant) {
                    Some(ends.receiver)
                } else {
                    kernel.by_peer.get(&(packet.target, packet.source)).copied()
                };
                match id {
                    Some(id) => {
                        let now = self.now;
                        self.with_connection(host, id, |entry, output| {
                            entry.peer_id = ends.sender;
                            entry.connection.on_segment(now, segment, output)
                        });
                    }
                    None => self.segment_for_nobody(Packet { body: Body::Udp(Bytes::new()), ..packet }, segment),
                }
            }
        }
    }

    /// `packet` has brought `segment`.
    fn segment_for_nobody(&mut self, packet: Packet, segment: Segment) {
        let Packet { from, to: host, source, target, .. } = packet;
        let kernel = &mut self.kernels[host as usize];
        let listener = kernel.listeners.get(&target.port());
        let listener = listener.filter(|listener| !listener.loopback_only || target.ip().is_loopback());
        let begins = segment.syn && segment.acknowledgment.is_none();
        match listener {
            // A full queue is silent: the peer tries again (Linux: tcp_abort_on_overflow is 0).
            Some(listener) if begins && listener.queue.len() >= BACKLOG => {}
            Some(_) if begins => {
                let unique = self.id();
                let connection = Connection::accept(self.now, initial_sequence(unique), &segment, &mut self.output);
                let id = self.insert(host, unique, (target, source, from), connection);
                self.with_connection(host, id, |entry, _| entry.peer_id = packet.ends.sender);
            }
            _ => {
                if let Some(reset) = segment.reset() {
                    let (link, ends) = (self.links.place(host, from), Ends { sender: 0, receiver: packet.ends.sender });
                    let (source, target) = (target, source);
                    self.send(Packet { from: host, to: from, link, ends, source, target, body: Body::Tcp(reset) });
                }
            }
        }
    }

    // Connections.

    fn insert(
        &mut self,
        host: u32,
        unique: u64,
        (local, peer, peer_host): (SocketAddr, SocketAddr, u32),
        connection: Connection,
    ) -> u64 {
        let link = self.links.place(host, peer_host);
        let entry = Entry { connection, local, peer, peer_host, link, peer_id: 0, timer_event: None, listed: false };
        let kernel = self.kernel(host);
        let id = kernel.connections.insert(unique, entry);
        kernel.by_peer.insert((local, peer), id);
        id
    }

    /// Lets `step` happen to an end of a connection, and does what comes out of it. Nothing when it is gone.
    fn with_connection<T>(&mut self, host: u32, id: u64, step: impl FnOnce(&mut Entry, &mut Output) -> T) -> Option<T> {
        let kernel = &mut self.kernels[host as usize];
        let entry = kernel.connections.get_mut(id)?;
        let result = step(entry, &mut self.output);
        let (source, target, to) = (entry.local, entry.peer, entry.peer_host);
        let (link, ends) = (entry.link, Ends { sender: id, receiver: entry.peer_id });
        if entry.connection.acknowledgment_is_pending() && !entry.listed {
            entry.listed = true;
            self.acknowledge.push((host, id));
        }
        let deadline = entry.connection.deadline();
        let due = deadline.filter(|deadline| entry.timer_event.is_none_or(|event| event > *deadline));
        if entry.connection.is_gone() {
            kernel.connections.remove(id);
            kernel.by_peer.remove(&(source, target));
        } else if let Some(due) = due {
            entry.timer_event = Some(due);
            self.queue.push(due, What::Connection(host, id));
        }
        if !self.output.wakers.is_empty() {
            self.kernels[host as usize].wakers.append(&mut self.output.wakers);
            self.make_ready(host);
        }
        if !self.output.segments.is_empty() {
            let mut segments = std::mem::take(&mut self.output.segments);
            for segment in segments.drain(..) {
                self.send(Packet { from: host, to, link, ends, source, target, body: Body::Tcp(segment) });
            }
            self.output.segments = segments;
        }
        if std::mem::take(&mut self.output.established) {
            self.enqueue(host, id, source.port());
        }
        Some(result)
    }

    /// Resets what `host` has of connections with `peer_host`.
    pub(super) fn reset(&mut self, host: u32, peer_host: u32) {
        let kernel = self.kernel(host);
        let is_meant = |id: &u64| kernel.connections.get(*id).is_some_and(|entry| entry.peer_host == peer_host);
        let ids: Vec<u64> = kernel.by_peer.values().copied().filter(is_meant).collect();
        for id in ids {
            self.with_connection(host, id, |entry, output| entry.connection.reset(output));
        }
    }

    fn enqueue(&mut self, host: u32, id: u64, port: u16) {
        let kernel = self.kernel(host);
        match kernel.listeners.get_mut(&port) {
            Some(listener) => {
                listener.queue.push_back(id);
                kernel.wakers.extend(listener.waker.take());
                self.make_ready(host);
            }
            None => self.let_go(host, id),
        }
    }

    /// Begins to connect from `host`; the number of this end, and its address.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) fn connect(&mut self, host: u32, peer_host: u32, peer: SocketAddr) -> io::Result<(u64, SocketAddr)> {
        let kernel = self.kernel(host);
        let port = kernel.free_port()?;
        let address = if peer.ip().is_loopback() { peer.ip() } else { kernel.address };
        let local = SocketAddr::new(address, port);
        let unique = self.id();
        let connection = Connection::connect(self.now, initial_sequence(unique), &mut self.output);
        let id = self.insert(host, unique, (local, peer, peer_host), connection);
        self.with_connection(host, id, |_, _| ());
        Ok((id, local))
    }

    pub(super) fn poll_connected(&mut self, host: u32, id: u64, context: &Context<'_>) -> Poll<io::Result<()>> {
        match self.kernel(host).connections.get_mut(id) {
            Some(entry) => entry.connection.poll_connected(context),
            None => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        }
    }

    pub(super) fn poll_read(
        &mut self,
        host: u32,
        id: u64,
        context: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(entry) = self.kernel(host).connections.get_mut(id) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        let read = entry.connection.poll_read(context, buffer);
        // Nothing comes out of having read nothing.
        if read.is_ready() {
            self.with_connection(host, id, |_, _| ());
        }
        read
    }

    pub(super) fn poll_write(
        &mut self,
        host: u32,
        id: u64,
        context: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let now = self.now;
        self.with_connection(host, id, |entry, output| entry.connection.poll_write(now, context, bytes, output))
            .unwrap_or_else(|| Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())))
    }

    pub(super) fn shut_down(&mut self, host: u32, id: u64) {
        let now = self.now;
        self.with_connection(host, id, |entry, output| entry.connection.shut_down(now, output));
    }

    /// Nobody on `host` holds this end any more.
    pub(super) fn let_go(&mut self, host: u32, id: u64) {
        let now = self.now;
        self.with_connection(host, id, |entry, output| entry.connection.let_go(now, output));
    }

    // Listeners.

    /// Listens; the listener's number and address.
    ///
    /// # Errors
    /// When the address is not the host's, or the port is taken.
    pub(super) fn listen(&mut self, host: u32, address: IpAddr, port: u16) -> io::Result<(u64, SocketAddr)> {
        let id = self.id();
        let kernel = self.kernel(host);
        let local = kernel.bindable(address, port, |kernel, port| kernel.listeners.contains_key(&port))?;
        let loopback_only = local.ip().is_loopback();
        kernel.listeners.insert(local.port(), ListenerEntry { id, loopback_only, ..ListenerEntry::default() });
        Ok((id, local))
    }

    /// The next connection that waits: its number, its own address and the peer's.
    ///
    /// # Errors
    /// When the listener is gone, as after the machine has lost its power.
    pub(super) fn poll_accept(
        &mut self,
        host: u32,
        listener: (u64, u16),
        context: &Context<'_>,
    ) -> Poll<io::Result<(u64, SocketAddr, SocketAddr)>> {
        let kernel = self.kernel(host);
        let Some(entry) = kernel.listeners.get_mut(&listener.1).filter(|entry| entry.id == listener.0) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        while let Some(id) = entry.queue.pop_front() {
            // The peer may have reset it while it waited; Linux gives it out all the same, and so does this.
            if let Some(connection) = kernel.connections.get(id) {
                return Poll::Ready(Ok((id, connection.local, connection.peer)));
            }
        }
        entry.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Closes a listener; connections that wait there are reset.
    pub(super) fn stop_listening(&mut self, host: u32, listener: (u64, u16)) {
        let kernel = self.kernel(host);
        if kernel.listeners.get(&listener.1).is_some_and(|entry| entry.id == listener.0)
            && let Some(entry) = kernel.listeners.remove(&listener.1)
        {
            entry.queue.into_iter().for_each(|id| self.let_go(host, id));
        }
    }

    // Datagrams.

    /// Opens a datagram socket; its number and address.
    ///
    /// # Errors
    /// When the address is not the host's, or the port is taken.
    pub(super) fn bind(&mut self, host: u32, address: IpAddr, port: u16) -> io::Result<(u64, SocketAddr)> {
        let id = self.id();
        let kernel = self.kernel(host);
        let local = kernel.bindable(address, port, |kernel, port| kernel.datagrams.contains_key(&port))?;
        kernel.datagrams.insert(local.port(), DatagramEntry { id, ..DatagramEntry::default() });
        Ok((id, local))
    }

    /// Sends a datagram; to whom nobody is, it is lost.
    ///
    /// # Errors
    /// When it is larger than a datagram can be.
    pub(super) fn send_datagram(
        &mut self,
        host: u32,
        source: SocketAddr,
        target: SocketAddr,
        bytes: &[u8],
    ) -> io::Result<()> {
        if bytes.len() > DATAGRAM_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a datagram of {} bytes is larger than {DATAGRAM_MAX}", bytes.len()),
            ));
        }
        let payload = Bytes::copy_from_slice(bytes);
        let targets: Vec<u32> = if target.ip().is_multicast() {
            let members = self.kernels.iter().enumerate().filter(|(_, kernel)| {
                kernel.datagrams.get(&target.port()).is_some_and(|socket| socket.groups.contains(&target.ip()))
            });
            members.filter_map(|(number, _)| u32::try_from(number).ok()).collect()
        } else {
            self.host_at(host, target.ip()).into_iter().collect()
        };
        for to in targets {
            let (link, ends) = (self.links.place(host, to), Ends::default());
            self.send(Packet { from: host, to, link, ends, source, target, body: Body::Udp(payload.clone()) });
        }
        Ok(())
    }

    fn datagram_arrives(&mut self, host: u32, source: SocketAddr, target: SocketAddr, payload: Bytes) {
        let kernel = self.kernel(host);
        let Some(socket) = kernel.datagrams.get_mut(&target.port()) else { return };
        let member = !target.ip().is_multicast() || socket.groups.contains(&target.ip());
        if member && socket.queue.len() < DATAGRAMS_MAX {
            socket.queue.push_back((payload, source));
            kernel.wakers.extend(socket.waker.take());
            self.make_ready(host);
        }
    }

    /// The next datagram that waits.
    ///
    /// # Errors
    /// When the socket is gone, as after the machine has lost its power.
    pub(super) fn poll_receive(
        &mut self,
        host: u32,
        socket: (u64, u16),
        context: &Context<'_>,
    ) -> Poll<io::Result<(Bytes, SocketAddr)>> {
        match self.socket(host, socket) {
            None => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Some(entry) => match entry.queue.pop_front() {
                Some(datagram) => Poll::Ready(Ok(datagram)),
                None => {
                    entry.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            },
        }
    }

    pub(super) fn join(&mut self, host: u32, socket: (u64, u16), group: IpAddr) -> io::Result<()> {
        if !group.is_multicast() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{group} is no multicast address")));
        }
        let gone = || io::Error::from(io::ErrorKind::ConnectionAborted);
        self.socket(host, socket).ok_or_else(gone)?.groups.insert(group);
        Ok(())
    }

    pub(super) fn unbind(&mut self, host: u32, socket: (u64, u16)) {
        if self.socket(host, socket).is_some() {
            self.kernel(host).datagrams.remove(&socket.1);
        }
    }

    fn socket(&mut self, host: u32, socket: (u64, u16)) -> Option<&mut DatagramEntry> {
        self.kernel(host).datagrams.get_mut(&socket.1).filter(|entry| entry.id == socket.0)
    }

    // Names.

    /// The address of `name`, which may be an address itself.
    ///
    /// # Errors
    /// When nobody is called so, or no host has that address.
    pub(super) fn resolve(&self, name: &str) -> io::Result<IpAddr> {
        if name == "localhost" {
            return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        if let Ok(address) = name.parse::<IpAddr>() {
            let known = address.is_loopback() || self.addresses.contains_key(&address);
            return if known { Ok(address) } else { Err(io::ErrorKind::HostUnreachable.into()) };
        }
        let number = self.names.get(name).copied();
        number
            .map(|number| self.kernels[number as usize].address)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no host is called '{name}'")))
    }

    /// The host that `address` is on, as `host` sees it.
    pub(super) fn host_at(&self, host: u32, address: IpAddr) -> Option<u32> {
        if address.is_loopback() { Some(host) } else { self.addresses.get(&address).copied() }
    }

    // Timers.

    /// Wakes `waker` at `deadline`; the timer's number.
    pub(super) fn set_timer(&mut self, host: u32, deadline: u64, waker: Waker) -> u64 {
        let id = self.id();
        self.kernel(host).timers.insert((deadline, id), waker);
        self.expect_timers(host);
        id
    }

    /// The same timer with another waker; nothing when it has gone off.
    pub(super) fn renew_timer(&mut self, host: u32, timer: (u64, u64), waker: &Waker) {
        if let Some(known) = self.kernel(host).timers.get_mut(&timer)
            && !known.will_wake(waker)
        {
            known.clone_from(waker);
        }
    }

    pub(super) fn drop_timer(&mut self, host: u32, timer: (u64, u64)) -> Option<Waker> {
        self.kernel(host).timers.remove(&timer)
    }

    /// Sees to it that there is an event for the first timer.
    fn expect_timers(&mut self, host: u32) {
        let kernel = self.kernel(host);
        let first = kernel.timers.first_key_value().map(|((deadline, _), _)| *deadline);
        if let Some(at) = first
            && kernel.timer_event.is_none_or(|event| event > at)
        {
            kernel.timer_event = Some(at);
            self.queue.push(at, What::Timers(host));
        }
    }

    fn on_timers(&mut self, host: u32, at: u64) {
        if self.kernel(host).timer_event != Some(at) {
            return;
        }
        self.kernel(host).timer_event = None;
        let now = self.now;
        let kernel = self.kernel(host);
        while let Some(first) = kernel.timers.first_entry().filter(|first| first.key().0 <= now) {
            kernel.wakers.push(first.remove());
        }
        if !kernel.wakers.is_empty() {
            self.make_ready(host);
        }
        self.expect_timers(host);
    }
}

/// Different for every connection, so that a segment of an older one is told apart.
fn initial_sequence(id: u64) -> u64 {
    (id << 32) | 1
}
