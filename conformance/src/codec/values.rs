//! Values: what goes in comes out, whatever its type, its size and what was there before.

use std::collections::BTreeMap;

use bytes::Bytes;
use shaketable_proto::probe::v1::{ProbeEvent, ProbeRequest, ProbeResponse};
use shaketable_stack::codec::Frame;

use super::sample::Sample;
use super::tools::{MARSHALER, any_event, event, stale, survives, survives_marshaler, survives_or_is_too_large, works};
use crate::Level::Must;
use crate::requirement::check;
use crate::sizes::{MODEST_BYTES, SIZES};
use crate::{Need, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "COD-001",
        level: Must,
        sentence: "A body that was written on a carrier is read from it as it was.",
        source: "go-micro codec/codec.go: Writer.Write, Reader.ReadBody",
        needs: &[],
        check: check!(a_body_survives_the_carrier),
    },
    Requirement {
        id: "COD-002",
        level: Must,
        sentence: "A body that was marshalled is unmarshalled as it was.",
        source: "go-micro codec/codec.go: Marshaler",
        needs: &[MARSHALER],
        check: check!(a_body_survives_the_marshaler),
    },
    Requirement {
        id: "COD-003",
        level: Must,
        sentence: "Whole numbers survive up to the ends of their types, those beyond 2^53 too.",
        source: "protobuf's JSON mapping (protobuf.dev/programming-guides/json): 64-bit numbers are text; RFC 8259, \
                 section 6: numbers beyond 2^53 are read as doubles, which do not hold them",
        needs: &[],
        check: check!(whole_numbers_survive),
    },
    Requirement {
        id: "COD-004",
        level: Must,
        sentence: "Fractions survive bit by bit.",
        source: "IEEE 754, section 5.12: a text of 17 digits brings a double back; RFC 8259, section 6: numbers are \
                 expected to be doubles",
        needs: &[],
        check: check!(fractions_survive),
    },
    Requirement {
        id: "COD-005",
        level: Must,
        sentence: "Texts survive letter by letter: any Unicode, NUL, quotes, brackets and line ends.",
        source: "RFC 8259, section 7; protobuf encoding guide: strings are UTF-8",
        needs: &[],
        check: check!(texts_survive),
    },
    Requirement {
        id: "COD-006",
        level: Must,
        sentence: "Bytes of every value survive.",
        source: "protobuf's JSON mapping: bytes are base64; RFC 4648",
        needs: &[],
        check: check!(bytes_survive),
    },
    Requirement {
        id: "COD-007",
        level: Must,
        sentence: "Lists keep their order, maps their entries, and messages within messages their depth.",
        source: "protobuf encoding guide: repeated fields, maps, submessages",
        needs: &[],
        check: check!(structures_survive),
    },
    Requirement {
        id: "COD-008",
        level: Must,
        sentence: "A message whose fields all have their defaults is written such that it can be read, and replaces \
                   what was there.",
        source: "go-micro codec/grpc (v6.10.0): no frame is written for an empty message, and the reader waits for it",
        needs: &[],
        check: check!(an_empty_message_survives),
    },
    Requirement {
        id: "COD-009",
        level: Must,
        sentence: "Bodies of every size up to 4 MiB and a byte survive; one of more than half of what is promised, or of more \
                   than 64 KiB where no size is, may be refused with TooLarge instead.",
        source: "go-micro codec/grpc/util.go: MaxMessageSize, 4 MiB, and decode, which takes what one Read gives for \
                 the whole; decision of shaketable: what is written around a body, or instead of it, takes as \
                 much again at most",
        needs: &[],
        check: check!(bodies_of_every_size_survive),
    },
    Requirement {
        id: "COD-010",
        level: Must,
        sentence: "A frame, which is bytes that are a body already, passes as it is.",
        source: "go-micro codec/bytes/bytes.go: Frame; client/rpc_codec.go and server/rpc_codec.go pass it on \
                 unencoded",
        needs: &[Need::InProcess("a frame")],
        check: check!(a_frame_passes_as_it_is),
    },
];

async fn a_body_survives_the_carrier(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let mut random = site.env().random("events");
    for _ in 0..20 {
        survives(&codec, "an event", &any_event(&mut random), stale())?;
    }
    let request =
        ProbeRequest { id: "a".into(), payload: Bytes::from_static(b"b"), work_ms: 7, fail: true, replies: u32::MAX };
    survives(&codec, "a request", &request, ProbeRequest::default())?;
    let response =
        ProbeResponse { id: "a".into(), node_id: "n-1".into(), payload: Bytes::from_static(b"c"), attempt: 2 };
    survives(&codec, "a response", &response, ProbeResponse::default())
}

async fn a_body_survives_the_marshaler(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let mut random = site.env().random("events");
    for _ in 0..20 {
        survives_marshaler(&codec, "an event", &any_event(&mut random), stale())?;
    }
    Ok(())
}

