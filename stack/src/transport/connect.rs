//! Byte streams for the transports that need them: opening one within a deadline, accepting them one after the other, and
//! what the network's errors mean here. Knows no protocol.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::gate::Gate;
use super::inbox::Inbox;
use super::{DialOptions, Listener, Socket};
use crate::env::{self, Env, Stream, Task, split_host_port};
use crate::opaque::opaque;
use crate::{Error, ErrorKind, Result};

/// Sockets that wait to be accepted, per listener.
pub(super) const BACKLOG: usize = 128;

/// Opens a stream to `address` within the dial time-out.
pub(super) async fn connect(env: &Env, address: &str, options: &DialOptions) -> Result<Stream> {
    check_address("dial", address)?;
    match env.timeout(options.timeout, env.network().connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(unreachable(address, error)),
        Err(_) => Err(timed_out(address, options)),
    }
}

/// Refuses what is no `host:port`.
pub(super) fn check_address(operation: &'static str, address: &str) -> Result<()> {
    split_host_port(address)
        .map(|_| ())
        .map_err(|error| Error::new(ErrorKind::InvalidInput, operation).caused_by(error))
}

/// Nobody could be reached at `address`.
pub(super) fn unreachable(address: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Unreachable, "dial").with("address", address).caused_by(error)
}

/// Nobody answered at `address` in time.
pub(super) fn timed_out(address: &str, options: &DialOptions) -> Error {
    Error::new(ErrorKind::Timeout, "dial").with("address", address).with("limit", format!("{:?}", options.timeout))
}

/// The connection broke.
pub(super) fn disconnected(operation: &'static str, error: io::Error) -> Error {
    Error::new(ErrorKind::Disconnected, operation).caused_by(error)
}

/// `address` cannot be listened at.
pub(super) fn cannot_listen(address: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, "listen").with("address", address).caused_by(error)
}

/// Where others reach a listener that is bound to `local`: an unspecified address becomes the host's.
pub(super) fn advertised(env: &Env, local: SocketAddr) -> SocketAddr {
    if local.ip().is_unspecified() { SocketAddr::new(env.host().address, local.port()) } else { local }
}

/// A listener of streams that a task accepts and makes into sockets.
pub(super) struct StreamListener {
    gate: Gate,
    address: SocketAddr,
    sockets: Inbox<Arc<dyn Socket>>,
    task: Mutex<Option<Task>>,
}

/// What becomes of an accepted stream: a socket of it goes into the sender, at once or later.
#[async_trait]
pub(super) trait Arrival: Send + 'static {
    /// Takes a stream. While it waits, no other is accepted.
    async fn arrive(&mut self, stream: Stream, sockets: &mpsc::Sender<Arc<dyn Socket>>);
}

impl StreamListener {
    /// Listens at `address`; `arrival` is what the task, called `name`, does with each stream.
    pub(super) async fn open(
        env: &Env,
        name: &'static str,
        address: &str,
        arrival: impl Arrival,
    ) -> Result<Arc<dyn Listener>> {
        check_address("listen", address)?;
        let listener = env.network().listen(address).await.map_err(|error| cannot_listen(address, error))?;
        let address = advertised(env, listener.local_address());
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let task = env.spawn(name, accept_all(env.clone(), listener, arrival, sender));
        Ok(Arc::new(Self {
            gate: Gate::new(env.clone(), None),
            address,
            sockets: Inbox::new(receiver),
            task: Mutex::new(Some(task)),
        }))
    }
}

/// Accepts until its task is dropped. A failure, such as too many open files, is waited out.
async fn accept_all(
    env: Env,
    mut listener: Box<dyn env::Listener>,
    mut arrival: impl Arrival,
    sockets: mpsc::Sender<Arc<dyn Socket>>,
) {
    const DELAY: Duration = Duration::from_millis(100);
    loop {
        match listener.accept().await {
            Ok(stream) => arrival.arrive(stream, &sockets).await,
            Err(_) => env.sleep(DELAY).await,
        }
    }
}

#[async_trait]
impl Listener for StreamListener {
    fn address(&self) -> String {
        self.address.to_string()
    }

    async fn accept(&self) -> Result<Arc<dyn Socket>> {
        let next = async { self.sockets.next().await.ok_or_else(|| Error::new(ErrorKind::Closed, "accept")) };
        self.gate.pass("accept", next).await
    }

    async fn close(&self) -> Result<()> {
        self.gate.close();
        self.sockets.close();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // The port is free once the task has dropped the network's listener.
            task.abort();
            task.join().await;
        }
        Ok(())
    }
}

opaque!(StreamListener { address });
