//! Nodes of one service that failed several times in a row and are left out for a while. It knows node ids, addresses and
//! time; what counts as a failure is [`super::Outcome`]'s affair. After go-micro's historical blacklist selector: three
//! failures, 30 s, every further failure renews, and 30 s after its last failure a node begins anew.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::env::Instant;
use crate::registry::Node;

/// When a node is left out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlacklistOptions {
    /// Consecutive failures after which a node is left out; 3.
    pub failures: usize,
    /// How long a failure counts, and a node is left out after its last one; 30 s.
    pub duration: Duration,
}

impl Default for BlacklistOptions {
    fn default() -> Self {
        Self { failures: 3, duration: Duration::from_secs(30) }
    }
}

/// What was marked for the nodes of one service. Empty while nothing fails.
#[derive(Debug, Default)]
pub(super) struct Blacklist {
    /// By id and address: a node that comes back elsewhere under its old id is innocent.
    suspects: BTreeMap<(String, String), Suspect>,
    revision: u64,
}

/// A node whose last request failed.
#[derive(Debug)]
struct Suspect {
    failures: usize,
    left_out: bool,
    /// Forgotten from then on.
    until: Instant,
}

impl Blacklist {
    /// `node` has failed.
    pub(super) fn failed(&mut self, node: &Node, now: Instant, options: &BlacklistOptions) {
        self.expire(|| now);
        let until = now + options.duration;
        let suspect = self.suspects.entry(key(node)).or_insert(Suspect { failures: 0, left_out: false, until });
        suspect.failures += 1;
        suspect.until = until;
        if suspect.failures >= options.failures {
            suspect.left_out = true;
            self.touch();
        }
    }

    /// `node` has answered.
    pub(super) fn answered(&mut self, node: &Node) {
        // The usual case makes no key.
        if !self.suspects.is_empty() && self.suspects.remove(&key(node)).is_some() {
            self.touch();
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.suspects.clear();
        self.touch();
    }

    /// Forgets the nodes whose time is over; nobody asks what time it is while there are none.
    pub(super) fn expire(&mut self, now: impl FnOnce() -> Instant) {
        if self.suspects.is_empty() {
            return;
        }
        let (now, before) = (now(), self.suspects.len());
        self.suspects.retain(|_, suspect| suspect.until > now);
        if self.suspects.len() != before {
            self.touch();
        }
    }

    /// Whether nothing is held against anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.suspects.is_empty()
    }

    /// Whether `node` is left out.
    pub(super) fn holds(&self, node: &Node) -> bool {
        self.suspects.get(&key(node)).is_some_and(|suspect| suspect.left_out)
    }

    /// Changes whenever [`holds`](Self::holds) may answer differently.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    fn touch(&mut self) {
        self.revision += 1;
    }
}

fn key(node: &Node) -> (String, String) {
    (node.id.clone(), node.address.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Blacklist, BlacklistOptions};
    use crate::env::Instant;
    use crate::registry::Node;

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    fn node(address: &str) -> Node {
        Node { id: "user-1".into(), address: address.into(), ..Node::default() }
    }

    fn failed(blacklist: &mut Blacklist, address: &str, times: usize, second: u64) {
        for _ in 0..times {
            blacklist.failed(&node(address), at(second), &BlacklistOptions::default());
        }
    }

    #[test]
    fn three_failures_in_a_row_ban_and_an_answer_between_them_starts_anew() {
        let mut blacklist = Blacklist::default();
        failed(&mut blacklist, "a:1", 2, 0);
        blacklist.answered(&node("a:1"));
        failed(&mut blacklist, "a:1", 2, 0);
        assert!(!blacklist.holds(&node("a:1")));
        failed(&mut blacklist, "a:1", 1, 0);
        assert!(blacklist.holds(&node("a:1")));
        blacklist.answered(&node("a:1"));
        assert!(!blacklist.holds(&node("a:1")));
    }

    #[test]
    fn a_ban_lasts_thirty_seconds_from_the_last_failure_and_then_takes_three_again() {
        let mut blacklist = Blacklist::default();
        failed(&mut blacklist, "a:1", 3, 0);
        failed(&mut blacklist, "a:1", 1, 20);
        blacklist.expire(|| at(49));
        assert!(blacklist.holds(&node("a:1")), "the failure at 20 s renewed it");
        blacklist.expire(|| at(50));
        assert!(!blacklist.holds(&node("a:1")));
        failed(&mut blacklist, "a:1", 2, 51);
        assert!(!blacklist.holds(&node("a:1")));
    }

    #[test]
    fn failures_that_lie_far_apart_do_not_add_up() {
        let mut blacklist = Blacklist::default();
        failed(&mut blacklist, "a:1", 2, 0);
        failed(&mut blacklist, "a:1", 2, 30);
        assert!(!blacklist.holds(&node("a:1")));
        failed(&mut blacklist, "a:1", 1, 59);
        assert!(blacklist.holds(&node("a:1")));
    }

    #[test]
    fn a_node_that_moved_is_not_held_for_what_happened_at_its_old_address() {
        let mut blacklist = Blacklist::default();
        failed(&mut blacklist, "a:1", 3, 0);
        assert!(!blacklist.holds(&node("b:1")));
        failed(&mut blacklist, "b:1", 3, 0);
        // A late word about the old address does not free the new one.
        blacklist.answered(&node("a:1"));
        assert!(!blacklist.holds(&node("a:1")) && blacklist.holds(&node("b:1")));
    }

    #[test]
    fn the_revision_moves_when_the_nodes_left_out_change_and_not_before() {
        let mut blacklist = Blacklist::default();
        failed(&mut blacklist, "a:1", 2, 0);
        assert_eq!(blacklist.revision(), 0);
        failed(&mut blacklist, "a:1", 1, 1);
        let left_out = blacklist.revision();
        assert_ne!(left_out, 0);
        blacklist.expire(|| at(30));
        assert_eq!(blacklist.revision(), left_out, "left out until 31 s");
        blacklist.expire(|| at(31));
        assert_ne!(blacklist.revision(), left_out);
    }
}
