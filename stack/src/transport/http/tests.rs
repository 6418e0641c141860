//! The contract, and the bytes on the wire.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::contract::{self, Traits};
use super::super::{DialOptions, ListenOptions, Message, Transport, TransportOptions};
use super::HttpTransport;
use super::decode::{Decoded, Decoder, Expect};
use super::encode;
use crate::ErrorKind;
use crate::env::testing::Hosts;
use crate::env::{Env, Stream};
use crate::metadata::Metadata;

#[tokio::test(start_paused = true)]
async fn http_meets_the_contract() {
    let traits = Traits { keeps_key_case: false, on_network: true };
    contract::check(traits, |env, options| Arc::new(HttpTransport::new(env, options))).await;
}

fn transport(env: Env) -> HttpTransport {
    HttpTransport::new(env, TransportOptions::default())
}

fn message(header: &[(&str, &str)], body: &'static str) -> Message {
    let header = header.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Message { header, body: Bytes::from_static(body.as_bytes()) }
}

async fn read_exactly(stream: &mut Stream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

#[tokio::test(start_paused = true)]
async fn requests_and_responses_look_as_go_writes_them() {
    contract::soon(async {
    let hosts = Hosts::default();
    let mut listener = hosts.host(2).network().listen(":80").await.unwrap();
    let near = transport(hosts.host(1)).dial("host-2:80", DialOptions::default()).await.unwrap();
    let mut far = listener.accept().await.unwrap();
    let header = [("micro-id", "1"), ("Content-Type", "application/json"), ("Content-Length", "99"), ("X", " a\nb ")];
    near.send(&message(&header, "{}")).await.unwrap();
    let request = "POST / HTTP/1.1\r\nHost: host-2:80\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 2\r\n\
        Content-Type: application/json\r\nMicro-Id: 1\r\nX: a b\r\n\r\n{}";
    read_exactly(&mut far, request).await;
    near.send(&message(&[("Micro-Error", "EOS")], "")).await.unwrap();
    let empty = "POST / HTTP/1.1\r\nHost: host-2:80\r\nUser-Agent: Go-http-client/1.1\r\nTransfer-Encoding: chunked\r\n\
        Micro-Error: EOS\r\n\r\n0\r\n\r\n";
    read_exactly(&mut far, empty).await;

    far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nmicro-id: 1\r\n\r\nokHTTP/1.1 100 Continue\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(near.recv().await.unwrap(), message(&[("Micro-Id", "1")], "ok"));
    far.write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\nboom").await.unwrap();
    let error = near.recv().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Remote);
    assert_eq!(error.status().unwrap().detail, "500 Internal Server Error: boom");
    far.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the").await.unwrap();
    far.write_all(b" end").await.unwrap();
    drop(far);
    assert_eq!(near.recv().await.unwrap(), message(&[], "until the end"));
    assert_eq!(near.recv().await.unwrap_err().kind(), ErrorKind::EndOfStream);
    let invalid = near.send(&message(&[("no name", "")], "")).await.unwrap_err();
    assert_eq!(invalid.kind(), ErrorKind::InvalidInput);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_to_close_says_so() {
    contract::soon(async {
        let hosts = Hosts::default();
        let listener = transport(hosts.host(2)).listen(":80", ListenOptions::default()).await.unwrap();
        let options = DialOptions { connection_close: true, ..DialOptions::default() };
        let near = transport(hosts.host(1)).dial("host-2:80", options).await.unwrap();
        near.send(&Message::default()).await.unwrap();
        let received = listener.accept().await.unwrap().recv().await.unwrap();
        assert_eq!(received.header.get("Connection").map(String::as_str), Some("close"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_reads_pipelined_requests_and_answers_as_often_as_it_likes() {
    contract::soon(async {
        let hosts = Hosts::default();
        let listener = transport(hosts.host(2)).listen(":80", ListenOptions::default()).await.unwrap();
        let mut near = hosts.host(1).network().connect("host-2:80").await.unwrap();
        near.write_all(
            b"POST /any HTTP/1.1\r\nhost: a\r\nx-first: 1\r\nMicro-Id: 1\r\ntransfer-encoding: Chunked\r\n\r\n\
          4;x=y\r\nab\r\n\r\n1\r\nc\r\n0\r\nTrailing: t\r\n\r\nGET / HTTP/1.0\r\nMicro-Id: 2\r\nMicro-Id: 3\r\n\r\n",
        )
        .await
        .unwrap();
        let far = listener.accept().await.unwrap();
        assert_eq!(far.recv().await.unwrap(), message(&[("X-First", "1"), ("Micro-Id", "1")], "ab\r\nc"));
        assert_eq!(far.recv().await.unwrap(), message(&[("Micro-Id", "2")], ""));
        for answer in ["one", "two", ""] {
            far.send(&message(&[("Micro-Id", "2")], answer)).await.unwrap();
            let length = answer.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nMicro-Id: 2\r\nX-First: 1\r\n\r\n{answer}");
            read_exactly(&mut near, &head).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_request_are_answered_and_leave_the_listener_serving() {
    contract::soon(async {
        let hosts = Hosts::default();
        let listener = transport(hosts.host(2)).listen(":80", ListenOptions::default()).await.unwrap();
        let long = format!("POST / HTTP/1.1\r\nA: {}", "x".repeat(70_000));
        let many = format!("POST / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(300));
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n";
        let cases = [
            ("\0\u{1}\u{2}", ErrorKind::InvalidMessage),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ErrorKind::InvalidMessage),
            ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", ErrorKind::InvalidMessage),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ErrorKind::InvalidMessage),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", ErrorKind::InvalidMessage),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", ErrorKind::InvalidMessage),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", ErrorKind::TooLarge),
            (&format!("{chunked}\r\nx\r\n"), ErrorKind::InvalidMessage),
            (&format!("{chunked}\r\n\r\n"), ErrorKind::InvalidMessage),
            (&format!("{chunked}\r\n1\r\nab"), ErrorKind::InvalidMessage),
            (&format!("{chunked}\r\nffffffffffffffff\r\n"), ErrorKind::TooLarge),
            (&format!("{chunked}\r\n1;{}", "x".repeat(5000)), ErrorKind::InvalidMessage),
            (&format!("{chunked}\r\n0\r\n: \r\n\r\n"), ErrorKind::InvalidMessage),
            (&long, ErrorKind::TooLarge),
            (&many, ErrorKind::TooLarge),
            ("POST / HTTP/1.1\r\n", ErrorKind::Disconnected),
            ("", ErrorKind::EndOfStream),
        ];
        for (bytes, expected) in cases {
            let mut near = hosts.host(1).network().connect("host-2:80").await.unwrap();
            let far = listener.accept().await.unwrap();
            let exchange = async {
                // It fails where the other end hangs up before it has read everything.
                let _ = near.write_all(bytes.as_bytes()).await;
                near.shutdown().await.unwrap();
                let mut answer = String::new();
                near.read_to_string(&mut answer).await.unwrap();
                answer
            };
            let receive = async {
                let error = far.recv().await.unwrap_err();
                let refused = far.send(&Message::default()).await.is_err();
                assert!(refused || !matches!(expected, ErrorKind::InvalidMessage | ErrorKind::TooLarge));
                far.close().await.unwrap();
                error.kind()
            };
            let (answer, kind) = tokio::join!(exchange, receive);
            let shown = &bytes[..bytes.len().min(60)];
            assert_eq!(kind, expected, "{shown:?}");
            match expected {
                ErrorKind::InvalidMessage => assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}"),
                ErrorKind::TooLarge => {
                    assert!(answer.starts_with("HTTP/1.1 413 Request Entity Too Large\r\n"), "{answer}")
                }
                _ => {}
            }
        }
        let near = transport(hosts.host(1)).dial("host-2:80", DialOptions::default()).await.unwrap();
        near.send(&message(&[], "still there?")).await.unwrap();
        assert_eq!(listener.accept().await.unwrap().recv().await.unwrap().body, "still there?");
    })
    .await;
}

/// Everything that `bytes` hold when they come in pieces of `step`.
fn decode(expect: Expect, bytes: &[u8], step: usize) -> crate::Result<Vec<Decoded>> {
    let mut decoder = Decoder::new(expect, 1 << 20);
    let mut all = Vec::new();
    for piece in bytes.chunks(step) {
        decoder.buffer().extend_from_slice(piece);
        while let Some(decoded) = decoder.decode()? {
            all.push(decoded);
        }
    }
    all.extend(decoder.finish()?);
    Ok(all)
}

fn any_message() -> impl Strategy<Value = Message> {
    // Values are texts that HTTP keeps: no control characters, no spaces around them.
    let header = proptest::collection::btree_map("[A-Z][a-z]{0,6}(-[A-Z][a-z0-9]{0,4})?", "(\\PC*[^\\s\\pC])?", 0..6);
    (header, any::<Vec<u8>>()).prop_map(|(header, body)| {
        let header = header.into_iter().map(|(name, value)| (name, value.trim().to_owned()));
        let own = |(name, _): &(String, String)| !encode::is_framing(name) && name != "User-Agent";
        Message { header: header.filter(own).collect(), body: body.into() }
    })
}

proptest! {
    #[test]
    fn messages_survive_the_wire_in_pieces_of_any_size(
        messages in proptest::collection::vec(any_message(), 0..4),
        step in 1_usize..100,
    ) {
        let (mut requests, mut responses) = (Vec::new(), Vec::new());
        for message in &messages {
            requests.extend_from_slice(&encode::request("a:1", false, message).unwrap());
            requests.extend_from_slice(&message.body);
            responses.extend_from_slice(&encode::response(&Metadata::new(), message).unwrap());
            responses.extend_from_slice(&message.body);
        }
        let received: Vec<_> = decode(Expect::Responses, &responses, step).unwrap();
        prop_assert_eq!(&received.into_iter().map(|decoded| decoded.message).collect::<Vec<_>>(), &messages);
        let mut received: Vec<_> = decode(Expect::Requests, &requests, step).unwrap();
        for decoded in &mut received {
            prop_assert!(decoded.message.header.remove("User-Agent").is_some());
        }
        prop_assert_eq!(received.into_iter().map(|decoded| decoded.message).collect::<Vec<_>>(), messages);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(
        start in prop_oneof![
            Just(""), Just("POST / HTTP/1.1\r\n"), Just("HTTP/1.1 200 OK\r\n"),
            Just("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ],
        rest in any::<Vec<u8>>(),
        step in 1_usize..50,
    ) {
        let bytes = [start.as_bytes(), &rest].concat();
        let _ = decode(Expect::Requests, &bytes, step);
        let _ = decode(Expect::Responses, &bytes, step);
    }
}
