//! Two ends and a line between them that may lose, double and reorder.

use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use tokio::io::ReadBuf;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Connection, Output, Segment};

const MS: u64 = 1_000_000;

/// What becomes of a segment, by its number: a delay for each time that it arrives.
type Rule = Box<dyn Fn(u64, &Segment) -> Vec<u64>>;

/// Two ends with a line of 5 ms between them; a rule says for each segment, by its number, how often it arrives and how much
/// later.
struct Line {
    now: u64,
    ends: [Option<Connection>; 2],
    under_way: Vec<(u64, u64, usize, Segment)>,
    sent: u64,
    rule: Rule,
}

impl Line {
    fn new(rule: impl Fn(u64, &Segment) -> Vec<u64> + 'static) -> Self {
        let mut line = Self { now: 0, ends: [None, None], under_way: Vec::new(), sent: 0, rule: Box::new(rule) };
        let mut output = Output::default();
        line.ends[0] = Some(Connection::connect(0, 1_000, &mut output));
        line.send(0, output);
        line
    }

    fn send(&mut self, from: usize, output: Output) {
        for segment in output.segments {
            self.sent += 1;
            for later in (self.rule)(self.sent, &segment) {
                self.under_way.push((self.now + 5 * MS + later, self.sent, 1 - from, segment.clone()));
            }
        }
        self.under_way.sort_by_key(|(at, number, ..)| (*at, *number));
    }

    fn with<T>(&mut self, end: usize, step: impl FnOnce(&mut Connection, u64, &mut Output) -> T) -> T {
        let (mut output, now) = (Output::default(), self.now);
        let result = step(self.ends[end].as_mut().unwrap(), now, &mut output);
        self.send(end, output);
        result
    }

    fn write(&mut self, end: usize, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let context = Context::from_waker(Waker::noop());
        self.with(end, |connection, now, output| connection.poll_write(now, &context, bytes, output))
    }

