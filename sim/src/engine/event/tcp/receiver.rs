//! What one end has received: in order for whoever reads, out of order until the gap is filled.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::segment::Segment;

/// Bytes that are kept for a reader; also the largest window (Linux grows it from 128 KiB to 6 MiB).
pub(super) const BUFFER: u64 = 256 * 1024;

#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// The next byte that is expected.
    pub(super) next: u64,
    /// The peer's FIN has been reached.
    pub(super) finished: bool,
    fin_at: Option<u64>,
    unread: VecDeque<Bytes>,
    unread_bytes: u64,
    out_of_order: BTreeMap<u64, Bytes>,
    /// The byte up to which the peer was last told that there is room.
    told: u64,
}

/// What a segment was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// Neither data nor FIN.
    Nothing,
    /// What was expected, and perhaps more that waited for it.
    Next,
    /// Something else: known already, too early, or a question for our state.
    Other,
}

impl Receiver {
    pub(super) fn after(next: u64) -> Self {
        Self { next, told: next + BUFFER, ..Self::default() }
    }

    /// Bytes that there is room for.
    pub(super) fn window(&self) -> u64 {
        BUFFER.saturating_sub(self.unread_bytes)
    }

    /// The window, remembered as told.
    pub(super) fn tell_window(&mut self) -> u64 {
        let window = self.window();
        self.told = self.told.max(self.next + window);
        window
    }

    /// Whether so much was read that a peer which waits for room should hear of it.
    pub(super) fn wants_to_tell_window(&self) -> bool {
        let known = self.told.saturating_sub(self.next);
        known < BUFFER / 2 && self.window() - known.min(self.window()) >= BUFFER / 4
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread_bytes > 0
    }

    pub(super) fn on_segment(&mut self, segment: Segment) -> Got {
        let Segment { sequence, mut payload, fin, .. } = segment;
        if payload.is_empty() && !fin {
            // Numbers from the past: the peer asks whether we are there, and how much room we have.
            return if sequence < self.next { Got::Other } else { Got::Nothing };
        }
        let end = sequence + payload.len() as u64;
        if fin {
            self.fin_at = Some(end);
        }
        if end + u64::from(fin) <= self.next {
            return Got::Other;
        }
        let room = self.next + self.window();
        if sequence > self.next {
            if end <= room && !payload.is_empty() {
                self.out_of_order.insert(sequence, payload);
            }
            return Got::Other;
        }
        payload.advance(usize::try_from(self.next - sequence).unwrap_or(usize::MAX).min(payload.len()));
        payload.truncate(usize::try_from(room - self.next).unwrap_or(usize::MAX));
        if payload.is_empty() && self.fin_at != Some(self.next) {
            return Got::Other;
        }
        self.append(payload);
        self.fill_from_out_of_order();
        if self.fin_at == Some(self.next) && !self.finished {
            self.next += 1;
            self.finished = true;
        }
        Got::Next
    }

    fn append(&mut self, payload: Bytes) {
        if !payload.is_empty() {
            self.next += payload.len() as u64;
            self.unread_bytes += payload.len() as u64;
            self.unread.push_back(payload);
        }
    }

    fn fill_from_out_of_order(&mut self) {
        while let Some(first) = self.out_of_order.first_entry() {
            if *first.key() > self.next {
                return;
            }
            let (sequence, mut payload) = first.remove_entry();
            payload.advance(usize::try_from(self.next - sequence).unwrap_or(usize::MAX).min(payload.len()));
            self.append(payload);
        }
    }

    /// Whether anything could be read.
    pub(super) fn read(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if buffer.remaining() == 0 {
            return true;
        }
        let before = buffer.filled().len();
        while let Some(first) = self.unread.front_mut() {
            let length = first.len().min(buffer.remaining());
            buffer.put_slice(&first[..length]);
            first.advance(length);
            if first.is_empty() {
                self.unread.pop_front();
            }
            if buffer.remaining() == 0 {
                break;
            }
        }
        let read = buffer.filled().len() - before;
        self.unread_bytes -= read as u64;
        read > 0
    }
}
