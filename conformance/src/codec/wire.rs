//! The bytes of codecs that are known by name: other programs read and write them, so that a body that survives is not
//! enough.

use bytes::Bytes;
use serde_json::Value;
use shaketable_proto::probe::v1::ProbeRequest;
use shaketable_stack::codec::{Frame, Message, MessageType};

use super::sample::Sample;
use super::tools::{Pipe, alike, read, stale, works, written};
use super::vectors::{self, Body, Vector};
use crate::Level::{Must, Should};
use crate::requirement::{base_name, check};
use crate::{Finding, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "COD-044",
        level: Must,
        sentence: "The codec json writes a JSON text that says of each body what protobuf's JSON mapping says, and a \
                   line feed after it on a carrier.",
        source: "go-micro codec/json/json.go: protojson, and Go's json.Encoder; protobuf's JSON mapping; RFC 8259",
        needs: &[Need::Named(&["json"])],
        check: check!(json_says_what_the_mapping_says),
    },
    Requirement {
        id: "COD-045",
        level: Should,
        sentence: "The codec json writes exactly these bytes: fields in the order of their numbers, defaults too, no \
                   space.",
        source: "decision of shaketable: RFC 8259 leaves space and order open, and who compares texts should not see \
                 either",
        needs: &[Need::Named(&["json"])],
        check: check!(json_writes_exactly_these_bytes),
    },
    Requirement {
        id: "COD-046",
        level: Must,
        sentence: "The codec json reads these bytes, in any order, with any space, and 64-bit numbers as text or \
                   number.",
        source: "protobuf's JSON mapping: what parsers accept; RFC 8259; RFC 4648 for both alphabets of base64",
        needs: &[Need::Named(&["json"])],
        check: check!(json_reads_these_bytes),
    },
    Requirement {
        id: "COD-047",
        level: Should,
        sentence: "The codec protobuf writes exactly these bytes: fields in the order of their numbers, no defaults, no length \
                   before the message.",
        source: "go-micro codec/proto/proto.go: Write writes what Marshal gives; decision of shaketable: \
                 https://protobuf.dev/programming-guides/encoding/#order leaves the order of fields open, and who compares \
                 bytes should not see it",
        needs: &[Need::Named(&["protobuf"])],
        check: check!(protobuf_writes_exactly_these_bytes),
    },
    Requirement {
        id: "COD-051",
        level: Must,
        sentence: "What the codec protobuf writes is the message and nothing else: any parser of protobuf reads the body from \
                   it.",
        source: "https://protobuf.dev/programming-guides/encoding/#structure: a message is a series of key-value pairs, and \
                 https://protobuf.dev/programming-guides/techniques/#streaming: it does not say where it ends; go-micro \
                 codec/proto/proto.go: Write writes what Marshal gives",
        needs: &[Need::Named(&["protobuf"])],
        check: check!(what_protobuf_writes_is_protobuf),
    },
    Requirement {
        id: "COD-048",
        level: Must,
        sentence: "The codec protobuf reads these bytes, with fields in any order and again, and numbers longer than \
                   needed.",
        source: "protobuf encoding guide: order of fields, last one wins, base 128 varints",
        needs: &[Need::Named(&["protobuf"])],
        check: check!(protobuf_reads_these_bytes),
    },
    Requirement {
        id: "COD-057",
        level: Should,
        sentence: "The codec proto-rpc writes and reads exactly these bytes: a header with method, number and, but in a request, \
                   error, and a body, each after its length in four bytes; what a header does not say stays as it was.",
        source: "go-micro codec/protorpc/protorpc.go: Write and ReadHeader; envelope.proto: Request and Response; \
                 netstring.go: WriteNetString",
        needs: &[Need::Named(&["proto-rpc"])],
        check: check!(proto_rpc_has_these_headers),
    },
];

