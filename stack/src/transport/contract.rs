//! What every transport does, whatever its wire: one function that each transport's tests call. Everything runs on a
//! paused clock and is given a deadline, so that a hang is a failure.

mod closing;
mod exchange;
mod opening;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{DialOptions, ListenOptions, Listener, Message, Socket, Transport, TransportOptions};
use crate::env::Env;
use crate::env::testing::{Hosts, env};
use crate::metadata::{Metadata, get_ignoring_case};
use crate::{ErrorKind, Result};

/// Where transports may differ.
#[derive(Clone, Copy)]
pub(super) struct Traits {
    /// Header names arrive as they were sent, and nothing beside them.
    pub(super) keeps_key_case: bool,
    /// It opens streams on the network.
    pub(super) on_network: bool,
}

/// Makes the transport under test.
pub(super) type Make = fn(Env, TransportOptions) -> Arc<dyn Transport>;

/// Checks everything.
pub(super) async fn check(traits: Traits, make: Make) {
    let stage = || Stage::new(traits, make, TransportOptions::default());
    opening::check(&stage).await;
    exchange::check(&stage).await;
    closing::check(&stage).await;
}

/// A test's work, which must not hang.
pub(super) async fn soon<T>(work: impl Future<Output = T>) -> T {
    env().timeout(Duration::from_secs(60), work).await.expect("it hangs")
}

/// Two hosts with the transport on each.
struct Stage {
    traits: Traits,
    make: Make,
    client_env: Env,
    server_env: Env,
    client: Arc<dyn Transport>,
    server: Arc<dyn Transport>,
}

impl Stage {
    fn new(traits: Traits, make: Make, options: TransportOptions) -> Self {
        let hosts = Hosts::default();
        let (client_env, server_env) = (hosts.host(1), hosts.host(2));
        let client = make(client_env.clone(), options.clone());
        let server = make(server_env.clone(), options);
        Self { traits, make, client_env, server_env, client, server }
    }

    /// The same with other options on both hosts.
    fn with(self, options: TransportOptions) -> Self {
        self.client.init(options.clone()).unwrap();
        self.server.init(options).unwrap();
        self
    }

    async fn listen(&self) -> Arc<dyn Listener> {
        self.soon("listen", self.server.listen(":0", ListenOptions::default())).await.unwrap()
    }

    async fn dial(&self, listener: &Arc<dyn Listener>) -> Arc<dyn Socket> {
        self.soon("dial", self.client.dial(&listener.address(), DialOptions::default())).await.unwrap()
    }

    /// A listener and the two ends of a connection to it.
    async fn connected(&self) -> (Arc<dyn Listener>, Arc<dyn Socket>, Arc<dyn Socket>) {
        let listener = self.listen().await;
        let near = self.dial(&listener).await;
        let far = self.soon("accept", listener.accept()).await.unwrap();
        (listener, near, far)
    }

    /// Waits, but no longer than any transport may need.
    async fn soon<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        self.client_env.timeout(Duration::from_secs(60), work).await.unwrap_or_else(|_| panic!("{what} hangs"))
    }

    async fn send(&self, socket: &Arc<dyn Socket>, message: &Message) {
        self.soon("send", socket.send(message)).await.unwrap();
    }

    async fn recv(&self, socket: &Arc<dyn Socket>) -> Result<Message> {
        self.soon("recv", socket.recv()).await
    }

    /// Sends on one end and expects it at the other.
    async fn passes(&self, from: &Arc<dyn Socket>, to: &Arc<dyn Socket>, message: &Message) {
        let (sent, received) = self.soon("a message", async { tokio::join!(from.send(message), to.recv()) }).await;
        sent.unwrap();
        self.same(&received.unwrap(), message);
    }

    fn same(&self, received: &Message, sent: &Message) {
        assert!(received.body == sent.body, "body of {} became {} bytes", sent.body.len(), received.body.len());
        if self.traits.keeps_key_case {
            assert_eq!(received.header, sent.header);
        }
        for (name, value) in &sent.header {
            assert_eq!(get_ignoring_case(&received.header, name), Some(value.as_str()), "{name}");
        }
    }
}

fn message(body: &[u8]) -> Message {
    Message { header: header(&[("Micro-Id", "1")]), body: Bytes::copy_from_slice(body) }
}

fn header(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A body in which no two neighbourhoods look alike.
fn body(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 + (index >> 8) * 7) as u8).collect()
}

#[track_caller]
fn fails<T: std::fmt::Debug>(result: Result<T>, expected: ErrorKind) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), expected, "{error}");
}
