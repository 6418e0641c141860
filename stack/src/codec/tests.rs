//! What every codec does, and the wire bytes of each.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use shaketable_proto::probe::v1::ProbeEvent;

use super::carrier::testing::Buffer;
use super::json::Json;
use super::proto_rpc::ProtoRpc;
use super::protobuf::Protobuf;
use super::{Codec, CodecFactory, Codecs, Frame, Message, MessageType, Payload};
use crate::ErrorKind;
use crate::env::testing::env;
use crate::plugin::Settings;

fn every_codec() -> [Arc<dyn CodecFactory>; 3] {
    [Arc::new(Protobuf), Arc::new(Json), Arc::new(ProtoRpc)]
}

fn event() -> ProbeEvent {
    ProbeEvent { id: "a".into(), sequence: 300, publisher: String::new(), payload: Bytes::from_static(&[0xff, 0xfe]) }
}

fn write(factory: &dyn CodecFactory, bodies: &[&dyn Payload]) -> Vec<u8> {
    let buffer = Buffer::default();
    let mut codec = factory.codec(Box::new(buffer.clone()));
    for body in bodies {
        codec.write(&event_message(), Some(*body)).unwrap();
    }
    codec.write(&event_message(), None).unwrap();
    buffer.bytes()
}

fn event_message() -> Message {
    Message { kind: MessageType::Event, ..Message::default() }
}

fn reader(factory: &dyn CodecFactory, bytes: &[u8], step: usize) -> Box<dyn Codec> {
    factory.codec(Box::new(Buffer::holding(bytes, step)))
}

fn read(codec: &mut dyn Codec) -> crate::Result<ProbeEvent> {
    let (mut message, mut body) = (Message::default(), ProbeEvent { id: "before".into(), ..ProbeEvent::default() });
    codec.read_header(&mut message, MessageType::Event)?;
    codec.read_body(Some(&mut body))?;
    Ok(body)
}

#[test]
fn the_wire_bytes_are_go_micros() {
    let protobuf = [0x0a, 1, b'a', 0x10, 0xac, 2, 0x22, 2, 0xff, 0xfe];
    assert_eq!(write(&Protobuf, &[&event()]), protobuf);
    let json = r#"{"id":"a","sequence":"300","publisher":"","payload":"//4="}"#;
    assert_eq!(write(&Json, &[&event()]), format!("{json}\n").as_bytes());
    assert_eq!(Json.marshaler().marshal(&event()).unwrap(), json.as_bytes());
}

/// The bytes that go-micro v2.9.1 writes.
#[test]
fn requests_and_responses_of_proto_rpc_are_go_micros() {
    let message = |kind, error: &str| Message {
        id: "5".into(),
        kind,
        method: "Foo.Bar".into(),
        endpoint: "Other.Name".into(),
        error: error.into(),
        ..Message::default()
    };
    let body = ProbeEvent { id: "x".into(), ..ProbeEvent::default() };
    let written = |message: &Message, body: Option<&dyn Payload>| {
        let buffer = Buffer::default();
        ProtoRpc.codec(Box::new(buffer.clone())).write(message, body).unwrap();
        buffer.bytes()
    };
    let request = b"\0\0\0\x12\x0a\x07Foo.Bar\x11\x05\0\0\0\0\0\0\0\0\0\0\x03\x0a\x01x";
    let failure = b"\0\0\0\x17\x0a\x07Foo.Bar\x11\x05\0\0\0\0\0\0\0\x1a\x03bad\0\0\0\0";
    assert_eq!(written(&message(MessageType::Request, "of no request"), Some(&body)), request);
    assert_eq!(written(&message(MessageType::Response, "bad"), None), failure);
    assert_eq!(written(&message(MessageType::Error, "bad"), None), failure);
    let named = Message { id: "seven".into(), ..message(MessageType::Request, "") };
    assert_eq!(written(&named, None), b"\0\0\0\x09\x0a\x07Foo.Bar\0\0\0\0", "no number stands for it");

    for step in [1, 5, 1_000] {
        let mut codec = reader(&ProtoRpc, &[&request[..], failure, request].concat(), step);
        let (mut got, mut body_got) = (Message::default(), ProbeEvent::default());
        codec.read_header(&mut got, MessageType::Request).unwrap();
        assert_eq!((&*got.id, &*got.method, &*got.endpoint, &*got.error), ("5", "Foo.Bar", "", ""));
        codec.read_body(Some(&mut body_got)).unwrap();
        assert_eq!(body_got, body);
        codec.read_header(&mut got, MessageType::Response).unwrap();
        assert_eq!(got.error, "bad");
        codec.read_body(None).unwrap();
        codec.read_header(&mut got, MessageType::Request).unwrap();
        codec.read_body(None).unwrap();
        let after = codec.read_header(&mut got, MessageType::Request).unwrap_err();
        assert_eq!(after.kind(), ErrorKind::EndOfStream);
    }
    for length in 1..request.len() {
        let mut codec = reader(&ProtoRpc, &request[..length], 3);
        let header = codec.read_header(&mut Message::default(), MessageType::Request);
        let torn = header.and_then(|()| codec.read_body(Some(&mut event()))).unwrap_err();
        assert_eq!(torn.kind(), ErrorKind::InvalidMessage, "{length}");
    }
    // Four gigabytes are announced and make no room for themselves.
    let mut codec = reader(&ProtoRpc, &[0xff; 64], 7);
    let refused = codec.read_header(&mut Message::default(), MessageType::Request).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidMessage);
}