async fn whole_numbers_survive(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let double_ends = 1_u64 << 53;
    for sequence in [0, 1, 127, 128, double_ends - 1, double_ends + 1, i64::MAX as u64 + 1, u64::MAX - 1, u64::MAX] {
        let what = format!("an event with the number {sequence}");
        survives(&codec, &what, &ProbeEvent { sequence, ..event() }, stale())?;
    }
    for large in [i64::MIN, i64::MIN + 1, -((1 << 53) + 1), -1, 1, i64::MAX] {
        for small in [i32::MIN, -1, i32::MAX] {
            let what = format!("a message with the numbers {large} and {small}");
            survives(&codec, &what, &Sample { large, small, ..Sample::default() }, Sample::default())?;
        }
    }
    Ok(())
}

async fn fractions_survive(site: Site) -> Outcome {
    use rand::Rng;
    let codec = site.codec().await?;
    let mut random = site.env().random("fractions");
    let mut fractions =
        vec![0.1, -2.5, 1.0 / 3.0, 1e21, 1e-7, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, f64::EPSILON];
    fractions.extend((0..50).map(|_| f64::from_bits(random.random())).filter(|fraction| fraction.is_finite()));
    fractions.extend((0..50).map(|_| random.random_range(-1_000.0..1_000.0)));
    for fraction in fractions {
        let what = format!("a message with the fraction {fraction:e}");
        survives(&codec, &what, &Sample { fraction, ..Sample::default() }, Sample::default())?;
    }
    Ok(())
}

async fn texts_survive(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let long = "x".repeat(100_000);
    let texts = [
        "",
        "\0",
        "a\0b",
        "\"quoted\" \\ and \\\" more \\u0041",
        "}{][,:",
        "one\ntwo\r\nthree\t\u{8}\u{c}\u{1}\u{1f}\u{7f}",
        "größer, 日本, 🦀, e\u{301}, \u{feff}, \u{2028}\u{2029}",
        "\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}",
        " leading and trailing ",
        "null",
        &long,
    ];
    for text in texts {
        let what = format!("an event with the text {:?}", text.chars().take(60).collect::<String>());
        let event = ProbeEvent { id: text.to_owned(), publisher: text.to_owned(), ..event() };
        survives(&codec, &what, &event, stale())?;
    }
    Ok(())
}

async fn bytes_survive(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let all: Vec<u8> = (0..=255).collect();
    // Every rest that base64 has to fill up.
    for length in [256, 255, 254, 253, 3, 2, 1] {
        let what = format!("an event with {length} bytes");
        let event = ProbeEvent { payload: Bytes::copy_from_slice(&all[256 - length..]), ..event() };
        survives(&codec, &what, &event, stale())?;
    }
    Ok(())
}

async fn structures_survive(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let texts = ["b", "a", "", "b", "größer"];
    let list: Vec<String> = texts.map(str::to_owned).to_vec();
    let map: BTreeMap<String, String> = texts.map(|text| (text.to_owned(), format!("of {text}"))).into();
    let mut deep = Sample { large: -1, list: list.clone(), map: map.clone(), ..Sample::default() };
    for depth in 0..30 {
        deep = Sample { large: depth, yes: depth % 2 == 0, inner: Some(Box::new(deep)), ..Sample::default() };
    }
    for body in [Sample { list, map, ..Sample::default() }, deep] {
        survives(&codec, "a message with a list, a map or messages within it", &body, Sample::default())?;
    }
    // What is present and empty is not what is absent.
    let empty_within = Sample { inner: Some(Box::default()), ..Sample::default() };
    survives(&codec, "a message with an empty one within it", &empty_within, Sample::default())
}

async fn an_empty_message_survives(site: Site) -> Outcome {
    let codec = site.codec().await?;
    survives(&codec, "an empty message", &ProbeEvent::default(), stale())
}

async fn bodies_of_every_size_survive(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let taken = site.promises().message_bytes_max.map_or(MODEST_BYTES, |bytes_max| bytes_max / 2);
    for size in SIZES {
        let payload: Vec<u8> = (0..size).map(|index| (index * 31 + (index >> 8) * 7) as u8).collect();
        let event = ProbeEvent { payload: payload.into(), ..event() };
        let what = format!("an event with {size} bytes");
        if size <= taken {
            survives(&codec, &what, &event, stale())?;
        } else {
            survives_or_is_too_large(&codec, &what, &event, stale())?;
        }
    }
    Ok(())
}

async fn a_frame_passes_as_it_is(site: Site) -> Outcome {
    let codec = site.codec().await?;
    for bytes in [&b"{\"a\": [1,\n2]} "[..], b"\x00\xff\n\r\n\"", b"x"] {
        let frame = Frame(Bytes::copy_from_slice(bytes));
        let marshalled = works("marshal a frame", codec.marshaler().marshal(&frame))?;
        expect(marshalled == bytes, format!("the frame's own bytes, {bytes:?}"), || format!("{marshalled:?}"))?;
        survives(&codec, "a frame", &frame, Frame(Bytes::from_static(b"stale")))?;
        survives_marshaler(&codec, "a frame", &frame, Frame(Bytes::from_static(b"stale")))?;
    }
    Ok(())
}
