//! Messages: what comes before a body, messages without one, and one after the other on one carrier.

use bytes::Bytes;
use rand::Rng;
use shaketable_proto::probe::v1::ProbeEvent;
use shaketable_stack::codec::{Frame, Message, MessageType};
use shaketable_stack::metadata::Metadata;

use super::tools::{Pipe, alike, any_event, event, message, read, read_as, stale, works, write, write_as};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Need, Outcome, Requirement, Site, expect};

/// Codecs whose bytes say where a message ends. Of others a carrier holds one message.
const DELIMITED: Need = Need::Named(&["json", "grpc", "json-rpc", "proto-rpc"]);

/// Of these messages each says where it ends; in proto-rpc events do not.
const DELIMITED_KIND: MessageType = MessageType::Request;

const KINDS: [MessageType; 4] = [MessageType::Request, MessageType::Response, MessageType::Event, MessageType::Error];

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "COD-011",
        level: Must,
        sentence: "Reading a header fills in what was written in it, and leaves everything else as it was.",
        source: "go-micro codec/codec.go: ReadHeader; codec/json and codec/proto have no header of their own, and \
                 what the transport's headers said must stay",
        needs: &[],
        check: check!(a_header_is_filled_in_or_left),
    },
    Requirement {
        id: "COD-012",
        level: Must,
        sentence: "A body survives whatever kind of message it belongs to: request, response, event or error.",
        source: "go-micro codec/codec.go: MessageType",
        needs: &[],
        check: check!(every_kind_has_its_body),
    },
    Requirement {
        id: "COD-013",
        level: Must,
        sentence: "A message without a body, such as an error, can be written, and read without wanting one.",
        source: "go-micro codec/codec.go: Message, whose body may be missing in an error; server/rpc_server.go: \
                 serveReq answers an error with no body",
        needs: &[Need::InProcess("a message without a body")],
        check: check!(a_message_needs_no_body),
    },
    Requirement {
        id: "COD-014",
        level: Must,
        sentence: "A body that is not wanted is taken from the carrier: it is not what is read next.",
        source: "go-micro codec/codec.go: Codec, whose ReadBody without a value reads and discards; codec/json, \
                 codec/proto and codec/grpc (v5.30.0) leave it there",
        needs: &[Need::InProcess("a body that is not wanted")],
        check: check!(an_unwanted_body_is_taken),
    },
    Requirement {
        id: "COD-015",
        level: Must,
        sentence: "Of several messages on one carrier a body that is not wanted is taken alone, and the next is read \
                   right.",
        source: "go-micro codec/codec.go: Codec, whose ReadBody without a value reads and discards; codec/json and \
                 codec/grpc (v5.30.0) leave it there",
        needs: &[DELIMITED],
        check: check!(only_the_unwanted_body_is_taken),
    },
    Requirement {
        id: "COD-016",
        level: Must,
        sentence: "Several messages on one carrier are read one at a time, in the order in which they were written.",
        source: "go-micro codec/json/json.go: NewCodec, one encoder and one decoder for a connection",
        needs: &[DELIMITED],
        check: check!(messages_follow_each_other),
    },
    Requirement {
        id: "COD-017",
        level: Must,
        sentence: "Who reads on after the last message of a carrier gets an error, or, where a format writes an empty \
                   message as no bytes at all, an empty message, and never an earlier message again.",
        source: "go-micro codec/json/json.go: ReadBody answers an end of file, and codec/proto/proto.go reads no bytes as \
                 an empty message; decision of shaketable: who is given the last message again executes it twice",
        needs: &[],
        check: check!(after_the_last_there_is_none),
    },
];

async fn a_header_is_filled_in_or_left(site: Site) -> Outcome {
    let codec = site.codec().await?;
    // An id is a text; that of most callers is a number.
    for (kind, id) in KINDS.into_iter().flat_map(|kind| [(kind, "7"), (kind, "request-7")]) {
        let error = if matches!(kind, MessageType::Response | MessageType::Error) { "it broke" } else { "" };
        let sent = Message {
            id: id.to_owned(),
            error: error.to_owned(),
            header: Metadata::from([("X-User".to_owned(), "1".to_owned())]),
            ..message(kind)
        };
        let pipe = Pipe::default();
        works("write a message", pipe.codec(&codec).write(&sent, Some(&event())))?;
        let before = Message {
            id: "id before".to_owned(),
            kind,
            target: "target before".to_owned(),
            method: "method before".to_owned(),
            endpoint: "endpoint before".to_owned(),
            error: "error before".to_owned(),
            header: Metadata::from([("X-Before".to_owned(), "2".to_owned())]),
        };
        let mut got = before.clone();
        if pipe.codec(&codec).read_header(&mut got, kind).is_err() {
            // That every kind can be read is another requirement's.
            continue;
        }
        for (field, got, sent, before) in [
            ("id", &got.id, &sent.id, &before.id),
            ("target", &got.target, &sent.target, &before.target),
            ("method", &got.method, &sent.method, &before.method),
            ("endpoint", &got.endpoint, &sent.endpoint, &before.endpoint),
            ("error", &got.error, &sent.error, &before.error),
        ] {
            let expected = format!("the {field} of a message of kind {kind:?} to be {sent:?}, or {before:?} as before");
            expect(got == sent || got == before, expected, || format!("{got:?}"))?;
        }
        let mut both = before.header.clone();
        both.extend(sent.header.clone());
        let headers = [&before.header, &sent.header, &both];
        let expected = "the headers as they were written, or as before".to_owned();
        expect(headers.contains(&&got.header), expected, || format!("{:?}", got.header))?;
    }
    Ok(())
}