#[test]
fn values_on_one_json_carrier_are_read_one_at_a_time() {
    let second = ProbeEvent { id: "} \"b\"".into(), ..event() };
    let bytes = write(&Json, &[&event(), &second, &event()]);
    for step in [1, 7, 10_000] {
        let mut codec = reader(&Json, &bytes, step);
        assert_eq!(read(&mut *codec).unwrap(), event());
        codec.read_body(None).unwrap();
        assert_eq!(read(&mut *codec).unwrap(), event());
        assert_eq!(read(&mut *codec).unwrap_err().kind(), ErrorKind::EndOfStream);
        codec.read_body(None).unwrap();
    }
}

#[test]
fn a_body_that_is_not_wanted_is_consumed() {
    let mut codec = reader(&Protobuf, &[0xff; 100], 3);
    codec.read_body(None).unwrap();
    assert_eq!(read(&mut *codec).unwrap(), ProbeEvent::default(), "nothing is left, which is the default message");
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    for bytes in [&b"\xff\xff"[..], b"{\"id\":1}", b"{\"id\":\"a\"", b"}", b"\x00"] {
        for factory in every_codec() {
            let error = read(&mut *reader(&*factory, bytes, 1)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidMessage, "{} {bytes:?}", factory.name());
        }
    }
}

