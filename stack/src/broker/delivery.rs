//! Hands the messages of one subscription to its handler, one at a time, in a task of its own with a bounded queue before
//! it. Shared by the brokers of this crate; it knows neither topics' routes nor the network.
//!
//! Ending a subscription drains it: what was accepted before is handled before [`Delivery::finish`] returns, so that a
//! queue loses nothing when a member leaves in order. Nothing is accepted any more meanwhile: whoever waits for room is told
//! so, and may turn to another member.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use super::{Acknowledge, ErrorHandler, Event, Handler, Message, NothingToAcknowledge};
use crate::env::{Env, Task};
use crate::opaque::opaque;
use crate::{Error, ErrorKind, Result};

/// Messages that wait for one handler; beyond it whoever sends waits.
pub(super) const BUFFERED: usize = 1024;

/// How long a subscription that ends may still handle what was accepted before.
const DRAIN: Duration = Duration::from_secs(5);

/// A running subscription. Dropping it ends its task.
pub(super) struct Delivery {
    env: Env,
    gate: Arc<Gate>,
    stop: Arc<Notify>,
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
    /// Starts delivering to `destination`, in a task that is counted under `name`. Messages are put into the sender.
    pub(super) fn start(env: &Env, name: &'static str, destination: Destination) -> (Self, mpsc::Sender<Message>) {
        let (queue, messages) = mpsc::channel(BUFFERED);
        let (ended, done) = watch::channel(());
        let (gate, stop, task_id) = (Arc::<Gate>::default(), Arc::<Notify>::default(), Arc::<OnceLock<_>>::default());
        let task = {
            let (gate, stop, task_id) = (gate.clone(), stop.clone(), task_id.clone());
            async move {
                let _dropped_at_the_end = ended;
                if let Some(id) = tokio::task::try_id() {
                    let _ = task_id.set(id);
                }
                deliver(messages, &destination, &gate, &stop).await;
            }
        };
        let task = Mutex::new(Some(env.spawn(name, task)));
        (Self { env: env.clone(), gate, stop, done, task_id, task }, queue)
    }

    /// Ends the delivery: accepts nothing more, waits up to 5 s until what was accepted is handled, and lets no handler
    /// begin after it has returned. A handler that is still running then is cut off at its next await. From within the
    /// handler itself there is no waiting: the handler goes on, and what was accepted after it is dropped.
    pub(super) async fn finish(&self) {
        self.stop.notify_one();
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
        self.gate.state().closed = true;
        drop(self.task.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

opaque!(Delivery);

async fn deliver(mut messages: mpsc::Receiver<Message>, destination: &Destination, gate: &Gate, stop: &Notify) {
    let acknowledgement: Arc<dyn Acknowledge> = Arc::new(NothingToAcknowledge);
    loop {
        let message = tokio::select! {
            biased;
            () = stop.notified() => {
                messages.close();
                continue;
            }
            message = messages.recv() => message,
        };
        let Some(message) = message else { break };
        let copy = destination.error_handler.as_ref().map(|handler| (handler, message.clone()));
        let event = Event { topic: destination.topic.clone(), message, acknowledgement: acknowledgement.clone() };
        let Some(result) = gate.pass(async { destination.handler.handle(event).await }).await else { break };
        if let (Err(error), Some((error_handler, message))) = (result, copy) {
            error_handler.failed(&destination.topic, &message, &error);
        }
    }
}

/// Decides whether a handler may begin, so that none begins after the gate was closed, on whatever thread it runs.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    begun: Notify,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    /// A handler was let in and has not reached its first await.
    beginning: bool,
}

impl Gate {
    fn state(&self) -> std::sync::MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `handler`, unless the gate is closed. A panic becomes an error.
    async fn pass(&self, handler: impl Future<Output = Result<()>>) -> Option<Result<()>> {
        tokio::pin!(handler);
        {
            let mut state = self.state();
            if state.closed {
                return None;
            }
            state.beginning = true;
        }
        let first = std::future::poll_fn(|context| Poll::Ready(poll_caught(handler.as_mut(), context))).await;
        self.state().beginning = false;
        self.begun.notify_waiters();
        match first {
            Poll::Ready(result) => Some(result),
            Poll::Pending => Some(std::future::poll_fn(|context| poll_caught(handler.as_mut(), context)).await),
        }
    }

    /// Closes the gate; when this returns, every handler that was let in has begun.
    async fn close(&self) {
        loop {
            let begun = self.begun.notified();
            tokio::pin!(begun);
            begun.as_mut().enable();
            {
                let mut state = self.state();
                state.closed = true;
                if !state.beginning {
                    return;
                }
            }
            begun.await;
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
