//! One end of a TCP connection as a pure state machine: time and segments are passed in, segments and wake-ups come out
//! (RFC 9293). Retransmission as in RFC 6298, congestion control as in RFC 5681 and 6582, limits as Linux has them. It knows
//! no host and no link. There is no Nagle, no selective acknowledgment and no TIME-WAIT: ports of a host are not used again
//! before they all were.

mod receiver;
mod segment;
mod sender;
#[cfg(test)]
mod tests;

use std::io;
use std::task::{Context, Poll, Waker};

use tokio::io::ReadBuf;

pub(super) use self::segment::{HEADERS, Segment};

use self::receiver::Receiver;
use self::sender::Sender;

/// How often a SYN is sent again, after 1 s, 2 s, 4 s, ... (Linux: tcp_syn_retries).
const SYN_RETRIES_MAX: u32 = 6;

/// How often a SYN with an ACK is sent again (Linux: tcp_synack_retries).
const SYN_ACK_RETRIES_MAX: u32 = 5;

/// How often data are sent again before the connection is given up, about a quarter of an hour (Linux: tcp_retries2).
const DATA_RETRIES_MAX: u32 = 15;

/// How long an end that nobody holds any more waits for the peer's FIN (Linux: tcp_fin_timeout).
const FIN_TIMEOUT_NS: u64 = 60_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SynSent,
    SynReceived,
    Synchronized,
    /// Over, for the reason in `error`.
    Closed,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    state: State,
    sender: Sender,
    receiver: Receiver,
    /// Told once, to whoever reads, writes or connects next.
    error: Option<io::ErrorKind>,
    /// Nobody on this host holds this end any more.
    orphan: bool,
    orphan_until: Option<u64>,
    ack_pending: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What comes out of a step.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// To be sent, in this order.
    pub(super) segments: Vec<Segment>,
    /// Tasks that can go on.
    pub(super) wakers: Vec<Waker>,
    /// The peer has just completed the handshake that it began.
    pub(super) established: bool,
}

impl Connection {
    /// Begins to connect.
    pub(super) fn connect(now: u64, initial_sequence: u64, output: &mut Output) -> Self {
        let mut connection = Self::new(State::SynSent, initial_sequence, Receiver::default());
        connection.handshake(now, output);
        connection
    }

    /// Answers a SYN.
    pub(super) fn accept(now: u64, initial_sequence: u64, syn: &Segment, output: &mut Output) -> Self {
        let mut connection = Self::new(State::SynReceived, initial_sequence, Receiver::after(syn.sequence + 1));
        connection.sender.window = syn.window;
        connection.handshake(now, output);
        connection
    }

    fn new(state: State, initial_sequence: u64, receiver: Receiver) -> Self {
        Self {
            state,
            sender: Sender::new(initial_sequence),
            receiver,
            error: None,
            orphan: false,
            orphan_until: None,
            ack_pending: false,
            reader: None,
            writer: None,
        }
    }

    /// Sends SYN, or SYN with ACK, for the first time or again.
    fn handshake(&mut self, now: u64, output: &mut Output) {
        let sequence = self.sender.unacknowledged;
        self.sender.next = sequence + 1;
        self.sender.newest = sequence + 1;
        let acknowledgment = (self.state == State::SynReceived).then_some(self.receiver.next);
        let window = self.receiver.window();
        output.segments.push(Segment { syn: true, sequence, acknowledgment, window, ..Segment::default() });
        self.sender.on_syn(now);
    }

    /// Whether the handshake is over.
    ///
    /// # Errors
    /// Why it failed.
    pub(super) fn poll_connected(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        match self.state {
            State::Synchronized => Poll::Ready(Ok(())),
            State::Closed => Poll::Ready(self.error.take().map_or(Ok(()), |kind| Err(kind.into()))),
            State::SynSent | State::SynReceived => {
                register(&mut self.writer, context);
                Poll::Pending
            }
        }
    }

    /// When [`Connection::on_timer`] wants to be called.
    pub(super) fn deadline(&self) -> Option<u64> {
        match (self.sender.timer, self.orphan_until) {
            (Some(first), Some(second)) => Some(first.min(second)),
            (first, second) => first.or(second),
        }
    }

    /// Whether nothing remembers it any more: it can be dropped.
    pub(super) fn is_gone(&self) -> bool {
        self.orphan && (self.state == State::Closed || (self.sender.is_finished() && self.receiver.finished))
    }

