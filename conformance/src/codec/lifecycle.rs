//! Names, content types, and the end: what a codec is called, what it is chosen by, and what closing it means.

use std::collections::{BTreeMap, BTreeSet};

use shaketable_stack::ErrorKind;
use shaketable_stack::codec::{Codecs, MessageType};
use shaketable_stack::plugin::{Setting, Settings};

use super::tools::{CARRIER, Pipe, event, fails, message, read, stale, works, write};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Finding, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "COD-037",
        level: Must,
        sentence: "Factory, codec and marshaler bear one name, which is not empty.",
        source: "go-micro codec/codec.go: String()",
        needs: &[Need::InProcess("a name")],
        check: check!(all_bear_one_name),
    },
    Requirement {
        id: "COD-038",
        level: Must,
        sentence: "There is a content type, and by each of them, in any case and with parameters, the codec is found.",
        source: "go-micro client/rpc_client.go and server/rpc_helper.go: newCodec, by content type; RFC 9110, section \
                 8.3.1: in any case, with parameters",
        needs: &[],
        check: check!(content_types_find_the_codec),
    },
    Requirement {
        id: "COD-039",
        level: Should,
        sentence: "Content types are in lower case, a type and a subtype, and each is there once.",
        source: "RFC 6838, section 4.2: a type and a subtype, in whatever case; decision of shaketable: lower case, so \
                 that names can be compared",
        needs: &[],
        check: check!(content_types_are_well_formed),
    },
    Requirement {
        id: "COD-040",
        level: Must,
        sentence: "After close a codec neither reads nor writes: every operation answers Closed.",
        source: "decision of shaketable: one kind for every codec, so that a caller can tell its own close from a \
                 broken carrier",
        needs: &[CARRIER],
        check: check!(a_closed_codec_refuses),
    },
    Requirement {
        id: "COD-041",
        level: Must,
        sentence: "A codec that is closed a second time has nothing to complain of.",
        source: "go-micro pull request 2693: a stream closed what its codec had closed already",
        needs: &[CARRIER],
        check: check!(a_codec_may_be_closed_twice),
    },
    Requirement {
        id: "COD-042",
        level: Must,
        sentence: "A codec that is closed lets go of its carrier, so that the connection below can end.",
        source: "go-micro codec/json/json.go: Close closes the connection",
        needs: &[CARRIER],
        check: check!(close_releases_the_carrier),
    },
    Requirement {
        id: "COD-056",
        level: Must,
        sentence: "A codec that is dropped without close lets go of its carrier, too.",
        source: "decision of shaketable: in Rust what is dropped is gone, and a connection that somebody still holds does not \
                 end",
        needs: &[CARRIER],
        check: check!(drop_releases_the_carrier),
    },
    Requirement {
        id: "COD-043",
        level: Should,
        sentence: "A setting that the codec does not know is refused when it is made.",
        source: "decision of shaketable: a misspelt setting that is silently ignored is found in production",
        needs: &[Need::InProcess("a setting")],
        check: check!(an_unknown_setting_is_refused_by_the_codec),
    },
];

async fn all_bear_one_name(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let name = codec.name();
    expect(!name.is_empty(), "a name", || "none".to_owned())?;
    expect_equal("the name of the marshaler", &codec.marshaler().name(), &name)?;
    expect_equal("the name of a codec", &Pipe::default().codec(&codec).name(), &name)
}

async fn content_types_find_the_codec(site: Site) -> Outcome {
    let codec = site.codec().await?;
    expect(!codec.content_types().is_empty(), "a content type", || "none".to_owned())?;
    let codecs = Codecs::new(vec![codec.clone()]);
    for own in codec.content_types() {
        for asked in [(*own).to_owned(), own.to_ascii_uppercase(), format!("{own}; charset=utf-8")] {
            let found = codecs.by_content_type(&asked).map(|found| found.name());
            expect_equal(&format!("the codec for '{asked}'"), &found, &Some(codec.name()))?;
        }
    }
    Ok(())
}

async fn content_types_are_well_formed(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let part = |text: &str| {
        let restricted = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$&-^_.+".contains(&byte);
        !text.is_empty() && text.bytes().all(restricted)
    };
    let mut seen = BTreeSet::new();
    for own in codec.content_types() {
        let formed = own.split_once('/').is_some_and(|(main, sub)| part(main) && part(sub));
        expect(formed, "type/subtype in lower case", || format!("'{own}'"))?;
        expect(seen.insert(own), "each content type once", || format!("'{own}' twice"))?;
    }
    Ok(())
}

async fn a_closed_codec_refuses(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let closed = [ErrorKind::Closed];
    let pipe = Pipe::default();
    let mut one = pipe.codec(&codec);
    // There is something to be read, and something may have been read ahead.
    write(&mut *one, "an event", &event())?;
    works("close", one.close())?;
    let mut header = message(MessageType::Event);
    let sent = message(MessageType::Event);
    fails("write after close", &closed, one.write(&sent, Some(&event())))?;
    fails("write without a body after close", &closed, one.write(&sent, None))?;
    fails("read a header after close", &closed, one.read_header(&mut header, MessageType::Event))?;
    fails("read a body after close", &closed, one.read_body(Some(&mut stale())))?;
    fails("drop a body after close", &closed, one.read_body(None))
}

async fn a_codec_may_be_closed_twice(site: Site) -> Outcome {
    let codec = site.codec().await?;
    for _ in 0..2 {
        let mut one = Pipe::default().codec(&codec);
        works("close", one.close())?;
        works("close again", one.close())?;
    }
    Ok(())
}

async fn close_releases_the_carrier(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let pipe = Pipe::default();
    let mut one = pipe.codec(&codec);
    write(&mut *one, "an event", &event())?;
    works("close", one.close())?;
    expect(pipe.is_released(), "a carrier that nobody holds after close", || "the codec still holds it".to_owned())
}

async fn drop_releases_the_carrier(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let (unused, used) = (Pipe::default(), Pipe::default());
    drop(unused.codec(&codec));
    let mut one = used.codec(&codec);
    write(&mut *one, "an event", &event())?;
    works("read an event", read(&mut *one, stale()))?;
    drop(one);
    for pipe in [unused, used] {
        expect(pipe.is_released(), "a carrier that nobody holds after drop", || "somebody still holds it".to_owned())?;
    }
    Ok(())
}

async fn an_unknown_setting_is_refused_by_the_codec(site: Site) -> Outcome {
    let plugin = &site.shared.subject.plugin;
    let factory = site.shared.plugins.codecs.get(plugin).map(|plugin| plugin.factory.clone());
    let factory = factory.map_err(|error| Finding::Broke(error.to_string()))?;
    let settings = BTreeMap::from([("no_such_setting".to_owned(), Setting::Bool(true))]);
    let made = factory(site.env().clone(), Settings::new(Vec::new(), settings));
    site.refused("make it with 'no_such_setting'", &[ErrorKind::InvalidInput], made).await.map(drop)
}
