//! The tasks that drive HTTP/2 connections. A connection lives while somebody holds it; after that it may say its last
//! words, for a bounded time.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::TASK;
use crate::env::{Env, Sleep, Stream};

/// How long a connection that nobody holds may take to deliver what was sent.
const LINGER: Duration = Duration::from_secs(30);

/// Keeps a connection; sockets and listeners have one each.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    /// Nothing is ever sent: that all senders are gone is the message.
    sender: mpsc::Sender<Infallible>,
}

/// A connection's view of those who hold it.
pub(super) struct Holders {
    env: Env,
    gone: mpsc::Receiver<Infallible>,
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
    let (sender, gone) = mpsc::channel(1);
    (Hold { sender }, Holders { env: env.clone(), gone, linger: None })
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
}

/// See [`Hold::downgrade`].
pub(super) struct WeakHold(mpsc::WeakSender<Infallible>);

impl WeakHold {
    pub(super) fn upgrade(&self) -> Option<Hold> {
        self.0.upgrade().map(|sender| Hold { sender })
    }
}

impl Holders {
    /// Looks whether anybody still holds the connection.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Holding {
        let mut state = Holding::Unchanged;
        if self.linger.is_none() && self.gone.poll_recv(context).is_ready() {
            self.linger = Some(self.env.sleep(LINGER));
            state = Holding::LetGo;
        }
        if let Some(linger) = &mut self.linger
            && Pin::new(linger).poll(context).is_ready()
        {
            return Holding::Over;
        }
        state
    }
}

/// Drives the dialling end of a connection until it has ended, in a task of the host.
pub(super) fn drive(env: &Env, connection: h2::client::Connection<Stream, Bytes>) -> Hold {
    let (hold, mut holders) = hold(env);
    let task = async move {
        let mut connection = pin!(connection);
        poll_fn(|context| {
            // A connection's failure reaches its streams; there is nobody else to tell.
            if connection.as_mut().poll(context).is_ready() || holders.poll(context) == Holding::Over {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    };
    env.spawn(TASK, task).detach();
    hold
}
