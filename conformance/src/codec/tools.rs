//! What checks of codecs have in common: a carrier that can be watched and disturbed, and the way of a body through it.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rand::{Rng, RngCore};
use shaketable_proto::probe::v1::ProbeEvent;
use shaketable_stack::codec::{Codec, CodecFactory, Message, MessageType, Payload};
use shaketable_stack::env::Random;
use shaketable_stack::{ErrorKind, Result as StackResult};

use crate::{Finding, Need, Outcome, expect};

/// What a codec says of bytes that are not what they should be.
pub(super) const NO_MESSAGE: [ErrorKind; 4] =
    [ErrorKind::InvalidMessage, ErrorKind::EndOfStream, ErrorKind::Disconnected, ErrorKind::TooLarge];

/// The check holds the codec's carrier. An adapter's codec has one of its own, of which the harness sees the bytes.
pub(super) const CARRIER: Need = Need::InProcess("a carrier that the check holds");

/// The plugin's own marshaler is judged. An adapter has codecs alone, by which the harness marshals.
pub(super) const MARSHALER: Need = Need::InProcess("a marshaler");

/// A carrier that the check keeps a handle of.
#[derive(Clone, Default)]
pub(super) struct Pipe(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    bytes: VecDeque<u8>,
    /// How many bytes one read or write takes at most; 0 is any number.
    pub(super) step: usize,
    /// Every other read and write is interrupted.
    pub(super) interrupts: bool,
    interrupted: bool,
    /// What reads give once the bytes are used up.
    pub(super) breaks: bool,
    /// How many bytes can still be written before writes fail.
    pub(super) room: Option<usize>,
    /// Bytes that were written since the last flush.
    pub(super) unflushed: usize,
}

