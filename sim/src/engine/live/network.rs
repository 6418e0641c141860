//! The network of the live world: real sockets on loopback addresses, one for each host, so that either end of a connection
//! knows who the other is. The sockets belong to a thread of the world's own and not to the hosts, so that a host that stands
//! still, or has died without a sign, does so without a word from its sockets.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is where real sockets are wrapped")]

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shaketable_stack::env::{Datagram, Listener, Network, Stream, split_host_port};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::datagram::LiveDatagram;
use super::door::Door;
use super::links::Links;
use super::relay::{Life, Way, over, relay, silence};

/// How many connections wait to be accepted.
const BACKLOG: usize = 128;

/// How long it may take to listen somewhere.
const OPENS_WITHIN: Duration = Duration::from_secs(10);

/// What connects the hosts of one world. Its thread ends when it is dropped, and every connection with it.
#[derive(Debug)]
pub(super) struct Cable {
    sockets: Handle,
    links: watch::Sender<Links>,
    /// Decides what toxics draw.
    seed: u64,
    dialled: Dialled,
    names: Mutex<Names>,
    /// Ends the thread when it is dropped.
    _end: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Names {
    hosts: BTreeMap<String, Ipv4Addr>,
    of_addresses: BTreeMap<IpAddr, String>,
    servers: BTreeMap<SocketAddr, String>,
    doors: Vec<Arc<Door>>,
}

/// How many connections were made, by who has dialled whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Dialled(Arc<Mutex<BTreeMap<(String, String), u64>>>);

impl Dialled {
    /// One more was made by `way`, which gets its number.
    pub(super) fn count(&self, way: &mut Way) {
        let mut dialled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = dialled.entry(way.there.clone()).or_default();
        way.number = *count;
        *count += 1;
    }
}

impl Cable {
    /// One without hosts, on which toxics draw what `seed` decides.
    ///
    /// # Errors
    /// When this machine gives no thread.
    pub(super) fn lay(seed: u64) -> io::Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sockets = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("network".to_owned()).spawn(move || {
            // It never gets a word; the other end is dropped with the world.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        let links = watch::Sender::new(Links::default());
        Ok(Arc::new(Self { sockets, links, seed, dialled: Dialled::default(), names: Mutex::default(), _end: end }))
    }

    pub(super) fn add_host(&self, name: &str, address: Ipv4Addr) {
        let mut names = self.names();
        names.hosts.insert(name.to_owned(), address);
        names.of_addresses.insert(IpAddr::V4(address), name.to_owned());
    }

    /// What listens at `addresses` is `name` to those who cut links.
    pub(super) fn add_server(&self, name: &str, addresses: &[String]) {
        let mut names = self.names();
        let addresses = addresses.iter().filter_map(|address| address.parse::<SocketAddr>().ok());
        names.servers.extend(addresses.map(|address| (address, name.to_owned())));
    }

    /// From now on who dials the service behind `door` passes through it.
    pub(super) fn add_door(&self, door: Arc<Door>) {
        self.names().doors.push(door);
    }

    /// Whose service it is that listens at `peer`. What a host of the world listens at is its own.
    fn door(&self, peer: SocketAddr) -> Option<Arc<Door>> {
        let names = self.names();
        let is_host = names.of_addresses.contains_key(&peer.ip()) || names.servers.contains_key(&peer);
        let doors = || names.doors.iter().filter(|_| !is_host);
        let exact = doors().find(|door| door.own().targets().contains(&peer));
        exact.or_else(|| doors().find(|door| door.own().may_be_at(peer))).cloned()
    }

    /// Does something to the links, and tells those whom it concerns.
    pub(super) fn change(&self, change: impl FnOnce(&mut Links)) {
        self.links.send_modify(change);
    }

    pub(super) fn links(&self) -> watch::Receiver<Links> {
        self.links.subscribe()
    }

    /// Whose address it is.
    pub(super) fn owner(&self, address: SocketAddr) -> Option<String> {
        let names = self.names();
        names.of_addresses.get(&address.ip()).or_else(|| names.servers.get(&address)).cloned()
    }

    /// The way of a connection that `from` makes to `to`; it gets its number when it is made.
    pub(super) fn way(&self, from: &str, to: &str) -> Way {
        let (from, to) = (from.to_owned(), to.to_owned());
        Way { there: (from.clone(), to.clone()), back: (to, from), seed: self.seed, number: 0 }
    }

    /// Counts connections.
    pub(super) fn dialled(&self) -> Dialled {
        self.dialled.clone()
    }

    /// Waits until `work` is done on the thread of the sockets, for who is on none that must not wait.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let (done, waits) = std::sync::mpsc::channel();
        self.sockets.spawn(async move {
            // Who has given up needs not be told.
            let _ = done.send(work.await);
        });
        waits.recv_timeout(OPENS_WITHIN).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Runs `work` on the thread of the sockets; dropping the future that is returned ends it.
    fn run<T, W>(&self, work: W) -> impl Future<Output = io::Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = io::Result<T>> + Send + 'static,
    {
        let mut task = Ending(self.sockets.spawn(work));
        async move {
            let ended = (&mut task.0).await;
            ended.unwrap_or_else(|_| Err(io::Error::other("the world is over")))
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Ending<T>(JoinHandle<T>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The network as one life of a host has it.
#[derive(Debug)]
pub(super) struct LiveNetwork {
    cable: Arc<Cable>,
    host: String,
    address: Ipv4Addr,
    life: watch::Receiver<Life>,
}

impl LiveNetwork {
    /// That of `host`, at `address`.
    pub(super) fn new(cable: Arc<Cable>, host: &str, address: Ipv4Addr, life: watch::Receiver<Life>) -> Self {
        Self { cable, host: host.to_owned(), address, life }
    }

    async fn resolve(&self, address: &str) -> io::Result<SocketAddr> {
        let (host, port) = split_host_port(address)?;
        let found = self.lookup(host).await?;
        let first = found.into_iter().next();
        first.map(|ip| SocketAddr::new(ip, port)).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Where to bind for `address`: `:80` is port 80 of this host.
    fn bindable(&self, address: &str) -> io::Result<SocketAddr> {
        let (host, port) = split_host_port(address)?;
        let own = IpAddr::V4(self.address);
        if host.is_empty() || host == self.host {
            return Ok(SocketAddr::new(own, port));
        }
        let ip: IpAddr = host.parse().map_err(|_| {
            io::Error::new(io::ErrorKind::AddrNotAvailable, format!("'{host}' is no address of {}", self.host))
        })?;
        Ok(SocketAddr::new(if ip.is_unspecified() { own } else { ip }, port))
    }
}

#[async_trait]
impl Network for LiveNetwork {
    async fn connect(&self, address: &str) -> io::Result<Stream> {
        let peer = self.resolve(address).await?;
        let door = self.cable.door(peer);
        let owner = door.as_ref().map(|door| door.own().host().to_string()).or_else(|| self.cable.owner(peer));
        let mut way = owner.map(|name| self.cable.way(&self.host, &name));
        let dialled = self.cable.dialled();
        let (own, links, life) = (self.address, self.cable.links(), self.life.clone());
        self.cable
            .run(async move {
                let mut seen = links.clone();
                if let Some(way) = &way {
                    // The three packets of a handshake: none of them arrives while either direction is cut.
                    let _ = seen.wait_for(|links| links.passes(&way.there) && links.passes(&way.back)).await;
                    let journey = {
                        let links = links.borrow();
                        links.latency(&way.there) + links.latency(&way.back)
                    };
                    if !journey.is_zero() {
                        tokio::time::sleep(journey).await;
                    }
                    if links.borrow().is_down(&way.there) {
                        return Err(io::ErrorKind::ConnectionRefused.into());
                    }
                }
                let socket = match &door {
                    Some(door) => dial_through(own, door).await?,
                    None => bound(own, peer)?.connect(peer).await?,
                };
                let local = socket.local_addr()?;
                way.iter_mut().for_each(|way| dialled.count(way));
                let (near, passing) = relay(socket, way.map(|way| (way, links)), life);
                // It ends with the connection, at the latest with the world's thread.
                tokio::spawn(passing);
                Ok(Stream::new(near, local, peer))
            })
            .await
    }

    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let address = self.bindable(address)?;
        let life = self.life.clone();
        let (accepted, streams) = mpsc::channel(BACKLOG);
        let local = self.cable.run(async move {
            let listener = TcpListener::bind(address).await?;
            let local = listener.local_addr()?;
            tokio::spawn(accept(listener, accepted, life));
            Ok(local)
        });
        Ok(Box::new(LiveListener { streams, local: local.await? }))
    }

    async fn datagram(&self, address: &str) -> io::Result<Box<dyn Datagram>> {
        // It belongs to the host's own runtime: what is in a datagram's way is decided when it is sent.
        let socket = UdpSocket::bind(self.bindable(address)?).await?;
        Ok(Box::new(LiveDatagram::new(self.cable.clone(), &self.host, self.address, socket)?))
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Some(address) = self.cable.names().hosts.get(host) {
            return Ok(vec![IpAddr::V4(*address)]);
        }
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// A socket of the host's own address, so that the peer knows whose connection it is.
fn bound(own: Ipv4Addr, peer: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if peer.is_ipv4() && peer.ip().is_loopback() {
        socket.bind(SocketAddr::new(IpAddr::V4(own), 0))?;
    }
    Ok(socket)
}

/// Connects to the service behind `door`; whether it takes the connection is the service's own answer.
async fn dial_through(own: Ipv4Addr, door: &Door) -> io::Result<TcpStream> {
    let service = door.reach().await?;
    let socket = bound(own, door.address())?;
    door.expect(socket.local_addr()?, service);
    socket.connect(door.address()).await
}

/// Accepts until the host lets go of its listener. A host that has died without a sign goes on listening as far as its peers
/// can see, and answers nothing, until it comes up again.
async fn accept(listener: TcpListener, accepted: mpsc::Sender<Stream>, mut life: watch::Receiver<Life>) {
    let seen = life.clone();
    let accepting = async {
        while let Ok((socket, peer)) = listener.accept().await {
            let Ok(local) = socket.local_addr() else { continue };
            let (near, passing) = relay(socket, None, seen.clone());
            // Connections outlive their listener; they end with the world's thread.
            tokio::spawn(passing);
            if accepted.send(Stream::new(near, local, peer)).await.is_err() {
                break;
            }
        }
    };
    let is_silent = tokio::select! {
        biased;
        () = silence(&mut life) => true,
        () = accepting => false,
        () = accepted.closed() => false,
    };
    if is_silent {
        over(&mut life).await;
    }
}

#[derive(Debug)]
struct LiveListener {
    streams: mpsc::Receiver<Stream>,
    local: SocketAddr,
}

#[async_trait]
impl Listener for LiveListener {
    async fn accept(&mut self) -> io::Result<Stream> {
        let over = || io::Error::new(io::ErrorKind::NotConnected, "the world is over");
        self.streams.recv().await.ok_or_else(over)
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}
