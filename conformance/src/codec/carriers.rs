//! Carriers: those that take and give little at a time, that are interrupted, and that break.

use shaketable_proto::probe::v1::ProbeEvent;
use shaketable_stack::codec::MessageType;

use super::tools::{CARRIER, Pipe, alike, event, message, read, stale, works, write, written};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "COD-018",
        level: Must,
        sentence: "A carrier that gives its bytes one by one changes nothing of what is read.",
        source: "go-micro codec/grpc/util.go: decode, and codec/protorpc/netstring.go: ReadNetString, take what one \
                 Read gives for the whole; Rust std::io::Read: fewer bytes than there is room for are no end",
        needs: &[CARRIER],
        check: check!(bytes_may_come_one_by_one),
    },
    Requirement {
        id: "COD-019",
        level: Must,
        sentence: "A carrier that takes few bytes at a time gets all of them.",
        source: "Rust std::io::Write: write may take less than it is given",
        needs: &[CARRIER],
        check: check!(bytes_may_be_taken_one_by_one),
    },
    Requirement {
        id: "COD-020",
        level: Should,
        sentence: "Reads and writes that are interrupted are tried again.",
        source: "Rust std::io::ErrorKind::Interrupted: such operations can typically be retried",
        needs: &[CARRIER],
        check: check!(interruptions_are_no_end),
    },
    Requirement {
        id: "COD-021",
        level: Must,
        sentence: "A carrier that breaks while a body is read gives an error, not the part that came.",
        source: "go-micro codec/proto/proto.go: ReadBody returns the carrier's error; decision of shaketable: an error \
                 of the carrier is not its end",
        needs: &[CARRIER],
        check: check!(a_carrier_that_breaks_gives_no_body),
    },
    Requirement {
        id: "COD-022",
        level: Must,
        sentence: "A carrier that breaks while a message is written makes the write fail.",
        source: "go-micro codec/proto/proto.go: Write returns the carrier's error; codec/protorpc/protorpc.go: Write \
                 of an event drops it",
        needs: &[CARRIER],
        check: check!(a_carrier_that_breaks_fails_the_write),
    },
    Requirement {
        id: "COD-023",
        level: Should,
        sentence: "A carrier that keeps what is written is told to pass it on with each message.",
        source: "go-micro codec/protorpc/protorpc.go: Write flushes a carrier that can be flushed; decision of \
                 shaketable: who waits for the answer to a message that lies in a buffer waits for ever",
        needs: &[CARRIER],
        check: check!(each_message_is_passed_on),
    },
    Requirement {
        id: "COD-024",
        level: Must,
        sentence: "Codecs of one factory share nothing: what one reads or writes is not seen by another.",
        source: "go-micro codec/codec.go: NewCodec makes a codec for each connection; pull request 941: goroutines \
                 raced for one buffer",
        needs: &[],
        check: check!(codecs_share_nothing),
    },
];

async fn bytes_may_come_one_by_one(site: Site) -> Outcome {
    let codec = site.codec().await?;
    for step in [1, 2, 3, 100] {
        let pipe = Pipe::default();
        write(&mut *pipe.codec(&codec), "an event", &event())?;
        pipe.state().step = step;
        let what = format!("an event from a carrier that gives {step} bytes at a time");
        alike(&what, &works(&format!("read {what}"), read(&mut *pipe.codec(&codec), stale()))?, &event())?;
    }
    Ok(())
}

async fn bytes_may_be_taken_one_by_one(site: Site) -> Outcome {
    let codec = site.codec().await?;
    for step in [1, 2, 3] {
        let pipe = Pipe::default();
        pipe.state().step = step;
        let what = format!("an event to a carrier that takes {step} bytes at a time");
        write(&mut *pipe.codec(&codec), &what, &event())?;
        pipe.state().step = 0;
        alike(&what, &works("read it", read(&mut *pipe.codec(&codec), stale()))?, &event())?;
    }
    Ok(())
}

