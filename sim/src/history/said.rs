//! What events say, kept once where many say the same: calls of one service, picks of one node. It knows nothing of what is
//! said but which kinds are said again.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::event::{Answer, Edge, Operation, Point};

/// So much is remembered. A thousand hosts say some five thousand things again and again.
const PLACES: usize = 1 << 14;

/// What was said last of all that has the same place, which its digest tells.
#[derive(Debug, Default)]
pub(super) struct Said(Vec<Option<Arc<Edge>>>);

impl Said {
    /// `edge`, or the one that says the same.
    pub(super) fn share(&mut self, edge: Edge) -> Arc<Edge> {
        let Some(digest) = digest(&edge) else { return Arc::new(edge) };
        if self.0.is_empty() {
            self.0.resize(PLACES, None);
        }
        let place = &mut self.0[digest as usize % PLACES];
        match place {
            Some(same) if **same == edge => same.clone(),
            _ => place.insert(Arc::new(edge)).clone(),
        }
    }
}

/// The digest of what is said again and again; none for the rest.
fn digest(edge: &Edge) -> Option<u64> {
    let (tag, texts, number): (u8, [&str; 4], u64) = match edge {
        Edge::Return(Ok(Answer::Done)) => (0, [""; 4], 0),
        Edge::Return(Ok(Answer::Selected(count))) => (1, [""; 4], *count),
        Edge::Invoke(Operation::Call { service, endpoint, .. }) => (2, [service, endpoint, "", ""], 0),
        Edge::Invoke(Operation::Select { service, strategy }) => (3, [service, strategy, "", ""], 0),
        Edge::Invoke(Operation::Handle { endpoint, node }) => (4, [endpoint, node, "", ""], 0),
        Edge::Invoke(Operation::Publish { topic, bytes }) => (5, [topic, "", "", ""], *bytes),
        Edge::Invoke(Operation::Deliver { subscription, topic }) => (6, [topic, "", "", ""], subscription.0.get()),
        Edge::Point(Point::Attempt { service, node, address, attempt, strategy }) => {
            (7, [service, node, address, strategy], u64::from(*attempt))
        }
        Edge::Point(Point::AttemptEnded { node, attempt, failure: None }) => {
            (8, [node, "", "", ""], u64::from(*attempt))
        }
        Edge::Point(Point::Marked { service, node, failed }) => (9, [service, node, "", ""], u64::from(*failed)),
        Edge::Point(Point::Answered { asked: None, answered: None }) => (10, [""; 4], 0),
        _ => return None,
    };
    let begun = number ^ (u64::from(tag) << 56);
    Some(texts.iter().fold(begun, |seed, text| xxh3_64_with_seed(text.as_bytes(), seed)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{PLACES, Said};
    use crate::history::{Edge, Point};

    #[test]
    fn what_is_the_same_is_kept_once_and_what_is_not_is_not() {
        let mut said = Said::default();
        let marked = |node: &str, failed| {
            Edge::Point(Point::Marked { service: "user".to_owned(), node: node.to_owned(), failed })
        };
        let first = said.share(marked("user-1", false));
        assert!(Arc::ptr_eq(&first, &said.share(marked("user-1", false))));
        for other in [marked("user-1", true), marked("user-2", false)] {
            assert_eq!(*said.share(other.clone()), other);
        }
        let phase = || Edge::Point(Point::Phase { name: "shake".to_owned() });
        assert!(!Arc::ptr_eq(&said.share(phase()), &said.share(phase())), "what is rare is not looked for");
    }

    #[test]
    fn more_than_there_are_places_for_is_said_as_it_is() {
        let mut said = Said::default();
        let marked = |number: usize| {
            Edge::Point(Point::Marked { service: "user".to_owned(), node: format!("user-{number}"), failed: false })
        };
        for _ in 0..2 {
            for number in 0..2 * PLACES {
                assert_eq!(*said.share(marked(number)), marked(number));
            }
        }
        assert_eq!(said.0.len(), PLACES, "it never grows");
    }
}
