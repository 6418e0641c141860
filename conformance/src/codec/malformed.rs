//! Bytes that are not what they should be: torn, random, too many, of another type, of a version to come.

use bytes::Bytes;
use rand::{Rng, RngCore};
use shaketable_proto::probe::v1::ProbeEvent;
use shaketable_stack::ErrorKind;
use shaketable_stack::codec::{Message, MessageType};

use super::sample::{NewerEvent, OtherEvent, Sample};
use super::tools::{MARSHALER, NO_MESSAGE, Pipe, alike, event, fails, message, read, stale, survives, works, written};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Finding, Need, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "COD-025",
        level: Must,
        sentence: "A message that is torn off in its middle is an error, on a carrier and to the marshaler.",
        source: "go-micro codec/grpc/util.go: decode answers ErrUnexpectedEOF; Go encoding/json: Unmarshal answers \
                 'unexpected end of JSON input'",
        needs: &[],
        check: check!(a_torn_message_is_an_error),
    },
    Requirement {
        id: "COD-026",
        level: Must,
        sentence: "Bytes that are no message of any format are an error.",
        source: "go-micro codec/json/marshaler.go and codec/proto/marshaler.go: Unmarshal returns the parser's error",
        needs: &[],
        check: check!(what_is_no_message_is_an_error),
    },
    Requirement {
        id: "COD-027",
        level: Must,
        sentence: "No bytes that come from a peer make the codec panic.",
        source: "go-micro codec/protorpc/netstring.go: ReadNetString makes room for any length that a peer names; \
                 registry/consul/encoding.go: a foreign tag panics its reader; v1 codecs panicked on a type assertion",
        needs: &[],
        check: check!(random_bytes_make_no_panic),
    },
    Requirement {
        id: "COD-049",
        level: Must,
        sentence: "An id that a peer has written as a number is read digit by digit, and where a peer has written none, \
                   none is made up.",
        source: "JSON-RPC 1.0 (https://www.jsonrpc.org/specification_v1): an id is of any type, and the answer bears the \
                 same; go-micro codec/jsonrpc/server.go and client.go (v5.30.0): ReadHeader prints what was read into an \
                 interface{} with %v, so that 1000000 becomes 1e+06, and none <nil>",
        needs: &[],
        check: check!(ids_are_read_as_they_are),
    },
    Requirement {
        id: "COD-028",
        level: Should,
        sentence: "The marshaler refuses bytes that come after the message.",
        source: "Go encoding/json: Unmarshal answers 'invalid character after top-level value'; decision of \
                 shaketable: what follows was meant for somebody",
        needs: &[MARSHALER],
        check: check!(bytes_after_the_message_are_refused),
    },
    Requirement {
        id: "COD-029",
        level: Must,
        sentence: "A body that is read as a type which it does not fit is an error, and not silently empty.",
        source: "Go encoding/json: UnmarshalTypeError; go-micro codec/proto/proto.go: ReadBody into what is no \
                 protobuf message is ErrInvalidMessage",
        needs: &[],
        check: check!(another_type_is_an_error),
    },
    Requirement {
        id: "COD-030",
        level: Must,
        sentence: "The codec protobuf passes over fields that the reader does not know, and reads those that it knows.",
        source: "https://protobuf.dev/programming-guides/proto3/#updating: old binaries ignore the new field when they parse \
                 a message of new code",
        needs: &[Need::Named(&["protobuf"])],
        check: check!(protobuf_passes_over_unknown_fields),
    },
    Requirement {
        id: "COD-050",
        level: Should,
        sentence: "The codec json passes over fields that the reader does not know, and reads those that it knows.",
        source: "Go encoding/json: Unmarshal ignores keys without a field; decision of shaketable against \
                 https://protobuf.dev/programming-guides/json/#json-options, by which parsers should refuse them unless told \
                 otherwise, as go-micro codec/json/json.go does with protojson: who reads is often older than who writes",
        needs: &[Need::Named(&["json"])],
        check: check!(json_passes_over_unknown_fields),
    },
    Requirement {
        id: "COD-031",
        level: Must,
        sentence: "A codec goes on to serve after bytes of a peer were refused: a new carrier and the marshaler work.",
        source: "decision of shaketable: one bad message must not end the calls of others",
        needs: &[],
        check: check!(a_refusal_harms_nobody_else),
    },
];

