//! What each named codec writes, byte for byte: a table. A codec is added by adding its rows. It holds data alone.

use bytes::Bytes;
use shaketable_proto::probe::v1::{ProbeEvent, ProbeRequest};
use shaketable_stack::codec::Payload;

use super::sample::Sample;

/// A body, and its bytes.
pub(super) struct Vector {
    pub(super) body: Body,
    /// As the marshaler has it.
    pub(super) bytes: &'static [u8],
    /// Other bytes that mean the same to a reader.
    pub(super) also: &'static [&'static [u8]],
}

/// What can be a body of a vector.
#[derive(Debug)]
pub(super) enum Body {
    Event(ProbeEvent),
    Request(ProbeRequest),
    Sample(Sample),
}

impl Body {
    pub(super) fn payload(&self) -> &dyn Payload {
        match self {
            Self::Event(event) => event,
            Self::Request(request) => request,
            Self::Sample(sample) => sample,
        }
    }
}

/// The vectors of the codec called `name`, and what it writes on a carrier after each body.
pub(super) fn of(name: &str) -> Option<(Vec<Vector>, &'static [u8])> {
    match name {
        "json" => Some((json(), b"\n")),
        "protobuf" => Some((protobuf(), b"")),
        _ => None,
    }
}

fn event(sequence: u64) -> Body {
    Body::Event(ProbeEvent {
        id: "a".to_owned(),
        sequence,
        publisher: "p\"\u{e4}".to_owned(),
        payload: Bytes::from_static(&[0xff, 0xfe]),
    })
}

fn request() -> Body {
    Body::Request(ProbeRequest {
        id: "a".to_owned(),
        payload: Bytes::from_static(b"foobar"),
        work_ms: 7,
        fail: true,
        replies: u32::MAX,
    })
}

fn sample() -> Body {
    Body::Sample(Sample {
        large: -2,
        small: -1,
        fraction: 0.5,
        yes: true,
        list: vec!["x".to_owned(), "y".to_owned()],
        map: [("k".to_owned(), "v".to_owned())].into(),
        inner: Some(Box::new(Sample {
            large: 1,
            small: 2,
            fraction: -1.5,
            yes: true,
            list: vec!["z".to_owned()],
            map: [("m".to_owned(), "w".to_owned())].into(),
            inner: None,
        })),
    })
}

/// RFC 8259 and protobuf's JSON mapping.
fn json() -> Vec<Vector> {
    vec![
        Vector {
            body: event(300),
            bytes: "{\"id\":\"a\",\"sequence\":\"300\",\"publisher\":\"p\\\"\u{e4}\",\"payload\":\"//4=\"}".as_bytes(),
            also: &[
                b"{\"payload\":\"//4\",\"publisher\":\"p\\u0022\\u00e4\",\"sequence\":300,\"id\":\"\\u0061\"}",
                b" {\r\n\t\"id\" : \"a\" , \"sequence\" : \"300\", \"new\":[{}], \
                  \"publisher\":\"p\\\"\\u00E4\", \"payload\":\"__4\" } ",
            ],
        },
        Vector {
            body: event(u64::MAX),
            bytes: "{\"id\":\"a\",\"sequence\":\"18446744073709551615\",\
                    \"publisher\":\"p\\\"\u{e4}\",\"payload\":\"//4=\"}"
                .as_bytes(),
            also: &[],
        },
        Vector {
            body: request(),
            bytes: b"{\"id\":\"a\",\"payload\":\"Zm9vYmFy\",\"workMs\":7,\"fail\":true,\"replies\":4294967295}",
            also: &[],
        },
        Vector {
            body: sample(),
            bytes: b"{\"large\":\"-2\",\"small\":-1,\"fraction\":0.5,\"yes\":true,\
                     \"list\":[\"x\",\"y\"],\"map\":{\"k\":\"v\"},\
                     \"inner\":{\"large\":\"1\",\"small\":2,\"fraction\":-1.5,\"yes\":true,\
                     \"list\":[\"z\"],\"map\":{\"m\":\"w\"}}}",
            also: &[],
        },
        Vector {
            body: Body::Event(ProbeEvent { sequence: 12, ..ProbeEvent::default() }),
            bytes: b"{\"id\":\"\",\"sequence\":\"12\",\"publisher\":\"\",\"payload\":\"\"}",
            also: &[b"{\"sequence\":12}", b"{\"payload\":null,\"sequence\":\"12\"}"],
        },
    ]
}

/// The protobuf encoding guide (protobuf.dev/programming-guides/encoding): fields by number, each once.
fn protobuf() -> Vec<Vector> {
    vec![
        Vector {
            body: event(300),
            bytes: b"\x0a\x01a\x10\xac\x02\x1a\x04p\"\xc3\xa4\x22\x02\xff\xfe",
            also: &[
                b"\x22\x02\xff\xfe\x1a\x04p\"\xc3\xa4\x10\xac\x02\x0a\x01a",
                // The last of a field counts, and fields that nobody knows are passed over.
                b"\x10\x01\x0a\x01a\x10\xac\x02\x7a\x03new\x1a\x04p\"\xc3\xa4\x81\x01\0\0\0\0\0\0\0\0\x22\x02\xff\xfe",
                // A number with more bytes than it needs.
                b"\x0a\x81\x00a\x10\xac\x82\x00\x1a\x04p\"\xc3\xa4\x22\x02\xff\xfe",
            ],
        },
        Vector {
            body: event(u64::MAX),
            bytes: b"\x0a\x01a\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x04p\"\xc3\xa4\x22\x02\xff\xfe",
            also: &[],
        },
        Vector {
            body: request(),
            bytes: b"\x0a\x01a\x12\x06foobar\x18\x07\x20\x01\x28\xff\xff\xff\xff\x0f",
            also: &[],
        },
        Vector {
            body: sample(),
            bytes: b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\
                     \x19\0\0\0\0\0\0\xe0\x3f\x20\x01\x2a\x01x\x2a\x01y\x32\x06\x0a\x01k\x12\x01v\
                     \x3a\x1a\x08\x01\x10\x02\x19\0\0\0\0\0\0\xf8\xbf\x20\x01\x2a\x01z\x32\x06\x0a\x01m\x12\x01w",
            also: &[],
        },
        Vector {
            body: Body::Event(ProbeEvent { sequence: 12, ..ProbeEvent::default() }),
            bytes: b"\x10\x0c",
            also: &[b"\x0a\x00\x10\x0c\x1a\x00\x22\x00"],
        },
        Vector { body: Body::Event(ProbeEvent::default()), bytes: b"", also: &[b"\x10\x00"] },
    ]
}