async fn interruptions_are_no_end(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let pipe = Pipe::default();
    {
        let mut state = pipe.state();
        state.interrupts = true;
        state.step = 5;
    }
    write(&mut *pipe.codec(&codec), "an event to a carrier that is interrupted", &event())?;
    let got = works("read an event from a carrier that is interrupted", read(&mut *pipe.codec(&codec), stale()))?;
    alike("the event", &got, &event())
}

async fn a_carrier_that_breaks_gives_no_body(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let whole = written(&codec, "an event", &event())?;
    for length in 0..=whole.len() / 2 {
        let pipe = Pipe::holding(&whole[..length]);
        pipe.state().breaks = true;
        let got = read(&mut *pipe.codec(&codec), stale());
        let expected = format!("an error when the carrier breaks after {length} of {} bytes", whole.len());
        expect(got.is_err(), expected, || format!("{got:?}"))?;
    }
    // To drop a body that does not come is no success either.
    let pipe = Pipe::holding(&whole[..whole.len() / 2]);
    pipe.state().breaks = true;
    let mut reader = pipe.codec(&codec);
    let mut header = message(MessageType::Event);
    let dropped = reader.read_header(&mut header, MessageType::Event).and_then(|()| reader.read_body(None));
    expect(dropped.is_err(), "an error when the carrier breaks inside a body that is dropped", || "none".to_owned())
}

async fn a_carrier_that_breaks_fails_the_write(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let length = written(&codec, "an event", &event())?.len();
    for room in [0, 1, length / 2, length - 1] {
        let pipe = Pipe::default();
        pipe.state().room = Some(room);
        let result = pipe.codec(&codec).write(&message(MessageType::Event), Some(&event()));
        let expected = format!("an error when the carrier breaks after {room} of {length} bytes");
        expect(result.is_err(), expected, || "the write succeeded".to_owned())?;
    }
    Ok(())
}

async fn each_message_is_passed_on(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let pipe = Pipe::default();
    let mut writer = pipe.codec(&codec);
    for count in 1..=3 {
        write(&mut *writer, "an event", &event())?;
        let left = pipe.state().unflushed;
        expect_equal(&format!("the bytes that were not passed on after {count} messages"), &left, &0)?;
    }
    Ok(())
}

async fn codecs_share_nothing(site: Site) -> Outcome {
    let codec = site.codec().await?;
    let other = ProbeEvent { id: "of the other".to_owned(), ..event() };
    let (first, second) = (Pipe::default(), Pipe::default());
    let (mut first_writer, mut second_writer) = (first.codec(&codec), second.codec(&codec));
    write(&mut *first_writer, "an event on one carrier", &event())?;
    write(&mut *second_writer, "an event on another", &other)?;
    let (mut first_reader, mut second_reader) = (first.codec(&codec), second.codec(&codec));
    // Begun on one carrier before the other is read; what one has read ahead is its own.
    works("read a header", first_reader.read_header(&mut message(MessageType::Event), MessageType::Event))?;
    let got = works("read from the other carrier", read(&mut *second_reader, stale()))?;
    alike("the event on the other carrier", &got, &other)?;
    let mut body = stale();
    works("read from the one carrier", first_reader.read_body(Some(&mut body)))?;
    alike("the event on the one carrier", &body, &event())?;
    // What one codec leaves unread is lost with it, and no other's.
    let whole = written(&codec, "an event", &event())?;
    let torn = Pipe::holding(&whole[..whole.len() / 2]);
    drop(read(&mut *torn.codec(&codec), stale()));
    write(&mut *second_writer, "an event after another codec has failed", &other)?;
    let got = works("read it", read(&mut *second.codec(&codec), stale()))?;
    alike("an event after another codec has failed", &got, &other)?;
    works("close one codec", second_writer.close())?;
    write(&mut *first_writer, "an event after another codec was closed", &event())?;
    let got = works("read it", read(&mut *first.codec(&codec), stale()))?;
    alike("an event after another codec was closed", &got, &event())
}