async fn every_kind_has_its_body(site: Site) -> Outcome {
    let codec = site.codec().await?;
    for kind in KINDS {
        let what = format!("the body of a message of kind {kind:?}");
        let pipe = Pipe::default();
        works(&format!("write {what}"), pipe.codec(&codec).write(&message(kind), Some(&event())))?;
        let mut reader = pipe.codec(&codec);
        let (mut got, mut body) = (Message::default(), stale());
        works("read its header", reader.read_header(&mut got, kind))?;
        works(&format!("read {what}"), reader.read_body(Some(&mut body)))?;
        alike(&what, &body, &event())?;
    }
    Ok(())
}

async fn a_message_needs_no_body(site: Site) -> Outcome {
    let codec = site.codec().await?;
    for kind in KINDS {
        let sent = Message { error: "it broke".to_owned(), ..message(kind) };
        let pipe = Pipe::default();
        works("write a message without a body", pipe.codec(&codec).write(&sent, None))?;
        let mut reader = pipe.codec(&codec);
        works("read its header", reader.read_header(&mut Message::default(), kind))?;
        works("read no body", reader.read_body(None))?;
    }
    Ok(())
}

async fn an_unwanted_body_is_taken(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let pipe = Pipe::default();
    write(&mut *pipe.codec(&codec), "an event", &event())?;
    let mut reader = pipe.codec(&codec);
    works("read its header", reader.read_header(&mut Message::default(), MessageType::Event))?;
    works("drop its body", reader.read_body(None))?;
    let next = read(&mut *reader, stale());
    let taken = !matches!(&next, Ok(next) if next.id == event().id || next.payload == event().payload);
    expect(taken, "the body that was dropped to be gone", || format!("it was read next: {next:?}"))
}

async fn only_the_unwanted_body_is_taken(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let mut random = site.env().random("events");
    let events: Vec<ProbeEvent> = (0..20).map(|_| any_event(&mut random)).collect();
    let pipe = Pipe::default();
    let mut writer = pipe.codec(&codec);
    for event in &events {
        write_as(DELIMITED_KIND, &mut *writer, "an event", event)?;
    }
    let mut reader = pipe.codec(&codec);
    for (index, event) in events.iter().enumerate() {
        if random.random_bool(0.5) {
            works("read a header", reader.read_header(&mut Message::default(), DELIMITED_KIND))?;
            works("drop a body", reader.read_body(None))?;
        } else {
            let what = format!("message {} of 20, of which some were dropped", index + 1);
            alike(&what, &works(&format!("read {what}"), read_as(DELIMITED_KIND, &mut *reader, stale()))?, event)?;
        }
    }
    // A value that is no object ends, too.
    for text in ["17 ", "true\n", "\"a } b\" ", "[1,{}]"] {
        write_as(DELIMITED_KIND, &mut *writer, "a frame", &Frame(Bytes::from_static(text.as_bytes())))?;
        write_as(DELIMITED_KIND, &mut *writer, "an event", &event())?;
        works("read a header", reader.read_header(&mut Message::default(), DELIMITED_KIND))?;
        works("drop a body", reader.read_body(None))?;
        let what = format!("the message after {text}, which was dropped");
        alike(&what, &works(&format!("read {what}"), read_as(DELIMITED_KIND, &mut *reader, stale()))?, &event())?;
    }
    Ok(())
}

async fn messages_follow_each_other(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let mut random = site.env().random("events");
    for step in [0, 1, 7] {
        let events: Vec<ProbeEvent> = (0..20).map(|_| any_event(&mut random)).collect();
        let pipe = Pipe::default();
        let mut writer = pipe.codec(&codec);
        let mut reader = pipe.codec(&codec);
        for half in events.chunks(10) {
            for event in half {
                write_as(DELIMITED_KIND, &mut *writer, "an event", event)?;
            }
            pipe.state().step = step;
            for (index, event) in half.iter().enumerate() {
                let what = format!("message {} of 10 on one carrier", index + 1);
                alike(&what, &works(&format!("read {what}"), read_as(DELIMITED_KIND, &mut *reader, stale()))?, event)?;
            }
            pipe.state().step = 0;
        }
    }
    Ok(())
}

async fn after_the_last_there_is_none(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let pipe = Pipe::default();
    write(&mut *pipe.codec(&codec), "an event", &event())?;
    let mut reader = pipe.codec(&codec);
    alike("the only event", &works("read the only event", read(&mut *reader, stale()))?, &event())?;
    for _ in 0..2 {
        let next = read(&mut *reader, stale());
        let none = next.is_err() || matches!(&next, Ok(next) if *next == ProbeEvent::default());
        expect(none, "an error, or the empty message", || format!("{next:?}"))?;
    }
    Ok(())
}
