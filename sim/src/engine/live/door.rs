//! The door of a service of the user's own: whoever of the world calls it passes here, and what passes is written down as the
//! service's handling of it. The service knows nothing of it, and nothing that passes is changed.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "real sockets live in real time")]

mod handling;
mod http;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::own::OwnHost;
use crate::history::Recorder;

/// How long the service may take to take a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long who is to speak first may take until it is taken for granted that the other one is.
const SPEAKS_WITHIN: Duration = Duration::from_millis(200);

/// Pause before looking once more at what has come so far.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a connection that speaks HTTP/1 begins with.
const METHODS: [&[u8]; 9] = [b"GET", b"HEA", b"POS", b"PUT", b"DEL", b"CON", b"OPT", b"TRA", b"PAT"];

/// Where callers reach one host's service.
#[derive(Debug)]
pub(super) struct Door {
    own: OwnHost,
    recorder: Recorder,
    /// The date at which the world began.
    began: SystemTime,
    address: SocketAddr,
    /// Connections to the service, by the address from which their caller will come.
    expected: Mutex<BTreeMap<SocketAddr, TcpStream>>,
}

impl Door {
    /// Opens a door to the service of `own`; called on the thread of the sockets, which closes it when it ends.
    pub(super) async fn open(own: OwnHost, recorder: Recorder, began: SystemTime) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let door = Arc::new(Self { own, recorder, began, address, expected: Mutex::default() });
        tokio::spawn(accept(door.clone(), listener));
        Ok(door)
    }

    /// Whose door it is.
    pub(super) fn own(&self) -> &OwnHost {
        &self.own
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects to the service, so that whether it takes a connection is known to who asks for one.
    pub(super) async fn reach(&self) -> io::Result<TcpStream> {
        let targets = self.own.targets();
        let connecting = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(targets)).await;
        connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whoever comes from `caller` gets this connection to the service.
    pub(super) fn expect(&self, caller: SocketAddr, service: TcpStream) {
        self.expected().insert(caller, service);
    }

    fn wall(&self) -> SystemTime {
        self.began + self.recorder.now().since_start()
    }

    fn expected(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, TcpStream>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(door: Arc<Door>, listener: TcpListener) {
    while let Ok((caller, from)) = listener.accept().await {
        // Nobody else knows that there is a door.
        let Some(service) = door.expected().remove(&from) else { continue };
        // It ends with the connection, with the service, or with the world's thread.
        tokio::spawn(pass(door.clone(), caller, service));
    }
}

async fn pass(door: Arc<Door>, caller: TcpStream, service: TcpStream) {
    let _ = (caller.set_nodelay(true), service.set_nodelay(true));
    let own = door.own.clone();
    tokio::select! {
        biased;
        () = own.killed() => {}
        () = carry(door, caller, service) => {}
    }
}

async fn carry(door: Arc<Door>, mut caller: TcpStream, mut service: TcpStream) {
    match spoken(&caller, &service).await {
        Some(Spoken::Http1) => http::one(door, caller, service).await,
        Some(Spoken::Http2) => http::two(door, caller, service).await,
        Some(Spoken::Other) => {
            door.own.is_not_understood();
            // How it ends is its two ends' business.
            let _ = copy_bidirectional(&mut caller, &mut service).await;
        }
        None => {}
    }
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
    Other,
}

/// What `caller` begins with, without taking it; nothing when it ends before.
async fn spoken(caller: &TcpStream, service: &TcpStream) -> Option<Spoken> {
    let mut first = [0; 3];
    loop {
        let length = tokio::select! {
            peeked = caller.peek(&mut first) => peeked.ok()?,
            // In HTTP it is the caller who speaks first.
            () = speaks_first(service) => return Some(Spoken::Other),
        };
        match length {
            0 => return None,
            3 => return Some(known(first)),
            // The rest of it is under way.
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

fn known(first: [u8; 3]) -> Spoken {
    match &first {
        b"PRI" => Spoken::Http2,
        first if METHODS.contains(&&first[..]) => Spoken::Http1,
        _ => Spoken::Other,
    }
}

async fn speaks_first(service: &TcpStream) {
    tokio::time::sleep(SPEAKS_WITHIN).await;
    if !matches!(service.peek(&mut [0]).await, Ok(1..)) {
        // It has ended, or broken; that is told when somebody asks for something.
        std::future::pending().await
    }
}
