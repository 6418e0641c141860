//! Nodes of one service that failed several times in a row and are left out for a while. It knows node ids, addresses and
//! time; what counts as a failure is [`super::Outcome`]'s affair. After go-micro's historical blacklist selector: three
//! failures, 30 s, every further failure renews.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::env::Instant;
use crate::registry::{Node, Service};

/// When a node is left out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlacklistOptions {
    /// Consecutive failures after which a node is left out; 3.
    pub failures: usize,
    /// How long it is left out after its last failure; 30 s.
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
    suspects: BTreeMap<String, Suspect>,
    revision: u64,
    next_expiry: Option<Instant>,
}

/// A node whose last request failed.
#[derive(Debug)]
struct Suspect {
    /// A node that comes back elsewhere under its old id is innocent.
    address: String,
    failures: usize,
    /// Left out until then; clear again from then on.
    until: Option<Instant>,
}

impl Blacklist {
    /// `node` has failed.
    pub(super) fn failed(&mut self, node: &Node, now: Instant, options: &BlacklistOptions) {
        self.expire(now);
        let suspect = self.suspects.entry(node.id.clone()).or_insert_with(|| Suspect::new(node));
        let was_banned = suspect.until.is_some();
        if suspect.address != node.address {
            *suspect = Suspect::new(node);
        }
        suspect.failures += 1;
        if suspect.failures >= options.failures {
            suspect.until = Some(now + options.duration);
        }
        if was_banned != suspect.until.is_some() {
            self.revision += 1;
        }
        self.find_next_expiry();
    }

    /// `node` has answered.
    pub(super) fn answered(&mut self, node: &Node) {
        let known = self.suspects.get(&node.id).is_some_and(|suspect| suspect.address == node.address);
        if known && self.suspects.remove(&node.id).is_some_and(|suspect| suspect.until.is_some()) {
            self.revision += 1;
            self.find_next_expiry();
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.suspects.clear();
        self.next_expiry = None;
        self.revision += 1;
    }

    /// Clears the nodes whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.next_expiry.is_some_and(|expiry| expiry <= now) {
            self.suspects.retain(|_, suspect| suspect.until.is_none_or(|until| until > now));
            self.revision += 1;
            self.find_next_expiry();
        }
    }

    /// Forgets nodes that are gone, except those that are left out: they may come back within their time.
    pub(super) fn keep_only(&mut self, services: &[Service]) {
        if self.suspects.is_empty() {
            return;
        }
        let known = |id: &str| services.iter().any(|service| service.nodes.iter().any(|node| node.id == id));
        self.suspects.retain(|id, suspect| suspect.until.is_some() || known(id));
    }

    /// Whether `node` is left out.
    pub(super) fn holds(&self, node: &Node) -> bool {
        let suspect = self.suspects.get(&node.id);
        suspect.is_some_and(|suspect| suspect.until.is_some() && suspect.address == node.address)
    }

    /// Whether some node is left out, so that time matters.
    pub(super) fn is_timed(&self) -> bool {
        self.next_expiry.is_some()
    }

    /// Changes whenever [`holds`](Self::holds) may answer differently.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    fn find_next_expiry(&mut self) {
        self.next_expiry = self.suspects.values().filter_map(|suspect| suspect.until).min();
    }
}

impl Suspect {
    fn new(node: &Node) -> Self {
        Self { address: node.address.clone(), failures: 0, until: None }
    }
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
        assert!(!blacklist.holds(&node("a:1")) && !blacklist.is_timed());
    }

    #[test]
    fn a_ban_lasts_thirty_seconds_from_the_last_failure_and_then_takes_three_again() {
        let mut blacklist = Blacklist::default();
        failed(&mut blacklist, "a:1", 3, 0);
        failed(&mut blacklist, "a:1", 1, 20);
        blacklist.expire(at(49));
        assert!(blacklist.holds(&node("a:1")), "the failure at 20 s renewed it");
        blacklist.expire(at(50));
        assert!(!blacklist.holds(&node("a:1")));
        failed(&mut blacklist, "a:1", 2, 51);
        assert!(!blacklist.holds(&node("a:1")));
    }

    #[test]
    fn a_node_that_moved_is_not_held_for_what_happened_at_its_old_address() {
        let mut blacklist = Blacklist::default();
        failed(&mut blacklist, "a:1", 3, 0);
        assert!(!blacklist.holds(&node("b:1")));
        failed(&mut blacklist, "b:1", 1, 0);
        assert!(!blacklist.holds(&node("a:1")) && !blacklist.holds(&node("b:1")));
    }

    #[test]
    fn the_revision_moves_only_when_the_banned_nodes_change() {
        let mut blacklist = Blacklist::default();
        failed(&mut blacklist, "a:1", 2, 0);
        let before = blacklist.revision();
        failed(&mut blacklist, "a:1", 1, 0);
        let banned = blacklist.revision();
        assert_ne!(before, banned);
        failed(&mut blacklist, "a:1", 1, 1);
        blacklist.expire(at(30));
        assert_eq!(blacklist.revision(), banned, "renewed until 31 s");
        blacklist.expire(at(31));
        assert_ne!(blacklist.revision(), banned);
    }
}
