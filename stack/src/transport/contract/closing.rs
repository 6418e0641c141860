//! How connections and listeners end.

use std::sync::Arc;
use std::time::Duration;

use super::{Stage, body, fails, message};
use crate::ErrorKind;
use crate::transport::{DialOptions, Socket};

pub(super) async fn check(stage: &impl Fn() -> Stage) {
    for near_closes in [true, false] {
        the_peer_receives_what_was_sent_and_then_the_end(stage(), near_closes).await;
        a_socket_that_is_dropped_is_closed(stage(), near_closes).await;
        after_close_everything_but_close_is_refused(stage(), near_closes).await;
        close_releases_whoever_waits(stage(), near_closes).await;
    }
    sending_to_a_peer_that_has_closed_fails_in_the_end(stage()).await;
    a_closed_listener_releases_accept_and_leaves_its_sockets_alone(stage()).await;
    a_socket_that_was_never_accepted_ends_with_the_listener(stage()).await;
    no_task_is_left(stage()).await;
}

fn pick(near_closes: bool, near: Arc<dyn Socket>, far: Arc<dyn Socket>) -> (Arc<dyn Socket>, Arc<dyn Socket>) {
    if near_closes { (near, far) } else { (far, near) }
}

async fn the_peer_receives_what_was_sent_and_then_the_end(stage: Stage, near_closes: bool) {
    let (_listener, near, far) = stage.connected().await;
    stage.passes(&near, &far, &message(b"hello")).await;
    let (own, peer) = pick(near_closes, near, far);
    // More than the network holds, so that the end must wait its turn behind it.
    let sent = [message(&body(200_000)), message(b""), message(&body(200_001))];
    let send = async {
        for message in &sent {
            own.send(message).await.unwrap();
        }
        own.close().await.unwrap();
    };
    let receive = async {
        for message in &sent {
            stage.same(&peer.recv().await.unwrap(), message);
        }
    };
    stage.soon("what was sent", async { tokio::join!(send, receive) }).await;
    fails(stage.recv(&peer).await, ErrorKind::EndOfStream);
    fails(stage.recv(&peer).await, ErrorKind::EndOfStream);
}

async fn a_socket_that_is_dropped_is_closed(stage: Stage, near_closes: bool) {
    let (_listener, near, far) = stage.connected().await;
    let (own, peer) = pick(near_closes, near, far);
    stage.send(&own, &message(b"last")).await;
    drop(own);
    assert_eq!(stage.recv(&peer).await.unwrap().body, "last");
    fails(stage.recv(&peer).await, ErrorKind::EndOfStream);
}

async fn after_close_everything_but_close_is_refused(stage: Stage, near_closes: bool) {
    let (_listener, near, far) = stage.connected().await;
    let (own, _peer) = pick(near_closes, near, far);
    own.close().await.unwrap();
    own.close().await.unwrap();
    fails(stage.soon("send", own.send(&message(b"late"))).await, ErrorKind::Closed);
    fails(stage.recv(&own).await, ErrorKind::Closed);
    assert!(own.local().starts_with("10.0.0."));
}

async fn close_releases_whoever_waits(stage: Stage, near_closes: bool) {
    let (_listener, near, far) = stage.connected().await;
    let (own, _peer) = pick(near_closes, near, far);
    let big = message(&body(1 << 20));
    let fill = async {
        loop {
            if let Err(error) = own.send(&big).await {
                return error.kind();
            }
        }
    };
    let close = async {
        stage.client_env.sleep(Duration::from_secs(1)).await;
        own.close().await.unwrap();
    };
    let (sent, received, ()) = stage.soon("close", async { tokio::join!(fill, own.recv(), close) }).await;
    assert_eq!(sent, ErrorKind::Closed);
    fails(received, ErrorKind::Closed);
}

async fn sending_to_a_peer_that_has_closed_fails_in_the_end(stage: Stage) {
    let (_listener, near, far) = stage.connected().await;
    far.close().await.unwrap();
    fails(stage.recv(&near).await, ErrorKind::EndOfStream);
    let error = loop {
        if let Err(error) = stage.soon("send", near.send(&message(b"anybody there?"))).await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
}

async fn a_closed_listener_releases_accept_and_leaves_its_sockets_alone(stage: Stage) {
    let (listener, near, far) = stage.connected().await;
    let close = async {
        stage.client_env.sleep(Duration::from_secs(1)).await;
        listener.close().await.unwrap();
    };
    let (accepted, ()) = stage.soon("close", async { tokio::join!(listener.accept(), close) }).await;
    fails(accepted, ErrorKind::Closed);
    fails(listener.accept().await, ErrorKind::Closed);
    listener.close().await.unwrap();
    drop(listener);
    // Longer than anything lingers.
    stage.client_env.sleep(Duration::from_secs(100)).await;
    stage.passes(&near, &far, &message(b"request")).await;
    stage.passes(&far, &near, &message(&body(100_000))).await;
}

async fn a_socket_that_was_never_accepted_ends_with_the_listener(stage: Stage) {
    let listener = stage.listen().await;
    let near = stage.dial(&listener).await;
    // It is on its way when the listener closes.
    stage.client_env.sleep(Duration::from_secs(1)).await;
    listener.close().await.unwrap();
    fails(stage.recv(&near).await, ErrorKind::EndOfStream);
}

async fn no_task_is_left(stage: Stage) {
    let listener = stage.listen().await;
    for _ in 0..100 {
        let near = stage.client.dial(&listener.address(), DialOptions::default()).await.unwrap();
        let far = stage.soon("accept", listener.accept()).await.unwrap();
        stage.passes(&near, &far, &message(b"request")).await;
        stage.passes(&far, &near, &message(b"response")).await;
        near.close().await.unwrap();
        fails(stage.recv(&far).await, ErrorKind::EndOfStream);
    }
    listener.close().await.unwrap();
    // Tasks end by themselves, before anything has had to be cut off.
    stage.client_env.sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.client_env.live_tasks().counts(), std::collections::BTreeMap::new());
    assert_eq!(stage.server_env.live_tasks().counts(), std::collections::BTreeMap::new());
}
