//! Hands the messages of one subscription to its handler, one at a time, in a task of its own with a bounded queue before
//! it. Shared by the brokers of this crate; it knows neither topics' routes nor the network.
//!
//! Ending a subscription drains it: what was accepted before is handled before [`Delivery::finish`] returns, so that a
//! queue loses nothing when a member leaves in order. Nothing is accepted any more meanwhile: whoever waits for room is told
//! so, and may turn to another member.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::inbox::{Inbox, Lid, Outlet, inbox};
use super::{ErrorHandler, Event, Handler};
use crate::env::{Env, Task};
use crate::opaque::opaque;
use crate::{Error, ErrorKind, Result};

/// Handlers that never wait let others have their turn after so many messages.
const IN_A_ROW: usize = 128;

/// How long a subscription that ends may still handle what was accepted before.
const DRAIN: Duration = Duration::from_secs(5);

/// A running subscription. Dropping it ends its task.
pub(super) struct Delivery {
    env: Env,
    gate: Arc<Gate>,
    lid: Lid,
    done: watch::Receiver<()>,
    task_id: Arc<OnceLock<tokio::task::Id>>,
    task: Mutex<Option<Task>>,
}

/// Whom messages are for.
pub(super) struct Destination {
    /// The topic that was subscribed to.
    pub(super) topic: String,
    /// Receives the messages.
    pub(super) handler: Arc<dyn Handler>,
    /// Is told when the handler fails.
    pub(super) error_handler: Option<Arc<dyn ErrorHandler>>,
}

impl Delivery {
    /// Starts delivering to `destination`, in a task that is counted under `name`. Messages are put into the inbox.
    pub(super) fn start(env: &Env, name: &'static str, destination: Destination) -> (Self, Inbox) {
        let (inbox, outlet) = inbox();
        let (ended, done) = watch::channel(());
        let (gate, lid, task_id) = (Arc::<Gate>::default(), outlet.lid(), Arc::<OnceLock<_>>::default());
        let task = {
            let (gate, task_id) = (gate.clone(), task_id.clone());
            async move {
                let _dropped_at_the_end = ended;
                if let Some(id) = tokio::task::try_id() {
                    let _ = task_id.set(id);
                }
                deliver(outlet, &destination, &gate).await;
            }
        };
        let task = Mutex::new(Some(env.spawn(name, task)));
        (Self { env: env.clone(), gate, lid, done, task_id, task }, inbox)
    }

    /// Ends the delivery: accepts nothing more, waits up to 5 s until what was accepted is handled, and lets no handler
    /// begin after it has returned. A handler that is still running then is cut off at its next await. From within the
    /// handler itself there is no waiting: the handler goes on, and what was accepted after it is dropped.
    pub(super) async fn finish(&self) {
        self.lid.close();
        let own = self.task_id.get().is_some_and(|id| tokio::task::try_id() == Some(*id));
        if !own {
            let mut done = self.done.clone();
            let _ = self.env.timeout(DRAIN, async move { while done.changed().await.is_ok() {} }).await;
        }
        self.gate.close().await;
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        match task {
            Some(task) if own => task.detach(),
            other => drop(other),
        }
    }

    /// Ends the delivery at the handler's next await, without waiting.
    pub(super) fn abort(&self) {
        self.gate.shut();
        drop(self.task.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

opaque!(Delivery);

async fn deliver(mut outlet: Outlet, destination: &Destination, gate: &Gate) {
    let topic: Arc<str> = destination.topic.as_str().into();
    let mut in_a_row = 0;
    while outlet.take().await {
        while let Some(message) = outlet.next() {
            if !gate.enter() {
                return;
            }
            let copy = destination.error_handler.as_ref().map(|handler| (handler, message.clone()));
            let event = Event { topic: topic.clone(), message, acknowledgement: None };
            let handling = async { destination.handler.handle(event).await };
            tokio::pin!(handling);
            let first = std::future::poll_fn(|context| Poll::Ready(poll_caught(handling.as_mut(), context))).await;
            let result = match first {
                Poll::Ready(result) => result,
                Poll::Pending => {
                    gate.leave();
                    outlet.give_back();
                    in_a_row = 0;
                    std::future::poll_fn(|context| poll_caught(handling.as_mut(), context)).await
                }
            };
            if let (Err(error), Some((error_handler, message))) = (result, copy) {
                error_handler.failed(&destination.topic, &message, &error);
            }
            in_a_row += 1;
            if in_a_row == IN_A_ROW {
                gate.leave();
                outlet.give_back();
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
        gate.leave();
    }
}

/// Decides whether a handler may begin, so that none begins after the gate was closed, on whatever thread it runs.
#[derive(Debug, Default)]
struct Gate {
    state: AtomicU8,
    left: Notify,
}

/// No handler may begin any more.
const CLOSED: u8 = 1;

/// Handlers begin, one after the other, until one waits.
const INSIDE: u8 = 2;

impl Gate {
    /// Whether a handler may begin. Until [`leave`](Self::leave) nobody is told that the gate is closed.
    fn enter(&self) -> bool {
        let state = self.state.load(Ordering::Acquire);
        // Who is inside already need not say so again.
        let state = if state == INSIDE { state } else { self.state.fetch_or(INSIDE, Ordering::AcqRel) };
        if state & CLOSED != 0 {
            self.leave();
        }
        state & CLOSED == 0
    }

    /// No handler is about to begin.
    fn leave(&self) {
        if self.state.fetch_and(!INSIDE, Ordering::AcqRel) & CLOSED != 0 {
            self.left.notify_waiters();
        }
    }

    /// Lets no further handler begin, sooner or later.
    fn shut(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Closes the gate; when this returns, every handler that was let in has begun.
    async fn close(&self) {
        self.shut();
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.state.load(Ordering::Acquire) & INSIDE == 0 {
                return;
            }
            left.await;
        }
    }
}

fn poll_caught(
    handler: Pin<&mut impl Future<Output = Result<()>>>,
    context: &mut std::task::Context<'_>,
) -> Poll<Result<()>> {
    std::panic::catch_unwind(AssertUnwindSafe(|| handler.poll(context))).unwrap_or_else(|_| {
        Poll::Ready(Err(Error::new(ErrorKind::Internal, "handle event").detail("the handler panicked")))
    })
}