impl Pipe {
    pub(super) fn holding(bytes: &[u8]) -> Self {
        let pipe = Self::default();
        pipe.state().bytes.extend(bytes);
        pipe
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn content(&self) -> Vec<u8> {
        self.state().bytes.iter().copied().collect()
    }

    /// Whether nobody but the check holds it.
    pub(super) fn is_released(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// A codec on it.
    pub(super) fn codec(&self, factory: &Arc<dyn CodecFactory>) -> Box<dyn Codec> {
        factory.codec(Box::new(self.clone()))
    }
}

impl State {
    fn interrupt(&mut self) -> io::Result<()> {
        self.interrupted = self.interrupts && !self.interrupted;
        if self.interrupted { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    fn at_once(&self, length: usize) -> usize {
        if self.step == 0 { length } else { length.min(self.step) }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        state.interrupt()?;
        if state.breaks && state.bytes.is_empty() && !buffer.is_empty() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let length = state.at_once(buffer.len());
        state.bytes.read(&mut buffer[..length])
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        state.interrupt()?;
        let mut length = state.at_once(bytes.len());
        if let Some(room) = &mut state.room {
            if *room == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            length = length.min(*room);
            *room -= length;
        }
        state.bytes.extend(&bytes[..length]);
        state.unflushed += length;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.state().unflushed = 0;
        Ok(())
    }
}

/// A message of that kind, with all that a request says.
pub(super) fn message(kind: MessageType) -> Message {
    Message {
        id: "7".to_owned(),
        kind,
        target: "go.micro.srv.user".to_owned(),
        method: "User.Get".to_owned(),
        endpoint: "User.Get".to_owned(),
        ..Message::default()
    }
}

/// Writes `body` on `codec` as an event.
pub(super) fn write(codec: &mut dyn Codec, what: &str, body: &dyn Payload) -> Outcome {
    write_as(MessageType::Event, codec, what, body)
}

/// Writes `body` on `codec` as a message of that kind.
pub(super) fn write_as(kind: MessageType, codec: &mut dyn Codec, what: &str, body: &dyn Payload) -> Outcome {
    works(&format!("write {what}"), codec.write(&message(kind), Some(body)))
}

/// Reads the header of an event and its body into a `T` that is filled with something else.
pub(super) fn read<T: Payload>(codec: &mut dyn Codec, into: T) -> StackResult<T> {
    read_as(MessageType::Event, codec, into)
}

/// The same of a message of that kind.
pub(super) fn read_as<T: Payload>(kind: MessageType, codec: &mut dyn Codec, mut into: T) -> StackResult<T> {
    codec.read_header(&mut Message::default(), kind)?;
    codec.read_body(Some(&mut into))?;
    Ok(into)
}

/// The bytes that a codec of `factory` writes for `body`.
pub(super) fn written(factory: &Arc<dyn CodecFactory>, what: &str, body: &dyn Payload) -> Result<Vec<u8>, Finding> {
    let pipe = Pipe::default();
    write(&mut *pipe.codec(factory), what, body)?;
    Ok(pipe.content())
}

/// Lets `body` pass through a carrier into `into`, and expects it there as it was.
pub(super) fn survives<T>(factory: &Arc<dyn CodecFactory>, what: &str, body: &T, into: T) -> Outcome
where
    T: Payload + PartialEq,
{
    let pipe = Pipe::default();
    // Still open when it is read: what is written is on the carrier at once.
    let mut writer = pipe.codec(factory);
    write(&mut *writer, what, body)?;
    let got = works(&format!("read {what}"), read(&mut *pipe.codec(factory), into))?;
    alike(what, &got, body)
}

/// The same, where writer and reader may say that it is too large.
pub(super) fn survives_or_is_too_large<T>(factory: &Arc<dyn CodecFactory>, what: &str, body: &T, into: T) -> Outcome
where
    T: Payload + PartialEq,
{
    let pipe = Pipe::default();
    let mut writer = pipe.codec(factory);
    let passed =
        writer.write(&message(MessageType::Event), Some(body)).and_then(|()| read(&mut *pipe.codec(factory), into));
    match passed {
        Err(error) if error.kind() == ErrorKind::TooLarge => Ok(()),
        passed => alike(what, &works(&format!("write and read {what}"), passed)?, body),
    }
}

/// The same through the marshaler.
pub(super) fn survives_marshaler<T>(factory: &Arc<dyn CodecFactory>, what: &str, body: &T, mut into: T) -> Outcome
where
    T: Payload + PartialEq,
{
    let marshaler = factory.marshaler();
    let bytes = works(&format!("marshal {what}"), marshaler.marshal(body))?;
    works(&format!("unmarshal {what}"), marshaler.unmarshal(&bytes, &mut into))?;
    alike(what, &into, body)
}

/// What came is what was sent; long values are cut short.
pub(super) fn alike<T: PartialEq + Debug>(what: &str, got: &T, wanted: &T) -> Outcome {
    expect(got == wanted, format!("{what} as it was written, {}", short(wanted)), || short(got))
}

pub(super) fn short(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    if text.len() <= 200 { text } else { text.chars().take(200).chain("…".chars()).collect() }
}

/// The value, or a violation that says what failed.
pub(super) fn works<T>(what: &str, result: StackResult<T>) -> Result<T, Finding> {
    result.map_err(|error| Finding::violated(format!("'{what}' to succeed"), format!("the error `{error}`")))
}

/// A violation unless it failed with one of `kinds`.
pub(super) fn fails<T: Debug>(what: &str, kinds: &[ErrorKind], result: StackResult<T>) -> Outcome {
    let wanted = kinds.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(" or ");
    let expected = format!("'{what}' to fail with {wanted}");
    match result {
        Ok(value) => Err(Finding::violated(expected, format!("it succeeded: {}", short(&value)))),
        Err(error) if kinds.contains(&error.kind()) => Ok(()),
        Err(error) => Err(Finding::violated(expected, format!("{:?}: `{error}`", error.kind()))),
    }
}

/// An event with something in each field.
pub(super) fn event() -> ProbeEvent {
    ProbeEvent {
        id: "a".to_owned(),
        sequence: 300,
        publisher: "somebody".to_owned(),
        payload: Bytes::from_static(&[0xff, 0xfe, 0]),
    }
}

/// An event that is nothing like those that are written.
pub(super) fn stale() -> ProbeEvent {
    ProbeEvent {
        id: "stale".to_owned(),
        sequence: 99,
        publisher: "stale".to_owned(),
        payload: Bytes::from_static(b"stale"),
    }
}

/// An event that the seed decides.
pub(super) fn any_event(random: &mut Random) -> ProbeEvent {
    let text = |random: &mut Random| {
        let length = random.random_range(0..40);
        (0..length).map(|_| random.random_range('\0'..=char::MAX)).collect::<String>()
    };
    let mut payload = vec![0; random.random_range(0..300)];
    random.fill_bytes(&mut payload);
    ProbeEvent { id: text(random), sequence: random.random(), publisher: text(random), payload: payload.into() }
}
