//! The marshaler: one value that many use, whose results depend on what it is given and on nothing else.

use std::collections::BTreeMap;

use shaketable_proto::probe::v1::ProbeEvent;

use super::sample::{Nested, Sample};
use super::tools::{MARSHALER, alike, any_event, event, stale, works};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "COD-032",
        level: Must,
        sentence: "What unmarshal reads replaces what was there: a field that was not written has its default.",
        source: "go-micro codec/json (Go encoding/json): Unmarshal into a used value leaves in it what the text does \
                 not name",
        needs: &[MARSHALER],
        check: check!(unmarshal_replaces),
    },
    Requirement {
        id: "COD-033",
        level: Must,
        sentence: "What marshal returned stays as it is, and is the whole of one body, whatever is marshalled before \
                   and after.",
        source: "go-micro codec/proto/marshaler.go (v2 to v6): the result lies in pooled memory that the next call \
                 overwrites",
        needs: &[MARSHALER],
        check: check!(results_are_their_owners),
    },
    Requirement {
        id: "COD-034",
        level: Should,
        sentence: "A marshaler may be used again while a body is written, as by a body that holds another.",
        source: "decision of shaketable: a lock that is held while a body writes itself would wait for ever where that \
                 body holds another",
        needs: &[MARSHALER],
        check: check!(a_body_may_use_the_marshaler),
    },
    Requirement {
        id: "COD-035",
        level: Should,
        sentence: "Equal bodies give equal bytes, maps and all.",
        source: "decision of shaketable: who compares, signs or caches bytes, and who repeats a run, relies on it",
        needs: &[],
        check: check!(equal_bodies_give_equal_bytes),
    },
    Requirement {
        id: "COD-036",
        level: Must,
        sentence: "Marshalers and codecs of one factory understand each other: a body is the same to both.",
        source: "decision of shaketable: brokers marshal and streams write, and what is one content type is one format",
        needs: &[MARSHALER],
        check: check!(two_marshalers_agree),
    },
];

async fn unmarshal_replaces(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let marshaler = codec.marshaler();
    let sparse = ProbeEvent { sequence: 7, ..ProbeEvent::default() };
    let bytes = works("marshal an event with a number alone", marshaler.marshal(&sparse))?;
    let mut got = stale();
    works("unmarshal it into a used event", marshaler.unmarshal(&bytes, &mut got))?;
    alike("an event that was read into a used one", &got, &sparse)?;
    // Lists and maps are replaced, not continued.
    let used = Sample {
        list: vec!["stale".to_owned()],
        map: BTreeMap::from([("stale".to_owned(), "1".to_owned())]),
        inner: Some(Box::new(Sample { small: 9, ..Sample::default() })),
        ..Sample::default()
    };
    let wanted = Sample {
        list: vec!["new".to_owned()],
        map: BTreeMap::from([("new".to_owned(), "2".to_owned())]),
        inner: Some(Box::new(Sample { large: 8, ..Sample::default() })),
        ..Sample::default()
    };
    let bytes = works("marshal lists and maps", marshaler.marshal(&wanted))?;
    let mut got = used;
    works("unmarshal them into used ones", marshaler.unmarshal(&bytes, &mut got))?;
    alike("a message that was read into a used one", &got, &wanted)
}

async fn results_are_their_owners(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let marshaler = codec.marshaler();
    let mut random = site.env().random("events");
    // Long ones before short ones and the other way round.
    let events: Vec<ProbeEvent> = (0..20).map(|_| any_event(&mut random)).collect();
    let mut results = Vec::new();
    for event in &events {
        results.push(works("marshal one of many", marshaler.marshal(event))?);
    }
    for (event, bytes) in events.iter().zip(&results) {
        let mut got = stale();
        works("unmarshal what marshal returned earlier", marshaler.unmarshal(bytes, &mut got))?;
        alike("an event that was marshalled among others", &got, event)?;
    }
    // Where room is asked for before it, what stands behind the room is the same.
    for (event, bytes) in events.iter().zip(&results) {
        let behind = works("marshal one behind five bytes", marshaler.marshal_behind(5, event))?;
        expect_equal("what stands behind five bytes of zero", &behind, &[&[0; 5], &bytes[..]].concat())?;
    }
    Ok(())
}

async fn a_body_may_use_the_marshaler(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let marshaler = codec.marshaler();
    let inner = ProbeEvent { id: "the inner".repeat(20), ..event() };
    let nested = Nested { marshaler: marshaler.clone(), outer: event(), inner };
    let bytes = works("marshal a body that marshals another", marshaler.marshal(&nested))?;
    let mut got = stale();
    works("unmarshal it", marshaler.unmarshal(&bytes, &mut got))?;
    alike("a body that marshals another", &got, &event())
}

async fn equal_bodies_give_equal_bytes(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let body = Sample {
        map: (0..12).map(|number| (format!("key {number}"), format!("value {number}"))).collect(),
        ..Sample::default()
    };
    let first = works("marshal a map", codec.marshaler().marshal(&body))?;
    for _ in 0..6 {
        let again = works("marshal it again", codec.marshaler().marshal(&body.clone()))?;
        expect(again == first, "the same bytes for the same body", || {
            let same = again.iter().zip(&first).take_while(|(one, other)| one == other).count();
            format!("bytes that differ from byte {same} on")
        })?;
    }
    Ok(())
}

async fn two_marshalers_agree(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let (one, other) = (codec.marshaler(), codec.marshaler());
    let bytes = works("marshal", one.marshal(&event()))?;
    let mut got = stale();
    works("unmarshal with another marshaler of the factory", other.unmarshal(&bytes, &mut got))?;
    alike("an event", &got, &event())?;
    expect_equal("the name of another marshaler", &other.name(), &one.name())
}