    /// A segment has arrived.
    pub(super) fn on_segment(&mut self, now: u64, segment: Segment, output: &mut Output) {
        match self.state {
            State::Closed => output.segments.extend(segment.reset()),
            State::SynSent => self.on_segment_in_syn_sent(now, segment, output),
            State::SynReceived | State::Synchronized => self.on_segment_after_syn(now, segment, output),
        }
    }

    fn on_segment_in_syn_sent(&mut self, now: u64, segment: Segment, output: &mut Output) {
        let wanted = self.sender.next;
        if segment.acknowledgment.is_some_and(|acknowledgment| acknowledgment != wanted) {
            // It answers somebody who had this port before us.
            output.segments.extend(segment.reset());
            return;
        }
        if segment.acknowledgment.is_none() {
            return;
        }
        if segment.rst {
            self.fail(io::ErrorKind::ConnectionRefused, output);
        } else if segment.syn {
            self.receiver = Receiver::after(segment.sequence + 1);
            self.state = State::Synchronized;
            self.sender.on_handshake(now, segment.window);
            self.acknowledge_soon();
            output.wakers.extend(self.writer.take());
            output.wakers.extend(self.reader.take());
            self.transmit(now, output);
        }
    }

    fn on_segment_after_syn(&mut self, now: u64, segment: Segment, output: &mut Output) {
        if segment.rst {
            let window = self.receiver.next..=self.receiver.next + self.receiver.window();
            if window.contains(&segment.sequence) {
                self.fail(io::ErrorKind::ConnectionReset, output);
            }
            return;
        }
        if segment.syn {
            // Our SYN with ACK was lost, or the peer has restarted and knows nothing of us: it answers this with a reset
            // (RFC 5961, 4).
            if self.state == State::SynReceived {
                self.handshake(now, output);
            } else {
                self.acknowledge(output);
            }
            return;
        }
        let Some(acknowledgment) = segment.acknowledgment else { return };
        if self.state == State::SynReceived {
            if acknowledgment != self.sender.next {
                output.segments.extend(segment.reset());
                return;
            }
            self.state = State::Synchronized;
            self.sender.on_handshake(now, segment.window);
            output.established = true;
        }
        let plain = segment.payload.is_empty() && !segment.fin;
        match self.sender.on_acknowledgment(now, acknowledgment, segment.window, plain) {
            sender::Heard::Nothing => {}
            sender::Heard::Unsent => return self.acknowledge(output),
            sender::Heard::Progress => output.wakers.extend(self.writer.take()),
        }
        if self.orphan && segment.sequence + segment.payload.len() as u64 > self.receiver.next {
            // Nobody will read what is new (RFC 1122, 4.2.2.13); what comes again was read (Linux: tcp_rcv_state_process).
            output.segments.extend(segment.reset());
            self.fail(io::ErrorKind::ConnectionReset, output);
            return;
        }
        match self.receiver.on_segment(segment) {
            receiver::Got::Nothing => {}
            receiver::Got::Next => {
                self.acknowledge_soon();
                output.wakers.extend(self.reader.take());
            }
            // Out of order, or known already: the sender must hear of it at once.
            receiver::Got::Other => self.acknowledge(output),
        }
        self.transmit(now, output);
        self.wait_for_fin(now);
    }

    /// Its deadline may have passed.
    pub(super) fn on_timer(&mut self, now: u64, output: &mut Output) {
        if self.orphan_until.is_some_and(|until| until <= now) {
            self.state = State::Closed;
            return;
        }
        if self.sender.timer.is_none_or(|timer| timer > now) {
            return;
        }
        self.sender.retries += 1;
        let retries_max = match self.state {
            State::SynSent => SYN_RETRIES_MAX,
            State::SynReceived => SYN_ACK_RETRIES_MAX,
            State::Synchronized | State::Closed => DATA_RETRIES_MAX,
        };
        if self.sender.retries > retries_max {
            return self.fail(io::ErrorKind::TimedOut, output);
        }
        self.sender.back_off();
        match self.state {
            State::SynSent | State::SynReceived => self.handshake(now, output),
            State::Synchronized if self.sender.has_flight() => {
                self.sender.on_timeout();
                self.transmit(now, output);
            }
            State::Synchronized => {
                // The window is closed: an old number makes the peer say whether it still is (RFC 9293, 3.8.6.1).
                let sequence = self.sender.unacknowledged - 1;
                output.segments.push(self.segment(sequence));
                self.sender.arm(now);
            }
            State::Closed => self.sender.timer = None,
        }
    }

    /// Somebody on the way sends a reset. An attempt to connect is none yet: who begins it goes on.
    pub(super) fn reset(&mut self, output: &mut Output) {
        if matches!(self.state, State::SynReceived | State::Synchronized) {
            self.fail(io::ErrorKind::ConnectionReset, output);
        }
    }

