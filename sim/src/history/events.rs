//! Events in pieces. A history grows by millions: it moves none of them when it grows, and has room for few more than it has.

use std::fmt;
use std::iter::Flatten;
use std::slice;
use std::vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::event::Event;

/// So many events are a piece: a mebibyte.
const PIECE: usize = 1 << 14;

/// A list of events that grows at its end.
#[derive(Clone, Default, PartialEq)]
pub struct Events {
    /// All but the last have [`PIECE`] events; none is empty.
    pieces: Vec<Vec<Event>>,
}

impl Events {
    /// Adds `event` at the end.
    pub fn push(&mut self, event: Event) {
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(event),
            last => {
                // Who has filled one piece will fill another; who has not begun may want little.
                let room = if last.is_some() { PIECE } else { 0 };
                let mut piece = Vec::with_capacity(room);
                piece.push(event);
                self.pieces.push(piece);
            }
        }
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The event at `position`, from 0.
    pub fn get(&self, position: usize) -> Option<&Event> {
        self.pieces.get(position / PIECE)?.get(position % PIECE)
    }

    /// The newest event.
    pub fn last(&self) -> Option<&Event> {
        self.pieces.last()?.last()
    }

    /// All events, the oldest first.
    pub fn iter(&self) -> Flatten<slice::Iter<'_, Vec<Event>>> {
        self.pieces.iter().flatten()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self).finish()
    }
}

impl Extend<Event> for Events {
    fn extend<T: IntoIterator<Item = Event>>(&mut self, events: T) {
        events.into_iter().for_each(|event| self.push(event));
    }
}

impl FromIterator<Event> for Events {
    fn from_iter<T: IntoIterator<Item = Event>>(events: T) -> Self {
        let mut all = Self::default();
        all.extend(events);
        all
    }
}

/// Each piece is freed when the next one begins.
impl IntoIterator for Events {
    type Item = Event;
    type IntoIter = Flatten<vec::IntoIter<Vec<Event>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter().flatten()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = Flatten<slice::Iter<'a, Vec<Event>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for Events {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Event>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Events, PIECE};
    use crate::history::{Edge, Event, Moment, Point};

    fn nth(number: usize) -> Event {
        let edge = Arc::new(Edge::Point(Point::Phase { name: "shake".to_owned() }));
        let at = Moment(number as u64);
        Event { sequence: at.0, at, wall_ns: 0, host: Arc::from("world"), operation: None, cause: None, edge }
    }

    #[test]
    fn pieces_are_one_list() {
        for count in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 7] {
            let events: Events = (0..count).map(nth).collect();
            assert_eq!((events.len(), events.is_empty()), (count, count == 0));
            assert_eq!(events.last().map(|event| event.sequence), count.checked_sub(1).map(|last| last as u64));
            assert!(events.iter().map(|event| event.sequence).eq(0..count as u64));
            for position in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE] {
                let wanted = (position < count).then_some(position as u64);
                assert_eq!(events.get(position).map(|event| event.sequence), wanted, "{position} of {count}");
            }
            assert!(events.into_iter().map(|event| event.sequence).eq(0..count as u64));
        }
    }

    #[test]
    fn they_are_written_as_a_list_and_read_again() {
        let events: Events = (0..3).map(nth).collect();
        let text = serde_json::to_string(&events).unwrap();
        assert_eq!(text, serde_json::to_string(&(0..3).map(nth).collect::<Vec<_>>()).unwrap());
        assert_eq!(serde_json::from_str::<Events>(&text).unwrap(), events);
    }
}
