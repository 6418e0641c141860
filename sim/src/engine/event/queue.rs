//! What will happen, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::packet::Packet;

/// Something that will happen. At one moment, what was arranged first happens first.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) at: u64,
    sequence: u64,
    pub(super) what: What,
}

/// What happens.
#[derive(Debug)]
pub(super) enum What {
    /// A packet, by its place among those under way.
    Arrive(u32),
    /// Timers of a host's program.
    Timers(u32),
    /// Timers that libraries have set on a host's runtime.
    Runtime(u32),
    /// The deadline of an end of a connection.
    Connection(u32, u64),
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// A packet under way. The link had broken this often when it was sent.
#[derive(Debug)]
struct UnderWay {
    broken: u32,
    packet: Packet,
}

/// Everything that will happen.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: BinaryHeap<Reverse<Event>>,
    /// What is under way, and the places that are free again.
    under_way: Vec<Option<UnderWay>>,
    free: Vec<u32>,
    sequence: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: u64, what: What) {
        self.sequence += 1;
        self.events.push(Reverse(Event { at, sequence: self.sequence, what }));
    }

    /// When the next event is due.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.events.peek().map(|event| event.0.at)
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.events.pop().map(|event| event.0)
    }

    /// `packet` will arrive at `at`, unless its link breaks again after the `broken`th time.
    pub(super) fn arrange(&mut self, at: u64, broken: u32, packet: Packet) {
        let under_way = Some(UnderWay { broken, packet });
        let place = match self.free.pop() {
            Some(place) => {
                self.under_way[place as usize] = under_way;
                place
            }
            None => {
                self.under_way.push(under_way);
                u32::try_from(self.under_way.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.push(at, What::Arrive(place));
    }

    /// The packet that was at `place`, and how often its link had broken.
    pub(super) fn arrived(&mut self, place: u32) -> Option<(u32, Packet)> {
        self.free.push(place);
        self.under_way[place as usize].take().map(|UnderWay { broken, packet }| (broken, packet))
    }
}