/// An event that is nearly all payload, so that what is torn off is a part of it.
fn heavy() -> ProbeEvent {
    ProbeEvent { payload: Bytes::from_static(&[b'p'; 200]), ..ProbeEvent::default() }
}

/// One that is nearly all text, in which nothing shows whether all of it came but its length.
fn wordy() -> ProbeEvent {
    ProbeEvent { id: "i".repeat(2_000), ..ProbeEvent::default() }
}

async fn a_torn_message_is_an_error(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let whole = written(&codec, "an event", &heavy())?;
    let marshaler = codec.marshaler();
    let marshalled = works("marshal an event", marshaler.marshal(&heavy()))?;
    for length in 1..=whole.len() / 2 {
        let what = format!("read an event of which {length} of {} bytes came", whole.len());
        let pipe = Pipe::holding(&whole[..length]);
        fails(&what, &NO_MESSAGE, read(&mut *pipe.codec(&codec), stale()))?;
    }
    for part in 10..30 {
        // Written anew: some codecs write a body's fields in an order of their own.
        let request = Pipe::default();
        works("write a request", request.codec(&codec).write(&message(MessageType::Request), Some(&wordy())))?;
        let request = request.content();
        let length = request.len() * part / 30;
        let mut reader = Pipe::holding(&request[..length]).codec(&codec);
        let mut body = stale();
        let header = reader.read_header(&mut Message::default(), MessageType::Request);
        let got = header.and_then(|()| reader.read_body(Some(&mut body)));
        fails(&format!("read a request of which {length} of {} bytes came", request.len()), &NO_MESSAGE, got)?;
    }
    for length in 1..=marshalled.len() / 2 {
        let what = format!("unmarshal {length} of {} bytes", marshalled.len());
        fails(&what, &NO_MESSAGE, marshaler.unmarshal(&marshalled[..length], &mut stale()))?;
    }
    Ok(())
}

async fn what_is_no_message_is_an_error(site: Site) -> Outcome {
    let codec = site.codec().await?;
    // No format takes this for a beginning: no tag, no length, no text.
    let bytes = [0xff; 64];
    let pipe = Pipe::holding(&bytes);
    fails("read 64 bytes of 255", &NO_MESSAGE, read(&mut *pipe.codec(&codec), stale()))?;
    fails("unmarshal 64 bytes of 255", &NO_MESSAGE, codec.marshaler().unmarshal(&bytes, &mut stale()))
}

async fn random_bytes_make_no_panic(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let marshaler = codec.marshaler();
    let mut random = site.env().random("garbage");
    let good = written(&codec, "an event", &event())?;
    for round in 0..300 {
        // Some that were right but for a few bytes get further than noise.
        let mut bytes = good.clone();
        if round % 3 == 0 {
            bytes = vec![0; random.random_range(0..100)];
            random.fill_bytes(&mut bytes);
        } else {
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
        }
        // What comes of them is not the question.
        let mut reader = Pipe::holding(&bytes).codec(&codec);
        for _ in 0..3 {
            no_panic(&bytes, read(&mut *reader, stale()))?;
            no_panic(&bytes, reader.read_body(None))?;
        }
        no_panic(&bytes, read(&mut *Pipe::holding(&bytes).codec(&codec), Sample::default()))?;
        no_panic(&bytes, marshaler.unmarshal(&bytes, &mut stale()))?;
        no_panic(&bytes, marshaler.unmarshal(&bytes, &mut Sample::default()))?;
    }
    // Texts that are right, and lack what somebody takes for granted.
    for text in ["{}", "[]", "null", "{\"id\":1,\"method\":\"A.B\"}"] {
        for kind in [MessageType::Request, MessageType::Response, MessageType::Event, MessageType::Error] {
            let mut reader = Pipe::holding(text.as_bytes()).codec(&codec);
            no_panic(text.as_bytes(), reader.read_header(&mut Message::default(), kind))?;
            no_panic(text.as_bytes(), reader.read_body(Some(&mut stale())))?;
        }
    }
    Ok(())
}

