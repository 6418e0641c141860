//! tokio's channels with a task for each subscriber: broadcast, of messages and of what they share, and one mpsc for each.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use shaketable_stack::broker::Message;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use crate::tally::{Seen, Tally, body};
use crate::{Publishes, Turnover};

/// Room in each channel: as much as this stack's broker has before a subscriber.
const ROOM: usize = 1_024;

/// One broadcast channel.
pub(crate) struct Broadcast<T> {
    sender: broadcast::Sender<T>,
    wrap: fn(Message) -> T,
    subscribers: VecDeque<(Arc<Seen>, JoinHandle<()>)>,
    tally: Arc<Tally>,
}

impl Broadcast<Arc<Message>> {
    /// Everybody gets the same message.
    pub(crate) fn shared(subscribers: usize) -> Self {
        Self::new(subscribers, Arc::new)
    }
}

impl Broadcast<Message> {
    /// Everybody gets a message, as with this stack's broker.
    pub(crate) fn copied(subscribers: usize) -> Self {
        Self::new(subscribers, |message| message)
    }
}

impl<T: AsMessage> Broadcast<T> {
    fn new(subscribers: usize, wrap: fn(Message) -> T) -> Self {
        let (sender, _) = broadcast::channel(ROOM);
        let mut broadcast = Self { sender, wrap, subscribers: VecDeque::new(), tally: Arc::default() };
        (0..subscribers).for_each(|_| broadcast.subscribe_one(0));
        broadcast
    }

    fn subscribe_one(&mut self, next: u64) {
        let (handler, mut messages) = (Arc::new(self.tally.subscriber(next)), self.sender.subscribe());
        let seen = handler.clone();
        let task = Handle::current().spawn(async move {
            loop {
                match messages.recv().await {
                    Ok(message) => handler.handle(&message.as_message().body),
                    Err(broadcast::error::RecvError::Closed) => return,
                    Err(lagged) => panic!("more is on its way than the channel has room for: {lagged}"),
                }
            }
        });
        self.subscribers.push_back((seen, task));
    }
}

/// What a message is in, or is itself.
pub(crate) trait AsMessage: Clone + Send + Debug + 'static {
    fn as_message(&self) -> &Message;
}

impl AsMessage for Message {
    fn as_message(&self) -> &Message {
        self
    }
}

impl AsMessage for Arc<Message> {
    fn as_message(&self) -> &Message {
        self
    }
}

impl<T: AsMessage> Publishes for Broadcast<T> {
    async fn publish(&mut self, number: u64) {
        self.tally.expect(self.subscribers.len());
        let message = Message { body: body(number), ..Message::default() };
        let receivers = self.sender.send((self.wrap)(message)).expect("somebody listens");
        assert_eq!(receivers, self.subscribers.len());
    }

    async fn handled(&mut self) {
        self.tally.complete().await;
    }
}

impl<T: AsMessage> Turnover for Broadcast<T> {
    async fn turn_over(&mut self, next: u64) {
        let (seen, leaving) = self.subscribers.pop_front().expect("there are subscribers");
        leaving.abort();
        assert!(leaving.await.is_err_and(|error| error.is_cancelled()), "it listens until it is told to leave");
        self.tally.leave(&seen, next);
        self.subscribe_one(next);
    }
}

impl<T> Drop for Broadcast<T> {
    fn drop(&mut self) {
        self.subscribers.iter().for_each(|(_, task)| task.abort());
    }
}

/// A bounded channel for each subscriber.
pub(crate) struct PerSubscriber {
    senders: Vec<mpsc::Sender<Message>>,
    tally: Arc<Tally>,
}

impl PerSubscriber {
    pub(crate) fn new(subscribers: usize) -> Self {
        let tally = Arc::<Tally>::default();
        let subscriber = |_| {
            let (sender, mut messages) = mpsc::channel::<Message>(ROOM);
            let seen = tally.subscriber(0);
            // It ends with the sender.
            drop(Handle::current().spawn(async move {
                while let Some(message) = messages.recv().await {
                    seen.handle(&message.body);
                }
            }));
            sender
        };
        Self { senders: (0..subscribers).map(subscriber).collect(), tally: tally.clone() }
    }
}

impl Publishes for PerSubscriber {
    async fn publish(&mut self, number: u64) {
        self.tally.expect(self.senders.len());
        let message = Message { body: body(number), ..Message::default() };
        for sender in &self.senders {
            sender.send(message.clone()).await.expect("somebody listens");
        }
    }

    async fn handled(&mut self) {
        self.tally.complete().await;
    }
}
