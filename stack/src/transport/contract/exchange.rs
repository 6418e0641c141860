//! Messages on an open connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::{Stage, body, fails, header, message};
use crate::ErrorKind;
use crate::transport::{DialOptions, Message, Socket, TransportOptions};

pub(super) async fn check(stage: &impl Fn() -> Stage) {
    headers_and_body_arrive_intact(stage()).await;
    bodies_of_every_size_pass_both_ways(stage()).await;
    a_body_beyond_the_limit_is_refused_and_the_socket_stays_usable(stage()).await;
    a_receiver_with_a_smaller_limit_refuses_and_goes_on_listening(stage()).await;
    headers_beyond_all_measure_are_refused_by_transports_that_limit_them(stage()).await;
    many_messages_wait_to_be_received_in_order(stage()).await;
    both_ends_send_and_receive_at_once(stage()).await;
    a_time_limit_ends_a_recv_and_loses_nothing(stage()).await;
    a_recv_that_is_dropped_loses_nothing(stage()).await;
    several_receivers_share_the_messages(stage()).await;
}

async fn headers_and_body_arrive_intact(stage: Stage) {
    let (_listener, near, far) = stage.connected().await;
    let request = Message {
        header: header(&[
            ("Content-Type", "application/json"),
            ("Micro-Service", "user"),
            ("Micro-Error", "{\"id\":\"a: b\",\"detail\":\"größer, 日本\"}"),
            ("x-empty", ""),
        ]),
        body: bytes::Bytes::from_static(b"\x00{}\r\n\r\n"),
    };
    stage.passes(&near, &far, &request).await;
    let response = Message { header: header(&[("Micro-Id", "7"), ("Micro-Service", "other")]), body: request.body };
    stage.passes(&far, &near, &response).await;
    stage.passes(&near, &far, &Message::default()).await;
    stage.passes(&far, &near, &Message::default()).await;
}

async fn bodies_of_every_size_pass_both_ways(stage: Stage) {
    let (_listener, near, far) = stage.connected().await;
    let limit = TransportOptions::default().message_bytes_max;
    let k16 = 16 << 10;
    for length in [0, 1, 4095, 4096, 4097, k16 - 1, k16, k16 + 1, 1 << 20, limit - 1, limit] {
        stage.passes(&near, &far, &message(&body(length))).await;
        stage.passes(&far, &near, &message(&body(length))).await;
    }
}

async fn a_body_beyond_the_limit_is_refused_and_the_socket_stays_usable(stage: Stage) {
    let (_listener, near, far) = stage.connected().await;
    let big = message(&body(TransportOptions::default().message_bytes_max + 1));
    for _ in 0..2 {
        fails(stage.soon("send", near.send(&big)).await, ErrorKind::TooLarge);
        stage.passes(&near, &far, &message(b"small")).await;
        fails(stage.soon("send", far.send(&big)).await, ErrorKind::TooLarge);
        stage.passes(&far, &near, &message(b"small")).await;
    }
}

async fn a_receiver_with_a_smaller_limit_refuses_and_goes_on_listening(stage: Stage) {
    stage.server.init(TransportOptions { message_bytes_max: 1000, ..TransportOptions::default() }).unwrap();
    let (listener, near, far) = stage.connected().await;
    stage.passes(&near, &far, &message(&body(1000))).await;
    stage.send(&near, &message(&body(1001))).await;
    fails(stage.recv(&far).await, ErrorKind::TooLarge);
    // Whether this connection goes on is the transport's choice; another one does.
    let (near, far) = (stage.dial(&listener).await, listener.accept().await.unwrap());
    stage.passes(&near, &far, &message(b"small")).await;
}

async fn headers_beyond_all_measure_are_refused_by_transports_that_limit_them(stage: Stage) {
    if !stage.traits.on_network {
        return;
    }
    let (_listener, near, far) = stage.connected().await;
    let long = Message { header: header(&[("Long", &"x".repeat(70_000))]), ..Message::default() };
    fails(stage.soon("send", near.send(&long)).await, ErrorKind::TooLarge);
    fails(stage.soon("send", far.send(&long)).await, ErrorKind::TooLarge);
    stage.passes(&near, &far, &message(b"short")).await;
    let fits = Message { header: header(&[("Long", &"x".repeat(50_000))]), ..Message::default() };
    stage.passes(&near, &far, &fits).await;
}

async fn many_messages_wait_to_be_received_in_order(stage: Stage) {
    let (_listener, near, far) = stage.connected().await;
    for (from, to) in [(&near, &far), (&far, &near)] {
        for number in 0..100_u8 {
            stage.send(from, &message(&[number])).await;
        }
        for number in 0..100_u8 {
            assert_eq!(stage.recv(to).await.unwrap().body, [number][..]);
        }
    }
}

async fn both_ends_send_and_receive_at_once(stage: Stage) {
    let (_listener, near, far) = stage.connected().await;
    let numbered = |number: usize| message(&body(3000 + number));
    let send = async |socket: &Arc<dyn Socket>| {
        for number in 0..300 {
            socket.send(&numbered(number)).await.unwrap();
        }
    };
    let receive = async |socket: &Arc<dyn Socket>| {
        for number in 0..300 {
            stage.same(&socket.recv().await.unwrap(), &numbered(number));
        }
    };
    let all = async { tokio::join!(send(&near), send(&far), receive(&near), receive(&far)) };
    stage.soon("exchange", all).await;
}

async fn a_time_limit_ends_a_recv_and_loses_nothing(stage: Stage) {
    let stage =
        stage.with(TransportOptions { timeout: Some(Duration::from_millis(200)), ..TransportOptions::default() });
    let (_listener, near, far) = stage.connected().await;
    let start = stage.client_env.now();
    fails(stage.recv(&far).await, ErrorKind::Timeout);
    assert!(stage.client_env.now() - start >= Duration::from_millis(200));
    stage.passes(&near, &far, &message(b"late")).await;
}

async fn a_recv_that_is_dropped_loses_nothing(stage: Stage) {
    let (_listener, near, far) = stage.connected().await;
    let big = message(&body(1 << 20));
    let patient = async {
        loop {
            // Dropped after every poll that is not the last.
            let mut recv = far.recv();
            if let Poll::Ready(received) = poll_fn(|context| Poll::Ready(recv.as_mut().poll(context))).await {
                return received;
            }
            drop(recv);
            tokio::task::yield_now().await;
        }
    };
    let (sent, received) = stage.soon("recv in pieces", async { tokio::join!(near.send(&big), patient) }).await;
    sent.unwrap();
    stage.same(&received.unwrap(), &big);
}

async fn several_receivers_share_the_messages(stage: Stage) {
    let listener = stage.listen().await;
    let near = stage.client.dial(&listener.address(), DialOptions::default()).await.unwrap();
    let far = stage.soon("accept", listener.accept()).await.unwrap();
    let sent = [message(b"1"), message(b"2")];
    let both = async { tokio::join!(far.recv(), far.recv(), near.send(&sent[0]), near.send(&sent[1])) };
    let (first, second, ..) = stage.soon("two receivers", both).await;
    let mut bodies = [first.unwrap().body, second.unwrap().body];
    bodies.sort();
    assert_eq!(bodies, ["1", "2"]);
}
