//! Connections of the `grpc` client: one HTTP/2 connection per dialled address, shared by its requests, watched by pings
//! while requests are under way, ended when it has been idle for long. It knows nothing of gRPC's messages.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use h2::client::SendRequest;
use h2::{Ping, PingPong};
use http::uri::Authority;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::env::{Env, Instant, Stream, Task};
use crate::grpc::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use crate::{Error, ErrorKind, Result};

/// How often a connection with requests under way is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// How long a peer has to answer a ping; then it counts as dead.
const PONG_TIMEOUT: Duration = Duration::from_secs(2);

/// The same while large messages pass: a ping waits behind what is sent before it, and its answer likewise.
const PONG_TIMEOUT_BUSY: Duration = Duration::from_secs(20);

/// Connections by address.
#[derive(Debug)]
pub(super) struct Connections {
    env: Env,
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
}

/// The connection to one address. The lock is held while dialling, so that callers share one dial.
#[derive(Debug, Default)]
struct Slot(tokio::sync::Mutex<Option<Arc<Connection>>>);

impl Connections {
    pub(super) fn new(env: Env) -> Self {
        Self { env, slots: Mutex::default() }
    }

    /// As [`lease`](Self::lease), where a connection is open and nobody is dialling; `None` otherwise.
    pub(super) fn lease_open(&self, address: &str) -> Option<Lease> {
        let slots = self.lock();
        let connection = slots.get(address)?.0.try_lock().ok()?;
        Connection::lease(connection.as_ref()?)
    }

    /// The right to send one request to `address`, on a connection that is alive as far as this end knows.
    ///
    /// # Errors
    /// `Unreachable`: nothing was sent. `InvalidInput` for what is no address.
    pub(super) async fn lease(&self, address: &str, size: usize, ttl: Duration) -> Result<Lease> {
        let slot = self.slot(address, size);
        let mut connection = slot.0.lock().await;
        if let Some(lease) = connection.as_ref().and_then(Connection::lease) {
            return Ok(lease);
        }
        let authority = Authority::try_from(address)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, "dial").with("address", address).caused_by(error))?;
        let dialled = Connection::dial(&self.env, address, authority, ttl)
            .await
            .map_err(|error| Error::new(ErrorKind::Unreachable, "dial").with("address", address).caused_by(error))?;
        let lease = Connection::lease(&dialled);
        *connection = Some(dialled);
        lease.ok_or_else(|| Error::new(ErrorKind::Unreachable, "dial").with("address", address))
    }

    /// Asks the peer at `address` for a sign of life, after a request to it has not been answered in time.
    pub(super) fn probe(&self, address: &str) {
        let slot = self.lock().get(address).cloned();
        if let Some(slot) = slot
            && let Ok(connection) = slot.0.try_lock()
            && let Some(connection) = &*connection
        {
            connection.life.probe.notify_one();
        }
    }

    /// Gives up all connections; those with requests under way end with their last request.
    pub(super) fn close(&self) {
        self.lock().clear();
    }

    /// The slot of `address`. Beyond `size` slots those without a request under way are given up.
    fn slot(&self, address: &str, size: usize) -> Arc<Slot> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(address) {
            return slot.clone();
        }
        while slots.len() >= size.max(1) {
            let idle = slots.iter().find(|(_, slot)| slot.is_idle()).map(|(address, _)| address.clone());
            let Some(idle) = idle else { break };
            slots.remove(&idle);
        }
        slots.entry(address.to_owned()).or_default().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn is_idle(&self) -> bool {
        let Ok(connection) = self.0.try_lock() else { return false };
        connection.as_ref().is_none_or(|connection| connection.life.lock().active == 0)
    }
}

/// One HTTP/2 connection.
#[derive(Debug)]
struct Connection {
    authority: Authority,
    sender: SendRequest<Bytes>,
    life: Arc<Life>,
    _driver: Task,
}