#[test]
fn after_close_everything_but_close_is_refused() {
    for factory in every_codec() {
        let mut codec = factory.codec(Box::new(Buffer::default()));
        codec.close().unwrap();
        codec.close().unwrap();
        let (mut message, none) = (Message::default(), None);
        let mut body = event();
        assert_eq!(codec.read_header(&mut message, MessageType::Request).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(codec.read_body(Some(&mut body)).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(codec.read_body(None).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(codec.write(&message, Some(&body)).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(codec.write(&message, none).unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[test]
fn what_marshal_returned_is_not_touched_by_the_next_call() {
    for factory in every_codec() {
        let marshaler = factory.marshaler();
        let first = marshaler.marshal(&event()).unwrap();
        let kept = first.clone();
        marshaler.marshal(&ProbeEvent { id: "another".into(), ..event() }).unwrap();
        assert_eq!(first, kept);
    }
}

#[test]
fn a_body_behind_free_bytes_is_the_body_in_one_piece() {
    for factory in every_codec() {
        let marshaler = factory.marshaler();
        for body in [&event() as &dyn Payload, &ProbeEvent::default(), &Frame(Bytes::from_static(b"{}"))] {
            let behind = marshaler.marshal_behind(5, body).unwrap();
            assert_eq!(behind[..5], [0; 5]);
            assert_eq!(behind[5..], marshaler.marshal(body).unwrap());
            // More room would have to be given back, which is one more request to the allocator.
            assert_eq!(behind.len(), behind.capacity());
        }
    }
}

#[test]
fn what_cannot_be_read_leaves_nothing_of_what_was_there() {
    let mut body = event();
    assert_eq!(
        Protobuf.marshaler().unmarshal(&[0x0a, 1, b'b', 0x10], &mut body).unwrap_err().kind(),
        ErrorKind::InvalidMessage
    );
    assert_eq!(body, ProbeEvent::default());
}

#[test]
fn one_marshaler_serves_all_messages() {
    let codecs = Codecs::new(every_codec().to_vec());
    let by_type = codecs.marshaler_by_content_type("application/proto; charset=utf-8").unwrap();
    assert!(Arc::ptr_eq(by_type, codecs.marshaler_by_name("protobuf").unwrap()));
    assert!(codecs.marshaler_by_name("xml").is_none() && codecs.marshaler_by_content_type("text/xml").is_none());
}

#[test]
fn content_types_find_their_codec() {
    let codecs = Codecs::new(every_codec().to_vec());
    let found = |content_type| codecs.by_content_type(content_type).map(|codec| codec.name());
    assert_eq!(found("application/protobuf"), Some("protobuf"));
    assert_eq!(found("application/proto"), Some("protobuf"));
    assert_eq!(found("Application/JSON; charset=utf-8"), Some("json"));
    assert_eq!(found("application/proto-rpc"), Some("proto-rpc"));
    assert_eq!(found("application/json-rpc"), None);
}

#[tokio::test]
async fn the_table_makes_each_and_refuses_options() {
    let table = super::table::reference();
    assert_eq!(table.names().collect::<Vec<_>>(), ["json", "proto-rpc", "protobuf"]);
    for plugin in table.iter() {
        assert_eq!((plugin.factory)(env(), Settings::default()).await.unwrap().name(), plugin.name);
        let options = [("indent".to_owned(), crate::plugin::Setting::Integer(2))].into();
        let refused = (plugin.factory)(env(), Settings::new(Vec::new(), options)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
}

fn any_event() -> impl Strategy<Value = ProbeEvent> {
    (any::<String>(), any::<u64>(), any::<String>(), any::<Vec<u8>>())
        .prop_map(|(id, sequence, publisher, payload)| ProbeEvent { id, sequence, publisher, payload: payload.into() })
}

proptest! {
    #[test]
    fn every_event_survives_every_codec(event in any_event(), step in 1_usize..20) {
        for factory in every_codec() {
            let bytes = write(&*factory, &[&event]);
            prop_assert_eq!(&read(&mut *reader(&*factory, &bytes, step)).unwrap(), &event);
            let mut again = ProbeEvent { id: "before".into(), sequence: 1, ..ProbeEvent::default() };
            let marshaler = factory.marshaler();
            marshaler.unmarshal(&marshaler.marshal(&event).unwrap(), &mut again).unwrap();
            prop_assert_eq!(&again, &event);
        }
    }

    #[test]
    fn every_frame_passes_as_it_is(bytes in any::<Vec<u8>>(), step in 1_usize..20) {
        for factory in every_codec() {
            let written = write(&*factory, &[&Frame(bytes.clone().into())]);
            prop_assert_eq!(&written, &bytes);
            let mut frame = Frame::default();
            reader(&*factory, &written, step).read_body(Some(&mut frame)).unwrap();
            prop_assert_eq!(&frame.0, &bytes);
        }
    }

    #[test]
    fn no_bytes_make_a_codec_panic(bytes in any::<Vec<u8>>(), step in 1_usize..20) {
        for factory in every_codec() {
            let mut codec = reader(&*factory, &bytes, step);
            for _ in 0..=bytes.len() {
                let _ = read(&mut *codec);
            }
        }
    }
}
