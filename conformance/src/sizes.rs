//! The sizes that bodies are tried out with, one list for every interface that carries them.

/// None, one byte, and what lies around the limits of usual buffers, up to a byte more than the four mebibytes at which gRPC
/// and go-micro draw theirs.
pub(crate) const SIZES: [usize; 19] = [
    0,
    1,
    255,
    256,
    4_095,
    4_096,
    4_097,
    8_191,
    8_192,
    16_383,
    16_384,
    16_385,
    65_535,
    65_536,
    65_537,
    1 << 20,
    (4 << 20) - 1,
    4 << 20,
    (4 << 20) + 1,
];

/// What every codec and every transport carries, whatever it promises.
pub(crate) const MODEST_BYTES: usize = 64 << 10;