#[derive(Debug)]
struct Life {
    env: Env,
    state: Mutex<State>,
    probe: Notify,
    /// Something has arrived, or had to wait until it could be sent, since this was last looked at.
    busy: AtomicBool,
}

#[derive(Debug)]
struct State {
    active: usize,
    idle_since: Instant,
    ended: bool,
}

impl Connection {
    async fn dial(
        env: &Env,
        address: &str,
        authority: Authority,
        ttl: Duration,
    ) -> Result<Arc<Self>, Box<dyn std::error::Error + Send + Sync>> {
        let stream = env.network().connect(address).await?;
        let state = State { active: 0, idle_since: env.now(), ended: false };
        let life = Arc::new(Life {
            env: env.clone(),
            state: Mutex::new(state),
            probe: Notify::new(),
            busy: AtomicBool::new(false),
        });
        let (sender, mut connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .enable_push(false)
            .handshake::<Watched, Bytes>(Watched { stream, life: life.clone() })
            .await?;
        let pings = connection.ping_pong();
        let driver = env.spawn("grpc client connection", drive(connection, pings, life.clone(), ttl));
        Ok(Arc::new(Self { authority, sender, life, _driver: driver }))
    }

    fn lease(self: &Arc<Self>) -> Option<Lease> {
        let mut state = self.life.lock();
        if state.ended {
            return None;
        }
        state.active += 1;
        Some(Lease { sender: self.sender.clone(), connection: self.clone() })
    }
}

impl Life {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to one request; it keeps the connection.
#[derive(Debug)]
pub(super) struct Lease {
    /// Opens the request's stream.
    pub(super) sender: SendRequest<Bytes>,
    connection: Arc<Connection>,
}

impl Lease {
    /// The address that was dialled.
    pub(super) fn authority(&self) -> Authority {
        self.connection.authority.clone()
    }

    /// The connection turned out to be unusable: nobody gets it again.
    pub(super) fn give_up(&self) {
        self.connection.life.lock().ended = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.connection.life.lock();
        state.active -= 1;
        state.idle_since = self.connection.life.env.now();
    }
}

/// A stream that tells when it is busy.
struct Watched {
    stream: Stream,
    life: Arc<Life>,
}

impl Watched {
    fn told(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            self.life.busy.store(true, Ordering::Relaxed);
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.life.busy.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.told(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.told(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Moves the connection's bytes until it ends, the peer is dead, or nobody has used it for `ttl`.
async fn drive(
    mut connection: h2::client::Connection<Watched, Bytes>,
    mut pings: Option<PingPong>,
    life: Arc<Life>,
    ttl: Duration,
) {
    let mut pinged: Option<Instant> = None;
    loop {
        let wait = if pinged.is_some() { PONG_TIMEOUT } else { PING_INTERVAL.min(ttl) };
        {
            let (timer, probe) = (life.env.sleep(wait), pin!(life.probe.notified()));
            if let Either::Left(_) = select(&mut connection, select(timer, probe)).await {
                break;
            }
        }
        if let (Some(sent), Some(pings)) = (pinged, &mut pings) {
            let pong = poll_fn(|context| Poll::Ready(pings.poll_pong(context))).await;
            match pong {
                Poll::Ready(Ok(_)) => pinged = None,
                Poll::Pending if life.env.now() - sent < PONG_TIMEOUT => continue,
                Poll::Pending
                    if life.env.now() - sent < PONG_TIMEOUT_BUSY && life.busy.swap(false, Ordering::Relaxed) =>
                {
                    continue;
                }
                _ => break,
            }
        }
        let mut state = life.lock();
        if state.active == 0 && life.env.now() - state.idle_since >= ttl {
            // Under the lock that `lease` takes: no request can have begun.
            state.ended = true;
            return;
        }
        if state.active > 0
            && pinged.is_none()
            && let Some(pings) = &mut pings
            && pings.send_ping(Ping::opaque()).is_ok()
        {
            pinged = Some(life.env.now());
            life.busy.store(false, Ordering::Relaxed);
        }
    }
    life.lock().ended = true;
}
