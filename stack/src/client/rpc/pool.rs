//! Idle connections, by the address that was dialled. It knows nothing of requests. go-micro takes connections by the
//! dialled address and puts them back under the peer's, so that nothing dialled by a host name is ever reused; here both
//! are the same key.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use crate::Result;
use crate::env::{Env, Instant, Task};
use crate::opaque::opaque;
use crate::transport::{Message, Socket};

/// A connection with one request under way at most.
pub(super) struct Connection {
    socket: Arc<dyn Socket>,
    /// The `recv` of the next response. It is begun before the request is sent, so that a connection that the peer has
    /// closed meanwhile shows it, and never cancelled while the connection is used.
    recv: Pin<Box<dyn Future<Output = Result<Message>> + Send>>,
}

impl Connection {
    pub(super) fn new(socket: Arc<dyn Socket>) -> Self {
        Self { recv: receive(&socket), socket }
    }

    /// Whether nothing has arrived since the last response: no end, no error, no message that nobody asked for.
    async fn is_quiet(&mut self) -> bool {
        poll_fn(|context| Poll::Ready(self.recv.as_mut().poll(context).is_pending())).await
    }

    /// Sends `request` and waits for the next message.
    pub(super) async fn exchange(&mut self, request: &Message) -> Result<Message> {
        self.socket.send(request).await?;
        let response = self.recv.as_mut().await;
        self.recv = receive(&self.socket);
        response
    }

    pub(super) async fn close(self) {
        // Whether the peer hears of it is of no concern to who has given the connection up.
        let _ = self.socket.close().await;
    }
}

fn receive(socket: &Arc<dyn Socket>) -> Pin<Box<dyn Future<Output = Result<Message>> + Send>> {
    let socket = socket.clone();
    Box::pin(async move { socket.recv().await })
}

opaque!(Connection { socket });

/// Idle connections.
#[derive(Debug)]
pub(super) struct Pool {
    env: Env,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: BTreeMap<String, VecDeque<Idle>>,
    count: usize,
    /// Closes what has been idle for too long; there is one while anything is idle.
    sweeper: Option<Task>,
}

#[derive(Debug)]
struct Idle {
    // Behind a mutex only so that the pool is `Sync`; nobody shares it.
    connection: Mutex<Connection>,
    expires: Instant,
}

impl Idle {
    fn into_connection(self) -> Connection {
        self.connection.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    pub(super) fn new(env: Env) -> Self {
        Self { env, state: Mutex::default() }
    }

    /// The connection to `address` that was used last, if one is alive and not older than `ttl`.
    pub(super) async fn take(&self, address: &str, ttl: Duration) -> Option<Connection> {
        loop {
            let idle = self.lock().pop(address)?;
            // A `ttl` that was made shorter meanwhile counts at once.
            let fresh = self.env.now() < idle.expires && idle.expires <= self.env.now() + ttl;
            let mut connection = idle.into_connection();
            if fresh && connection.is_quiet().await {
                return Some(connection);
            }
            connection.close().await;
        }
    }

    /// Keeps `connection` for the next request, unless `size` connections are idle already.
    pub(super) async fn put(self: &Arc<Self>, address: &str, connection: Connection, size: usize, ttl: Duration) {
        let refused = {
            let mut state = self.lock();
            if state.count < size && !ttl.is_zero() {
                let idle = Idle { connection: Mutex::new(connection), expires: self.env.now() + ttl };
                match state.idle.get_mut(address) {
                    Some(queue) => queue.push_back(idle),
                    None => {
                        state.idle.insert(address.to_owned(), VecDeque::from([idle]));
                    }
                }
                state.count += 1;
                if state.sweeper.as_ref().is_none_or(Task::is_finished) {
                    state.sweeper = Some(self.env.spawn("rpc client pool", sweep(Arc::downgrade(self), ttl)));
                }
                None
            } else {
                Some(connection)
            }
        };
        if let Some(connection) = refused {
            connection.close().await;
        }
    }

    /// Closes what is idle.
    pub(super) async fn close(&self) {
        let (idle, sweeper) = {
            let mut state = self.lock();
            state.count = 0;
            (std::mem::take(&mut state.idle), state.sweeper.take())
        };
        if let Some(sweeper) = sweeper {
            sweeper.abort();
            sweeper.join().await;
        }
        for idle in idle.into_values().flatten() {
            idle.into_connection().close().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pop(&mut self, address: &str) -> Option<Idle> {
        let idle = self.idle.get_mut(address)?.pop_back()?;
        self.count -= 1;
        Some(idle)
    }

    /// Takes out what expires at `now` or before, and says when the next one does.
    fn expire(&mut self, now: Instant) -> (Vec<Idle>, Option<Instant>) {
        let mut expired = Vec::new();
        let mut next: Option<Instant> = None;
        for queue in self.idle.values_mut() {
            while queue.front().is_some_and(|idle| idle.expires <= now) {
                expired.extend(queue.pop_front());
            }
            let first = queue.front().map(|idle| idle.expires);
            next = [next, first].into_iter().flatten().min();
        }
        self.idle.retain(|_, queue| !queue.is_empty());
        self.count -= expired.len();
        (expired, next)
    }
}

async fn sweep(pool: Weak<Pool>, ttl: Duration) {
    let Some(mut wait) = pool.upgrade().map(|pool| pool.env.sleep(ttl)) else { return };
    loop {
        wait.await;
        let Some(pool) = pool.upgrade() else { return };
        let (expired, next) = {
            let mut state = pool.lock();
            let (expired, next) = state.expire(pool.env.now());
            if next.is_none() {
                // Whoever puts a connection back from now on starts another sweeper.
                if let Some(sweeper) = state.sweeper.take() {
                    sweeper.detach();
                }
            }
            (expired, next)
        };
        for idle in expired {
            idle.into_connection().close().await;
        }
        let Some(next) = next else { return };
        wait = pool.env.clock().sleep_until(next);
    }
}