async fn ids_are_read_as_they_are(site: Site) -> Outcome {
    const BEFORE: &str = "as before";
    // Within what a double holds, so that a reader which knows no other number can read them.
    const IDS: [&str; 5] = ["7", "1000000", "4294967296", "9007199254740991", ""];
    let codec = site.codec().await?;
    for (kind, rest) in [
        (MessageType::Request, "\"method\":\"User.Get\",\"params\":[{}]}\n"),
        (MessageType::Response, "\"result\":{},\"error\":null}\n"),
    ] {
        for wanted in IDS {
            let id = if wanted.is_empty() { String::new() } else { format!("\"id\":{wanted},") };
            let text = format!("{{{id}{rest}");
            let mut header = Message { id: BEFORE.to_owned(), ..Message::default() };
            if Pipe::holding(text.as_bytes()).codec(&codec).read_header(&mut header, kind).is_err() {
                // It has another format.
                break;
            }
            let is_right = header.id == wanted || header.id == BEFORE || (wanted.is_empty() && header.id == "null");
            let expected = format!("the id of {} to be {wanted:?}, or to be left as it was", text.trim_end());
            expect(is_right, expected, || format!("{:?}", header.id))?;
        }
    }
    Ok(())
}

/// A panic in this process ends the check by itself; an adapter tells it as the status INTERNAL.
fn no_panic<T>(bytes: &[u8], result: shaketable_stack::Result<T>) -> Outcome {
    match result {
        Err(error) if error.kind() == ErrorKind::Internal => Err(Finding::violated(
            format!("{:.80} to be read or refused", String::from_utf8_lossy(bytes)),
            format!("the error `{error}`"),
        )),
        _ => Ok(()),
    }
}

async fn bytes_after_the_message_are_refused(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let marshaler = codec.marshaler();
    let mut bytes = works("marshal an event", marshaler.marshal(&event()))?;
    bytes.extend([0xff; 12]);
    fails("unmarshal an event and twelve bytes of 255", &NO_MESSAGE, marshaler.unmarshal(&bytes, &mut stale()))
}

async fn another_type_is_an_error(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let kinds = [ErrorKind::InvalidMessage, ErrorKind::InvalidInput];
    let pipe = Pipe::holding(&written(&codec, "an event", &event())?);
    let what = "an event as a message in which the number is a message";
    fails(&format!("read {what}"), &kinds, read(&mut *pipe.codec(&codec), OtherEvent::default()))?;
    let marshaler = codec.marshaler();
    let bytes = works("marshal an event", marshaler.marshal(&event()))?;
    fails(&format!("unmarshal {what}"), &kinds, marshaler.unmarshal(&bytes, &mut OtherEvent::default()))
}

async fn protobuf_passes_over_unknown_fields(site: Site) -> Outcome {
    unknown_fields_are_passed_over(&site).await
}

async fn json_passes_over_unknown_fields(site: Site) -> Outcome {
    unknown_fields_are_passed_over(&site).await
}

async fn unknown_fields_are_passed_over(site: &Site) -> Outcome {
    let codec = site.codec().await?;
    let known = event();
    let newer = NewerEvent {
        id: known.id.clone(),
        sequence: known.sequence,
        publisher: known.publisher.clone(),
        payload: known.payload.clone(),
        comment: "of a version to come".to_owned(),
        weight: 0.5,
        more: Some(Sample { list: vec!["a".to_owned()], inner: Some(Box::default()), ..Sample::default() }),
    };
    let pipe = Pipe::holding(&written(&codec, "an event of a version to come", &newer)?);
    let got = works("read it as the version that is", read(&mut *pipe.codec(&codec), stale()))?;
    alike("what is known of an event of a version to come", &got, &known)
}

async fn a_refusal_harms_nobody_else(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let marshaler = codec.marshaler();
    let torn = {
        let mut bytes = written(&codec, "an event", &heavy())?;
        bytes.truncate(bytes.len() / 2);
        bytes
    };
    for _ in 0..3 {
        let mut reader = Pipe::holding(&torn).codec(&codec);
        drop(reader.read_header(&mut Message::default(), MessageType::Event));
        drop(reader.read_body(Some(&mut stale())));
        drop(marshaler.unmarshal(&torn, &mut stale()));
        survives(&codec, "an event on another carrier, after a refusal", &event(), stale())?;
        let bytes = works("marshal after a refusal", marshaler.marshal(&event()))?;
        let mut got = stale();
        works("unmarshal after a refusal", marshaler.unmarshal(&bytes, &mut got))?;
        alike("an event after a refusal", &got, &event())?;
    }
    Ok(())
}
