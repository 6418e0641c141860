//! What one end has to send: what waits, what is in flight, and when it is sent again.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::segment::MSS;

/// Bytes that are kept for a peer that is slower than the writer.
pub(super) const BUFFER: usize = 256 * 1024;

/// Bytes that are taken at once to keep what is written.
const WRITTEN: usize = 2 * 1024;

/// RFC 6298, 2.1.
const RTO_INITIAL_NS: u64 = 1_000_000_000;

/// As on Linux; RFC 6298 says 1 s.
const RTO_MIN_NS: u64 = 200_000_000;

/// As on Linux.
const RTO_MAX_NS: u64 = 120_000_000_000;

/// RFC 6928.
const INITIAL_WINDOW: u64 = 10 * MSS as u64;

/// Acknowledgments of the same byte that mean a loss (RFC 5681, 3.2).
const DUPLICATES_OF_LOSS: u32 = 3;

#[derive(Debug)]
pub(super) struct Sender {
    /// The first byte that is not acknowledged.
    pub(super) unacknowledged: u64,
    /// The next byte to send; after a time-out it goes back.
    pub(super) next: u64,
    /// The next byte that was never sent.
    pub(super) newest: u64,
    /// Bytes beyond `unacknowledged` that the peer has room for.
    pub(super) window: u64,
    /// This direction ends after what waits.
    pub(super) fin_wanted: bool,
    /// When what is in flight counts as lost, or a closed window is asked about.
    pub(super) timer: Option<u64>,
    /// Time-outs since the peer was last heard.
    pub(super) retries: u32,
    fin_sent: bool,
    fin_acknowledged: bool,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// What is written is copied here, so that not every write takes memory of its own.
    written: BytesMut,
    flight: VecDeque<Flight>,
    congestion_window: u64,
    slow_start_threshold: u64,
    duplicates: u32,
    /// Losses up to this byte are being repaired.
    recover: Option<u64>,
    resend_first: bool,
    rto_ns: u64,
    round_trip: Option<RoundTrip>,
    /// When our SYN was sent; none when it was sent again, because then nobody knows which one is answered (RFC 6298, 3).
    syn_sent_at: Option<u64>,
    syns: u32,
}

#[derive(Debug)]
struct Flight {
    sequence: u64,
    payload: Bytes,
    fin: bool,
    sent_at: u64,
    again: bool,
}

impl Flight {
    fn end(&self) -> u64 {
        self.sequence + self.payload.len() as u64 + u64::from(self.fin)
    }
}

/// Smoothed round-trip time and its variation (RFC 6298, 2), in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct RoundTrip {
    smoothed: u64,
    variation: u64,
}

/// What an acknowledgment was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    /// It acknowledges what was never sent.
    Unsent,
    /// There may be room to write.
    Progress,
}

impl Sender {
    pub(super) fn new(initial_sequence: u64) -> Self {
        Self {
            unacknowledged: initial_sequence,
            next: initial_sequence,
            newest: initial_sequence,
            window: 0,
            fin_wanted: false,
            timer: None,
            retries: 0,
            fin_sent: false,
            fin_acknowledged: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            written: BytesMut::new(),
            flight: VecDeque::new(),
            congestion_window: INITIAL_WINDOW,
            slow_start_threshold: u64::MAX,
            duplicates: 0,
            recover: None,
            resend_first: false,
            rto_ns: RTO_INITIAL_NS,
            round_trip: None,
            syn_sent_at: None,
            syns: 0,
        }
    }

    pub(super) fn has_flight(&self) -> bool {
        !self.flight.is_empty()
    }

    /// Whether everything, the FIN too, has been acknowledged.
    pub(super) fn is_finished(&self) -> bool {
        self.fin_acknowledged
    }

    /// Our SYN is sent, for the first time or again, because the timer or the peer's own SYN asks for it.
    pub(super) fn on_syn(&mut self, now: u64) {
        self.syns += 1;
        self.syn_sent_at = (self.syns == 1).then_some(now);
        self.arm(now);
    }

    pub(super) fn arm(&mut self, now: u64) {
        self.timer = Some(now + self.rto_ns);
    }