    /// Takes as much of `bytes` as there is room for.
    ///
    /// # Errors
    /// When the connection has failed, or this direction was closed.
    pub(super) fn poll_write(
        &mut self,
        now: u64,
        context: &Context<'_>,
        bytes: &[u8],
        output: &mut Output,
    ) -> Poll<io::Result<usize>> {
        if let Some(kind) = self.error.take() {
            return Poll::Ready(Err(kind.into()));
        }
        if self.state == State::Closed || self.sender.fin_wanted {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = self.sender.push(bytes);
        if taken == 0 && !bytes.is_empty() {
            register(&mut self.writer, context);
            return Poll::Pending;
        }
        self.transmit(now, output);
        Poll::Ready(Ok(taken))
    }

    /// Reads what has arrived; nothing is the end of the stream.
    ///
    /// # Errors
    /// When the connection has failed, once.
    pub(super) fn poll_read(&mut self, context: &Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.receiver.read(buffer) {
            if self.receiver.wants_to_tell_window() {
                self.acknowledge_soon();
            }
            return Poll::Ready(Ok(()));
        }
        if let Some(kind) = self.error.take() {
            return Poll::Ready(Err(kind.into()));
        }
        if self.receiver.finished || self.state == State::Closed {
            return Poll::Ready(Ok(()));
        }
        register(&mut self.reader, context);
        Poll::Pending
    }

    /// Closes this direction: the peer sees the end of the stream after what was written.
    pub(super) fn shut_down(&mut self, now: u64, output: &mut Output) {
        if self.state != State::Closed {
            self.sender.fin_wanted = true;
            self.transmit(now, output);
        }
    }

    /// Nobody holds this end any more. What was written is still delivered; what was not read makes it a reset, as on Linux.
    pub(super) fn let_go(&mut self, now: u64, output: &mut Output) {
        self.orphan = true;
        (self.reader, self.writer) = (None, None);
        match self.state {
            State::SynSent => self.state = State::Closed,
            State::Synchronized | State::SynReceived if self.receiver.has_unread() => {
                output.segments.push(Segment { rst: true, ..self.segment(self.sender.next) });
                self.state = State::Closed;
            }
            State::Synchronized | State::SynReceived => {
                self.shut_down(now, output);
                self.wait_for_fin(now);
            }
            State::Closed => {}
        }
    }

    fn wait_for_fin(&mut self, now: u64) {
        if self.orphan && self.sender.is_finished() && !self.receiver.finished && self.orphan_until.is_none() {
            self.orphan_until = Some(now + FIN_TIMEOUT_NS);
        }
    }

    /// Whether an acknowledgment waits for something to travel with.
    pub(super) fn acknowledgment_is_pending(&self) -> bool {
        self.ack_pending && self.state == State::Synchronized
    }

    /// Sends it by itself.
    pub(super) fn acknowledge(&mut self, output: &mut Output) {
        let segment = self.segment(self.sender.next);
        self.ack_pending = false;
        output.segments.push(segment);
    }

    fn acknowledge_soon(&mut self) {
        self.ack_pending = true;
    }

    fn transmit(&mut self, now: u64, output: &mut Output) {
        if self.state != State::Synchronized {
            return;
        }
        let (acknowledgment, window) = (Some(self.receiver.next), self.receiver.tell_window());
        let before = output.segments.len();
        self.sender.transmit(now, |sequence, payload, fin| {
            output.segments.push(Segment { fin, sequence, acknowledgment, window, payload, ..Segment::default() });
        });
        if output.segments.len() > before {
            self.ack_pending = false;
        }
    }

    fn segment(&mut self, sequence: u64) -> Segment {
        let (acknowledgment, window) = (Some(self.receiver.next), self.receiver.tell_window());
        Segment { sequence, acknowledgment, window, ..Segment::default() }
    }

    fn fail(&mut self, kind: io::ErrorKind, output: &mut Output) {
        // Nobody was told of a handshake that the peer began and did not complete.
        self.orphan |= self.state == State::SynReceived;
        self.state = State::Closed;
        self.error = Some(kind);
        self.sender.timer = None;
        self.orphan_until = None;
        output.wakers.extend(self.reader.take());
        output.wakers.extend(self.writer.take());
    }
}

/// Keeps the waker of the task that polls.
fn register(place: &mut Option<Waker>, context: &Context<'_>) {
    match place {
        Some(waker) if waker.will_wake(context.waker()) => {}
        _ => *place = Some(context.waker().clone()),
    }
}
