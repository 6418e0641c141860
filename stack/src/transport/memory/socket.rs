//! One end of a connection in memory: a bounded queue each way. A full queue holds the sender up.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::super::config::check_size;
use super::super::gate::Gate;
use super::super::inbox::Inbox;
use super::super::{Message, Socket, TransportOptions};
use crate::env::Env;
use crate::{Error, ErrorKind, Result};

/// Messages that wait to be received, each way.
const QUEUE: usize = 128;

/// What one end of a connection is made of.
#[derive(Debug)]
pub(super) struct End {
    sender: mpsc::Sender<Message>,
    receiver: mpsc::Receiver<Message>,
    local: SocketAddr,
    remote: SocketAddr,
}

/// The two ends of a connection from `near` to `far`.
pub(super) fn pair(near: SocketAddr, far: SocketAddr) -> (End, End) {
    let (to_far, from_near) = mpsc::channel(QUEUE);
    let (to_near, from_far) = mpsc::channel(QUEUE);
    (
        End { sender: to_far, receiver: from_far, local: near, remote: far },
        End { sender: to_near, receiver: from_near, local: far, remote: near },
    )
}

/// A socket on one end.
#[derive(Debug)]
pub(super) struct MemorySocket {
    gate: Gate,
    sender: Mutex<Option<mpsc::Sender<Message>>>,
    messages: Inbox<Message>,
    message_bytes_max: usize,
    local: SocketAddr,
    remote: SocketAddr,
}

impl MemorySocket {
    pub(super) fn new(env: &Env, end: End, options: &TransportOptions) -> Self {
        Self {
            gate: Gate::new(env.clone(), options.timeout),
            sender: Mutex::new(Some(end.sender)),
            messages: Inbox::new(end.receiver),
            message_bytes_max: options.message_bytes_max,
            local: end.local,
            remote: end.remote,
        }
    }
}

#[async_trait]
impl Socket for MemorySocket {
    async fn recv(&self) -> Result<Message> {
        let next = async { self.messages.next().await.ok_or_else(|| Error::new(ErrorKind::EndOfStream, "receive")) };
        let message = self.gate.pass("receive", next).await?;
        check_size("receive", message.body.len(), self.message_bytes_max)?;
        Ok(message)
    }

    async fn send(&self, message: &Message) -> Result<()> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.gate
            .pass("send", async {
                check_size("send", message.body.len(), self.message_bytes_max)?;
                let broken = || Error::new(ErrorKind::Disconnected, "send").detail("the peer has closed");
                sender.ok_or_else(broken)?.send(message.clone()).await.map_err(|_| broken())
            })
            .await
    }

    async fn close(&self) -> Result<()> {
        self.gate.close();
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.messages.close();
        Ok(())
    }

    fn local(&self) -> String {
        self.local.to_string()
    }

    fn remote(&self) -> String {
        self.remote.to_string()
    }
}