    /// What can be read now; none when the stream has ended.
    fn read(&mut self, end: usize) -> std::io::Result<Option<Vec<u8>>> {
        let mut space = vec![0; 4_096];
        let mut buffer = ReadBuf::new(&mut space);
        let context = Context::from_waker(Waker::noop());
        let polled = self.with(end, |connection, _, _| connection.poll_read(&context, &mut buffer));
        match polled {
            Poll::Pending => Ok(Some(Vec::new())),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Ok(None),
            Poll::Ready(Ok(())) => Ok(Some(buffer.filled().to_vec())),
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    /// Lets the next thing happen; false when nothing will.
    fn step(&mut self) -> bool {
        for end in 0..2 {
            if self.ends[end].as_ref().is_some_and(Connection::acknowledgment_is_pending) {
                self.with(end, |connection, _, output| connection.acknowledge(output));
            }
        }
        let arrival = self.under_way.first().map(|(at, ..)| *at);
        let timer = self.ends.iter().flatten().filter_map(Connection::deadline).min();
        let Some(next) = arrival.into_iter().chain(timer).min() else { return false };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let (_, _, to, segment) = self.under_way.remove(0);
            if let Some(connection) = &mut self.ends[to] {
                let mut output = Output::default();
                connection.on_segment(self.now, segment, &mut output);
                self.send(to, output);
            } else if segment.syn {
                let mut output = Output::default();
                self.ends[to] = Some(Connection::accept(self.now, 77_000, &segment, &mut output));
                self.send(to, output);
            }
        } else {
            for end in 0..2 {
                if self.ends[end].as_ref().and_then(Connection::deadline).is_some_and(|deadline| deadline <= self.now) {
                    self.with(end, |connection, now, output| connection.on_timer(now, output));
                }
            }
        }
        true
    }

    /// Sends `bytes` from the first end to the second; what arrived before its end, and when that was.
    fn transfer(&mut self, bytes: &[u8]) -> (Vec<u8>, u64) {
        let (mut written, mut got, mut closed) = (0, Vec::new(), false);
        for _ in 0..200_000 {
            while written < bytes.len()
                && let Poll::Ready(Ok(taken)) = self.write(0, &bytes[written..])
                && taken > 0
            {
                written += taken;
            }
            if written == bytes.len() && !closed {
                closed = true;
                self.with(0, |connection, now, output| connection.shut_down(now, output));
            }
            while self.ends[1].is_some() {
                match self.read(1).unwrap() {
                    None => return (got, self.now),
                    Some(some) if some.is_empty() => break,
                    Some(some) => got.extend(some),
                }
            }
            assert!(self.step(), "nothing will happen any more after {} of {} bytes", got.len(), bytes.len());
        }
        panic!("only {} of {} bytes arrived in {} ms", got.len(), bytes.len(), self.now / MS);
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

#[test]
fn bytes_arrive_in_order_and_the_end_after_them() {
    let mut line = Line::new(|_, _| vec![0]);
    let (got, at) = line.transfer(&content(100_000));
    assert!(got == content(100_000));
    // Handshake, then the congestion window doubles from ten segments: 10, 20, 40 of 69.
    assert!((30 * MS..60 * MS).contains(&at), "{at}");
}

#[test]
fn a_lost_segment_is_sent_again_without_waiting_for_the_timer() {
    let mut line = Line::new(|number, _| if number == 8 { vec![] } else { vec![0] });
    let (got, at) = line.transfer(&content(100_000));
    assert!(got == content(100_000));
    assert!(at < 150 * MS, "three duplicate acknowledgments repair it within a round trip, not {at} ns");
}

#[test]
fn a_lost_tail_is_sent_again_by_the_timer() {
    let mut line =
        Line::new(|number, segment| if !segment.payload.is_empty() && number == 3 { vec![] } else { vec![0] });
    let (got, at) = line.transfer(b"hello");
    assert_eq!(got, b"hello");
    assert!((200 * MS..1_000 * MS).contains(&at), "{at}");
}

#[test]
fn a_partition_of_ten_seconds_delays_and_breaks_nothing() {
    let mut line = Line::new(|_, _| vec![0]);
    assert!(line.step() && line.step());
    let cut_until = 10_000 * MS;
    line.rule = Box::new(|_, _| vec![]);
    assert!(line.write(0, b"hello").is_ready());
    while line.now < cut_until {
        assert!(line.step());
    }
    line.rule = Box::new(|_, _| vec![0]);
    let (got, at) = line.transfer(b" again");
    assert_eq!(got, b"hello again");
    assert!(at < 30_000 * MS, "the time-out doubles, so that it takes at most as long again: {at}");
}

#[test]
fn a_silent_peer_is_given_up_after_a_quarter_of_an_hour_and_an_unanswered_connect_after_two_minutes() {
    let mut line = Line::new(|_, _| vec![0]);
    assert!(line.step() && line.step());
    line.rule = Box::new(|_, _| vec![]);
    assert!(line.write(0, b"hello").is_ready());
    let gave_up = loop {
        match line.read(0) {
            Err(error) => break error,
            Ok(_) => assert!(line.step()),
        }
    };
    assert_eq!(gave_up.kind(), std::io::ErrorKind::TimedOut);
    assert!((600_000 * MS..1_200_000 * MS).contains(&line.now), "{}", line.now);

    let mut line = Line::new(|_, _| vec![]);
    while line.step() {}
    assert!((120_000 * MS..130_000 * MS).contains(&line.now), "{}", line.now);
}

#[test]
fn a_writer_waits_for_a_reader_who_is_slow_and_goes_on_when_it_reads() {
    let mut line = Line::new(|_, _| vec![0]);
    assert!(line.step() && line.step());
    let mut written = 0;
    for _ in 0..5_000 {
        while let Poll::Ready(Ok(taken)) = line.write(0, &[7; 10_000]) {
            written += taken;
        }
        if line.now > 5_000 * MS {
            break;
        }
        assert!(line.step());
    }
    assert!((400_000..600_000).contains(&written), "two buffers of 256 KiB are full: {written}");
    let mut got = 0;
    while got < written {
        match line.read(1).unwrap() {
            Some(some) if some.is_empty() => assert!(line.step()),
            Some(some) => got += some.len(),
            None => panic!("nobody has closed it"),
        }
    }
    assert_eq!(got, written);
}

#[test]
fn unread_bytes_make_a_close_a_reset_and_read_ones_do_not() {
    for (read, wanted) in [(true, None), (false, Some(std::io::ErrorKind::ConnectionReset))] {
        let mut line = Line::new(|_, _| vec![0]);
        assert!(line.write(0, b"hello").is_pending() || line.now == 0);
        for _ in 0..8 {
            line.step();
        }
        if read {
            line.read(1).unwrap();
        }
        line.with(1, |connection, now, output| connection.let_go(now, output));
        for _ in 0..8 {
            line.step();
        }
        match (line.read(0), wanted) {
            (Ok(None), None) => {}
            (Err(error), Some(kind)) => assert_eq!(error.kind(), kind),
            (other, _) => panic!("read {read}: {other:?}"),
        }
    }
}

#[test]
fn an_answer_that_is_lost_arrives_although_its_sender_has_let_go_and_hears_the_question_again() {
    let mut line = Line::new(|_, _| vec![0]);
    let _ = line.write(0, b"question");
    while line.ends[1].is_none() || line.read(1).unwrap().is_none_or(|got| got.is_empty()) {
        assert!(line.step());
    }
    line.rule = Box::new(|_, _| vec![]);
    assert!(line.write(1, b"answer").is_ready());
    line.with(1, |connection, now, output| connection.let_go(now, output));
    line.rule = Box::new(|_, _| vec![0]);
    let mut got = Vec::new();
    while let Some(some) = line.read(0).unwrap() {
        got.extend(some);
        assert!(line.step());
    }
    assert_eq!(got, b"answer");
}

#[test]
fn a_syn_with_ack_that_was_sent_again_measures_no_round_trip() {
    let mut line = Line::new(|number, _| if number == 2 { vec![] } else { vec![0] });
    while !matches!(line.ends[1], Some(Connection { state: super::State::Synchronized, .. })) {
        assert!(line.step());
    }
    let connected_at = line.now;
    assert!((1_000 * MS..1_050 * MS).contains(&connected_at), "{connected_at}");
    line.rule = Box::new(|_, _| vec![]);
    assert!(line.write(1, b"hello").is_ready());
    line.rule = Box::new(|_, _| vec![0]);
    while line.read(0).unwrap().is_none_or(|got| got.is_empty()) {
        assert!(line.step());
    }
    let took = line.now - connected_at;
    assert!(took < 1_100 * MS, "the first time-out is a second, and not three times what the SYN waited: {took}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a line does to single segments, bytes arrive once and in order. It draws for each by itself: one that loses
    /// every repetition of a segment for a quarter of an hour is a dead one.
    #[test]
    fn a_bad_line_changes_nothing_but_the_time(length in 0_usize..60_000, seed: u64, lost in 0_u64..25) {
        let mut line = Line::new(move |number, _| {
            let drawn = xxh3_64_with_seed(&number.to_le_bytes(), seed);
            let later = drawn / 100 % 40;
            match drawn % 100 {
                fate if fate < lost => vec![],
                25..35 => vec![0, later * MS],
                35..55 => vec![later * MS],
                _ => vec![0],
            }
        });
        let (got, _) = line.transfer(&content(length));
        prop_assert!(got == content(length));
    }
}