    pub(super) fn back_off(&mut self) {
        self.rto_ns = (self.rto_ns * 2).min(RTO_MAX_NS);
    }

    /// The peer has answered our SYN.
    pub(super) fn on_handshake(&mut self, now: u64, window: u64) {
        match self.syn_sent_at {
            Some(sent_at) => self.measure(now - sent_at),
            None => self.rto_ns = RTO_INITIAL_NS,
        }
        self.unacknowledged = self.next;
        self.window = window;
        self.retries = 0;
        self.timer = None;
    }

    /// Takes what there is room for; returns how much.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let kept = self.waiting_bytes + usize::try_from(self.next - self.unacknowledged).unwrap_or(usize::MAX);
        let length = bytes.len().min(BUFFER.saturating_sub(kept));
        if length > 0 {
            if self.written.capacity() < length {
                // It takes the same memory again when nobody holds what was written there.
                self.written.reserve(length.max(WRITTEN));
            }
            self.written.extend_from_slice(&bytes[..length]);
            self.waiting.push_back(self.written.split().freeze());
            self.waiting_bytes += length;
        }
        length
    }

    /// Sends what windows allow.
    pub(super) fn transmit(&mut self, now: u64, mut send: impl FnMut(u64, Bytes, bool)) {
        if std::mem::take(&mut self.resend_first)
            && let Some(first) = self.flight.front_mut()
        {
            (first.again, first.sent_at) = (true, now);
            send(first.sequence, first.payload.clone(), first.fin);
            self.timer = Some(now + self.rto_ns);
        }
        let limit = self.unacknowledged + self.window.min(self.congestion_window);
        while let Some(first) = self.waiting.front_mut() {
            let room = usize::try_from(limit.saturating_sub(self.next)).unwrap_or(usize::MAX);
            let wanted = first.len().min(MSS);
            // A sliver is not worth a segment while something is in flight (RFC 9293, 3.8.6.2.1).
            if room == 0 || (room < wanted && !self.flight.is_empty()) {
                break;
            }
            let payload = first.split_to(wanted.min(room));
            if first.is_empty() {
                self.waiting.pop_front();
            }
            self.waiting_bytes -= payload.len();
            self.fly(now, payload, false, &mut send);
        }
        if self.fin_wanted && !self.fin_sent && self.waiting.is_empty() {
            self.fin_sent = true;
            self.fly(now, Bytes::new(), true, &mut send);
        }
        if self.timer.is_none() && (self.has_flight() || !self.waiting.is_empty()) {
            self.timer = Some(now + self.rto_ns);
        }
    }

    fn fly(&mut self, now: u64, payload: Bytes, fin: bool, send: &mut impl FnMut(u64, Bytes, bool)) {
        let flight = Flight { sequence: self.next, payload, fin, sent_at: now, again: self.next < self.newest };
        self.next = flight.end();
        self.newest = self.newest.max(self.next);
        send(flight.sequence, flight.payload.clone(), fin);
        self.flight.push_back(flight);
    }

    /// The peer has said what it expects next and how much room it has; `plain` when it said nothing else.
    pub(super) fn on_acknowledgment(&mut self, now: u64, acknowledgment: u64, window: u64, plain: bool) -> Heard {
        if acknowledgment > self.newest {
            return Heard::Unsent;
        }
        if acknowledgment < self.unacknowledged {
            return Heard::Nothing;
        }
        let opened = window > self.window;
        let same_window = window == self.window;
        self.window = window;
        if acknowledgment == self.unacknowledged {
            if plain && same_window && self.has_flight() {
                self.on_duplicate();
            }
            if !self.has_flight() && self.waiting.is_empty() {
                self.timer = None;
            } else if opened {
                // What stood before a closed window goes on at once.
                (self.retries, self.timer) = (0, None);
            }
            return Heard::Nothing;
        }
        self.on_progress(now, acknowledgment);
        Heard::Progress
    }

    fn on_progress(&mut self, now: u64, acknowledgment: u64) {
        let acknowledged = acknowledgment - self.unacknowledged;
        let mut measured = None;
        while let Some(first) = self.flight.front_mut() {
            if first.end() <= acknowledgment {
                measured = (!first.again).then_some(first.sent_at).or(measured);
                self.fin_acknowledged |= first.fin;
                self.flight.pop_front();
            } else {
                if first.sequence < acknowledgment {
                    let known = usize::try_from(acknowledgment - first.sequence).unwrap_or(usize::MAX);
                    first.payload.advance(known.min(first.payload.len()));
                    first.sequence = acknowledgment;
                }
                break;
            }
        }
        self.forget_what_waits_until(acknowledgment);
        self.unacknowledged = acknowledgment;
        self.next = self.next.max(acknowledgment);
        (self.retries, self.duplicates) = (0, 0);
        if let Some(sent_at) = measured {
            self.measure(now.saturating_sub(sent_at));
        } else if let Some(round_trip) = self.round_trip {
            self.rto_ns = round_trip.rto_ns();
        }
        match self.recover {
            Some(recover) if acknowledgment < recover => self.resend_first = self.has_flight(),
            Some(_) => {
                self.recover = None;
                self.congestion_window = self.slow_start_threshold;
            }
            None if self.congestion_window < self.slow_start_threshold => {
                self.congestion_window += acknowledged.min(MSS as u64);
            }
            None => self.congestion_window += (MSS * MSS) as u64 / self.congestion_window.max(1),
        }
        self.timer = self.has_flight().then_some(now + self.rto_ns);
    }

    /// After a time-out what was sent waits again, and the peer may have had it all the same.
    fn forget_what_waits_until(&mut self, acknowledgment: u64) {
        let mut known = usize::try_from(acknowledgment.saturating_sub(self.next)).unwrap_or(usize::MAX);
        while known > 0
            && let Some(first) = self.waiting.front_mut()
        {
            let length = known.min(first.len());
            first.advance(length);
            self.waiting_bytes -= length;
            known -= length;
            if first.is_empty() {
                self.waiting.pop_front();
            }
        }
        // The FIN is the last number of all.
        if known > 0 && self.fin_wanted {
            (self.fin_sent, self.fin_acknowledged) = (true, true);
        }
    }

    fn on_duplicate(&mut self) {
        self.duplicates += 1;
        let in_flight = self.next - self.unacknowledged;
        if self.duplicates == DUPLICATES_OF_LOSS && self.recover.is_none() {
            self.slow_start_threshold = (in_flight / 2).max(2 * MSS as u64);
            self.congestion_window = self.slow_start_threshold + u64::from(DUPLICATES_OF_LOSS) * MSS as u64;
            self.recover = Some(self.next);
            self.resend_first = true;
        } else if self.duplicates > DUPLICATES_OF_LOSS && self.recover.is_some() {
            self.congestion_window += MSS as u64;
        }
    }

    /// Everything in flight counts as lost.
    pub(super) fn on_timeout(&mut self) {
        let in_flight = self.next - self.unacknowledged;
        self.slow_start_threshold = (in_flight / 2).max(2 * MSS as u64);
        self.congestion_window = MSS as u64;
        (self.recover, self.duplicates, self.resend_first) = (None, 0, false);
        while let Some(last) = self.flight.pop_back() {
            if last.fin {
                self.fin_sent = false;
            }
            if !last.payload.is_empty() {
                self.waiting_bytes += last.payload.len();
                self.waiting.push_front(last.payload);
            }
        }
        self.next = self.unacknowledged;
        self.timer = None;
    }

    fn measure(&mut self, sample: u64) {
        let round_trip = match self.round_trip {
            None => RoundTrip { smoothed: sample, variation: sample / 2 },
            Some(RoundTrip { smoothed, variation }) => RoundTrip {
                smoothed: (7 * smoothed + sample) / 8,
                variation: (3 * variation + smoothed.abs_diff(sample)) / 4,
            },
        };
        self.round_trip = Some(round_trip);
        self.rto_ns = round_trip.rto_ns();
    }
}

impl RoundTrip {
    fn rto_ns(self) -> u64 {
        (self.smoothed + 4 * self.variation).clamp(RTO_MIN_NS, RTO_MAX_NS)
    }
}