/// A kind, its method, its id and its error, a body, and how go-micro writes them.
type Enveloped = (MessageType, [&'static str; 3], &'static [u8], &'static [u8]);

const ENVELOPED: [Enveloped; 4] = [
    (
        MessageType::Request,
        ["Foo.Bar", "5", ""],
        b"\x0a\x01x",
        b"\0\0\0\x12\x0a\x07Foo.Bar\x11\x05\0\0\0\0\0\0\0\0\0\0\x03\x0a\x01x",
    ),
    (
        MessageType::Response,
        ["Foo.Bar", "5", "bad"],
        b"",
        b"\0\0\0\x17\x0a\x07Foo.Bar\x11\x05\0\0\0\0\0\0\0\x1a\x03bad\0\0\0\0",
    ),
    // No number stands for what is none.
    (MessageType::Request, ["", "none", ""], b"\x0a\x01x", b"\0\0\0\0\0\0\0\x03\x0a\x01x"),
    (MessageType::Response, ["", "5", ""], b"", b"\0\0\0\x09\x11\x05\0\0\0\0\0\0\0\0\0\0\0"),
];

async fn proto_rpc_has_these_headers(site: Site) -> Outcome {
    let codec = site.codec().await?;
    for (kind, [method, id, error], body, bytes) in ENVELOPED {
        let said = |method: &str, id: &str, error: &str| Message {
            kind,
            method: method.to_owned(),
            id: id.to_owned(),
            error: error.to_owned(),
            ..Message::default()
        };
        // What a request should not say, it does not.
        let sent = said(method, id, if kind == MessageType::Request { "not sent" } else { error });
        let pipe = Pipe::default();
        works("write a message", pipe.codec(&codec).write(&sent, Some(&Frame(Bytes::from_static(body)))))?;
        expect_equal("the bytes of a message", &shown(&pipe.content()), &shown(bytes))?;
        let pipe = Pipe::holding(bytes);
        let (mut reader, mut got) = (pipe.codec(&codec), said("method before", "id before", "error before"));
        works("read a header", reader.read_header(&mut got, kind))?;
        let or = |said: &str, before: &str| if said.is_empty() || said == "none" { before } else { said }.to_owned();
        let wanted = [or(method, "method before"), or(id, "id before"), or(error, "error before")];
        expect_equal("the method, the id and the error that were read", &[got.method, got.id, got.error], &wanted)?;
        let mut frame = Frame::default();
        works("read a body", reader.read_body(Some(&mut frame)))?;
        expect_equal("the body", &shown(&frame.0), &shown(body))?;
    }
    // A request that says an error, as nobody should write it, has none.
    let pipe = Pipe::holding(b"\0\0\0\x05\x1a\x03bad\0\0\0\0");
    let (mut reader, mut got) = (pipe.codec(&codec), Message::default());
    works("read the header of a request with an error", reader.read_header(&mut got, MessageType::Request))?;
    expect_equal("the error of a request", &got.error.as_str(), &"")
}

fn vectors(site: &Site) -> Result<(Vec<Vector>, &'static [u8]), Finding> {
    let name = base_name(&site.shared.subject.plugin);
    vectors::of(name).ok_or_else(|| Finding::Broke(format!("there are no vectors of a codec called '{name}'")))
}

async fn json_says_what_the_mapping_says(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let (vectors, end) = vectors(&site)?;
    for Vector { body, bytes, .. } in &vectors {
        let wanted = meaning(bytes)?;
        let marshalled = works("marshal", codec.marshaler().marshal(body.payload()))?;
        let on_carrier = written(&codec, "a body", body.payload())?;
        for (where_to, text) in [("by marshal", &marshalled), ("on a carrier", &on_carrier)] {
            let expected = format!("what is written {where_to} to say {wanted}");
            let got = meaning(text);
            let same = matches!(&got, Ok(got) if *got == wanted);
            expect(same, expected, || format!("{}", String::from_utf8_lossy(text)))?;
        }
        expect(on_carrier.ends_with(end), "a line feed after the text on a carrier", || shown(&on_carrier))?;
    }
    Ok(())
}

/// What a JSON text says, without fields that have their defaults: writers may leave them out.
fn meaning(text: &[u8]) -> Result<Value, Finding> {
    let value = serde_json::from_slice(text)
        .map_err(|error| Finding::violated("a JSON text", format!("{}: {error}", String::from_utf8_lossy(text))))?;
    Ok(without_defaults(value))
}

fn without_defaults(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, without_defaults(value)));
            let is_default = |value: &Value| match value {
                Value::Null => true,
                Value::Bool(yes) => !yes,
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::String(text) => text.is_empty() || text == "0",
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
            };
            Value::Object(fields.filter(|(_, value)| !is_default(value)).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_defaults).collect()),
        other => other,
    }
}

