//! Dialling and listening.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Stage, fails, message};
use crate::ErrorKind;
use crate::env::{Datagram, Listener, Network, Stream};
use crate::transport::{DialOptions, ListenOptions, TransportOptions};

pub(super) async fn check(stage: &impl Fn() -> Stage) {
    ends_know_their_addresses(stage()).await;
    addresses_that_nobody_listens_at_are_unreachable(stage()).await;
    a_port_is_taken_until_its_listener_is_closed_or_dropped(stage()).await;
    many_connections_wait_to_be_accepted(stage()).await;
    options_are_replaced_and_tls_is_refused(stage()).await;
    if stage().traits.on_network {
        a_dial_that_nobody_answers_times_out(stage()).await;
    }
}

async fn ends_know_their_addresses(stage: Stage) {
    let (listener, near, far) = stage.connected().await;
    assert!(listener.address().starts_with("10.0.0.2:"), "{}", listener.address());
    assert_eq!(near.remote(), listener.address());
    assert_eq!(far.local(), listener.address());
    assert_eq!(near.local(), far.remote());
    assert!(near.local().starts_with("10.0.0.1:"), "{}", near.local());
}

async fn addresses_that_nobody_listens_at_are_unreachable(stage: Stage) {
    let dial = |address: &'static str| stage.client.dial(address, DialOptions::default());
    fails(stage.soon("dial", dial("host-2:4")).await, ErrorKind::Unreachable);
    fails(stage.soon("dial", dial("nowhere:4")).await, ErrorKind::Unreachable);
    fails(stage.soon("dial", dial("host-2")).await, ErrorKind::InvalidInput);
    fails(stage.server.listen("host-2", ListenOptions::default()).await, ErrorKind::InvalidInput);
}

async fn a_port_is_taken_until_its_listener_is_closed_or_dropped(stage: Stage) {
    let (listener, other) = (stage.listen().await, stage.listen().await);
    let address = listener.address();
    assert_ne!(address, other.address());
    let listen = || stage.server.listen(&address, ListenOptions::default());
    fails(listen().await, ErrorKind::InvalidInput);
    listener.close().await.unwrap();
    fails(stage.client.dial(&address, DialOptions::default()).await, ErrorKind::Unreachable);
    let listener = listen().await.unwrap();
    let (near, far) = (stage.dial(&listener).await, listener.accept().await.unwrap());
    stage.passes(&near, &far, &message(b"again")).await;
    drop(listener);
    // The task of a listener that was dropped ends as soon as it runs.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    listen().await.unwrap();
}

async fn many_connections_wait_to_be_accepted(stage: Stage) {
    let listener = stage.listen().await;
    let mut near = Vec::new();
    for number in 0..50_u8 {
        let socket = stage.dial(&listener).await;
        stage.send(&socket, &message(&[number])).await;
        near.push(socket);
    }
    for number in 0..50_u8 {
        let far = stage.soon("accept", listener.accept()).await.unwrap();
        let received = stage.recv(&far).await.unwrap();
        assert_eq!(received.body, [number][..]);
        stage.passes(&far, &near[usize::from(number)], &received).await;
    }
}

async fn options_are_replaced_and_tls_is_refused(stage: Stage) {
    let options = TransportOptions { secure: true, message_bytes_max: 7, ..TransportOptions::default() };
    stage.client.init(options.clone()).unwrap();
    assert_eq!(stage.client.options(), options);
    fails(stage.client.dial("host-2:4", DialOptions::default()).await, ErrorKind::Unsupported);
    fails(stage.client.listen(":0", ListenOptions::default()).await, ErrorKind::Unsupported);
}

async fn a_dial_that_nobody_answers_times_out(stage: Stage) {
    let env = stage.client_env.with(|parts| parts.network = Arc::new(Silence));
    let transport = (stage.make)(env.clone(), TransportOptions::default());
    let start = env.now();
    let options = DialOptions { timeout: Duration::from_secs(3), ..DialOptions::default() };
    fails(transport.dial("host-2:4", options).await, ErrorKind::Timeout);
    // tokio's timers are exact to the millisecond.
    let waited = env.now() - start;
    assert!(waited >= Duration::from_secs(3) && waited < Duration::from_millis(3010), "{waited:?}");
}

/// A network on which nobody ever answers.
#[derive(Debug)]
struct Silence;

#[async_trait]
impl Network for Silence {
    async fn connect(&self, _address: &str) -> io::Result<Stream> {
        std::future::pending().await
    }

    async fn listen(&self, _address: &str) -> io::Result<Box<dyn Listener>> {
        std::future::pending().await
    }

    async fn datagram(&self, _address: &str) -> io::Result<Box<dyn Datagram>> {
        std::future::pending().await
    }

    async fn lookup(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}
