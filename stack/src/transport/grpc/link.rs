//! The tasks that drive HTTP/2 connections. A connection lives while somebody holds it; after that it may say its last
//! words, for a bounded time.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::mpsc;

use super::super::config::HEADER_BYTES_MAX;
use super::socket::Incoming;
use super::tracked::Tracked;
use super::{CONNECTION_WINDOW_BYTES, TASK, WINDOW_BYTES};
use crate::env::{Env, Sleep, Stream};

/// How long a connection that nobody holds may take to deliver what was sent.
pub(super) const LINGER: Duration = Duration::from_secs(30);

/// Keeps a connection; sockets and listeners have one each.
#[derive(Clone)]
pub(super) struct Hold {
    /// That all senders are gone is the message that nobody holds it any more.
    sender: mpsc::Sender<Incoming>,
}

/// A connection's view of those who hold it.
pub(super) struct Holders {
    env: Env,
    messages: mpsc::Receiver<Incoming>,
    /// The receiving half of a call that its socket has closed.
    parting: Option<Incoming>,
    linger: Option<Sleep>,
}

/// What is left to do for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// Nothing new.
    Unchanged,
    /// Nobody holds it since this poll.
    LetGo,
    /// It has had its time.
    Over,
}

/// A first hold, and the connection's view.
pub(super) fn hold(env: &Env) -> (Hold, Holders) {
    let (sender, messages) = mpsc::channel(1);
    (Hold { sender }, Holders { env: env.clone(), messages, parting: None, linger: None })
}

impl Hold {
    /// Whether the connection has ended.
    pub(super) fn is_over(&self) -> bool {
        self.sender.is_closed()
    }

    /// A hold that does not hold: the connection gives real ones to its sockets while there are others.
    pub(super) fn downgrade(&self) -> WeakHold {
        WeakHold(self.sender.downgrade())
    }

    /// Lets go of a call that has been ended on this side. h2 cancels a call whose halves are both dropped, and forgets
    /// what it has not written yet; so the receiving half stays with the connection until everything is written.
    pub(super) fn part(self, incoming: Incoming) {
        // It fails when the connection has ended, or has such a half already: there is one call a dialled connection.
        let _ = self.sender.try_send(incoming);
    }
}

/// See [`Hold::downgrade`].
pub(super) struct WeakHold(mpsc::WeakSender<Incoming>);

impl WeakHold {
    pub(super) fn upgrade(&self) -> Option<Hold> {
        self.0.upgrade().map(|sender| Hold { sender })
    }
}

impl Holders {
    /// Looks whether anybody still holds the connection.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Holding {
        let mut state = Holding::Unchanged;
        while self.linger.is_none()
            && let Poll::Ready(message) = self.messages.poll_recv(context)
        {
            match message {
                Some(incoming) => self.parting = Some(incoming),
                None => {
                    self.linger = Some(self.env.sleep(LINGER));
                    state = Holding::LetGo;
                }
            }
        }
        if let Some(linger) = &mut self.linger
            && Pin::new(linger).poll(context).is_ready()
        {
            return Holding::Over;
        }
        state
    }
}

/// Opens the dialling end of a connection on `stream` and drives it until it has ended, in a task of the host.
pub(super) async fn open(env: &Env, stream: Stream) -> Result<(SendRequest<Bytes>, Hold), h2::Error> {
    let blocked = Arc::new(AtomicBool::new(false));
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADER_BYTES_MAX as u32);
    let stream = Tracked::new(stream, blocked.clone());
    let rest = stream.rest();
    let (requests, connection) = builder.handshake(stream).await?;
    let (hold, mut holders) = hold(env);
    let env_of_task = env.clone();
    let task = async move {
        let mut connection = pin!(connection);
        let ended = poll_fn(|context| {
            // Looked at first: what a holder sent before it let go is then written by the connection's own poll.
            let holding = holders.poll(context);
            if holding == Holding::Over {
                return Poll::Ready(false);
            }
            // A connection's failure reaches its streams; there is nobody else to tell.
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            if !blocked.load(Ordering::Relaxed) {
                // Everything is written. Dropping it wakes this task where there is something to say about that.
                holders.parting = None;
            }
            Poll::Pending
        })
        .await;
        if ended {
            rest.end(&env_of_task, LINGER).await;
        }
    };
    env.spawn(TASK, task).detach();
    Ok((requests, hold))
}