async fn json_writes_exactly_these_bytes(site: Site) -> Outcome {
    writes_exactly(&site).await
}

async fn protobuf_writes_exactly_these_bytes(site: Site) -> Outcome {
    writes_exactly(&site).await
}

async fn what_protobuf_writes_is_protobuf(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let (vectors, _) = vectors(&site)?;
    for Vector { body, .. } in &vectors {
        let marshalled = works("marshal", codec.marshaler().marshal(body.payload()))?;
        let on_carrier = written(&codec, "a body", body.payload())?;
        for (where_to, bytes) in [("by marshal", &marshalled), ("on a carrier", &on_carrier)] {
            let what = format!("read what is written {where_to}, {}, by a parser of protobuf", shown(bytes));
            match body {
                Body::Event(wanted) => alike(&what, &parsed(&what, bytes)?, wanted)?,
                Body::Request(wanted) => alike(&what, &parsed(&what, bytes)?, wanted)?,
                Body::Sample(wanted) => alike(&what, &parsed(&what, bytes)?, wanted)?,
            }
        }
    }
    Ok(())
}

/// What a parser that is not the plugin's makes of `bytes`.
fn parsed<T: prost::Message + Default>(what: &str, bytes: &[u8]) -> Result<T, Finding> {
    T::decode(bytes).map_err(|error| Finding::violated(format!("'{what}' to succeed"), format!("the error `{error}`")))
}

async fn writes_exactly(site: &Site) -> Outcome {
    let codec = site.codec().await?;
    let (vectors, end) = vectors(site)?;
    for Vector { body, bytes, .. } in &vectors {
        let marshalled = works("marshal", codec.marshaler().marshal(body.payload()))?;
        expect(marshalled == *bytes, format!("{body:?} to be {}", shown(bytes)), || shown(&marshalled))?;
        let on_carrier = written(&codec, "a body", body.payload())?;
        let wanted = [*bytes, end].concat();
        expect(on_carrier == wanted, format!("{body:?} to be {} on a carrier", shown(&wanted)), || shown(&on_carrier))?;
    }
    Ok(())
}

async fn json_reads_these_bytes(site: Site) -> Outcome {
    reads(&site).await
}

async fn protobuf_reads_these_bytes(site: Site) -> Outcome {
    reads(&site).await
}

async fn reads(site: &Site) -> Outcome {
    let codec = site.codec().await?;
    let (vectors, end) = vectors(site)?;
    for Vector { body, bytes, also } in &vectors {
        for bytes in also.iter().chain([bytes]) {
            let what = format!("the body that is written as {}", shown(bytes));
            let marshaler = codec.marshaler();
            let pipe = Pipe::holding(&[*bytes, end].concat());
            let mut reader = pipe.codec(&codec);
            match body {
                Body::Event(wanted) => {
                    let mut got = stale();
                    works(&format!("unmarshal {what}"), marshaler.unmarshal(bytes, &mut got))?;
                    alike(&what, &got, wanted)?;
                    alike(&what, &works(&format!("read {what}"), read(&mut *reader, stale()))?, wanted)?;
                }
                Body::Request(wanted) => {
                    let got = works(&format!("read {what}"), read(&mut *reader, ProbeRequest::default()))?;
                    alike(&what, &got, wanted)?;
                }
                Body::Sample(wanted) => {
                    let got = works(&format!("read {what}"), read(&mut *reader, Sample::default()))?;
                    alike(&what, &got, wanted)?;
                }
            }
        }
    }
    Ok(())
}

/// Bytes as people read them: text where it is text.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|letter| letter.is_control() && letter != '\n') => format!("{text:?}"),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
    }
}
