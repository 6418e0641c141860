//! What passes between two ends of a connection. Sequence numbers have 64 bits and so never wrap; everything else is TCP's.

use bytes::Bytes;

/// Largest payload of a segment, in bytes: Ethernet's 1,500 less the headers of IPv4 and TCP.
pub(super) const MSS: usize = 1_460;

/// Headers of a segment on the wire, in bytes.
pub(in crate::engine::event) const HEADERS: usize = 40;

/// A TCP segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine::event) struct Segment {
    pub(in crate::engine::event) syn: bool,
    pub(in crate::engine::event) fin: bool,
    pub(in crate::engine::event) rst: bool,
    /// Number of the first byte of the payload; SYN and FIN count as one byte each.
    pub(in crate::engine::event) sequence: u64,
    /// The next byte that the sender expects; none before it has heard anything.
    pub(in crate::engine::event) acknowledgment: Option<u64>,
    /// Bytes beyond it that the sender has room for.
    pub(in crate::engine::event) window: u64,
    pub(in crate::engine::event) payload: Bytes,
}

impl Segment {
    /// How many sequence numbers it takes.
    pub(in crate::engine::event) fn length(&self) -> u64 {
        self.payload.len() as u64 + u64::from(self.syn) + u64::from(self.fin)
    }

    /// The answer of a machine that knows nothing of this connection (RFC 9293, 3.5.2); a reset is not answered.
    pub(in crate::engine::event) fn reset(&self) -> Option<Self> {
        if self.rst {
            return None;
        }
        Some(match self.acknowledgment {
            Some(acknowledgment) => Self { rst: true, sequence: acknowledgment, ..Self::default() },
            None => Self { rst: true, acknowledgment: Some(self.sequence + self.length()), ..Self::default() },
        })
    }
}
