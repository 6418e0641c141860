//! A codec with a message: what is measured of it, and the proof that it does what the others do. It knows no codec.

use std::fmt::Debug;
use std::hint::black_box;

/// Decodes bytes and forgets what they said.
type Forgets = Box<dyn Fn(&[u8])>;

/// Decodes bytes, reads all fields and sums up their sizes.
type Reads = Box<dyn Fn(&[u8]) -> usize>;

/// What a codec does with one message.
pub(crate) struct Contender {
    /// What the codec makes of the message.
    pub(crate) bytes: Vec<u8>,
    /// Encodes the message.
    pub(crate) encode: Box<dyn Fn() -> Vec<u8>>,
    /// Decodes and forgets.
    pub(crate) decode: Forgets,
    /// Decodes and reads.
    pub(crate) read: Reads,
}

impl Contender {
    /// A codec whose values own what they say.
    ///
    /// # Panics
    /// When what it decodes is not what it has encoded.
    pub(crate) fn owned<M: PartialEq + Debug + 'static>(
        message: M,
        encode: impl Fn(&M) -> Vec<u8> + 'static,
        decode: impl Fn(&[u8]) -> M + Clone + 'static,
        size: impl Fn(&M) -> usize + 'static,
    ) -> Self {
        let bytes = encode(&message);
        assert_eq!(decode(&bytes), message, "what is decoded is what was encoded");
        let forget = decode.clone();
        Self {
            bytes,
            encode: Box::new(move || encode(black_box(&message))),
            decode: Box::new(move |bytes| drop(black_box(forget(bytes)))),
            read: Box::new(move |bytes| size(&decode(bytes))),
        }
    }

    /// The same bytes, decoded in another way.
    pub(crate) fn viewed(self, decode: impl Fn(&[u8]) + 'static, read: impl Fn(&[u8]) -> usize + 'static) -> Self {
        Self { decode: Box::new(decode), read: Box::new(read), ..self }
    }

    /// Itself, when everything it reads sums up to `size`.
    ///
    /// # Panics
    /// When it does not: it says something else than the others.
    pub(crate) fn of_size(self, size: usize) -> Self {
        assert_eq!((self.encode)(), self.bytes, "it encodes the same again");
        assert_eq!((self.read)(&self.bytes), size, "all fields are there");
        (self.decode)(&self.bytes);
        self
    }
}
