//! What the registry's backend truly held: which nodes were registered from when to when. It reads truths only; who believed
//! what is the oracles' business.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Edge, History, Moment, NodeRecord, Operation, Point, Truth};

use super::operations::Stamp;

/// What the backend held.
#[derive(Debug, Default)]
pub(super) struct Membership<'a> {
    nodes: BTreeMap<&'a str, Member<'a>>,
    /// Whose keys they are, of all keys that were written.
    owners: BTreeMap<&'a str, Option<&'a str>>,
    /// Whether the backend told anything; without truths nothing can be said to be wrong.
    pub(super) told: bool,
}

/// One node and all that happened to it.
#[derive(Debug, Default)]
pub(super) struct Member<'a> {
    /// The service, as it was registered or as a watcher named it.
    pub(super) service: &'a str,
    /// The version that was registered last.
    pub(super) version: &'a str,
    /// In order.
    pub(super) changes: Vec<MemberChange>,
    /// In order, disjoint.
    pub(super) presences: Vec<Presence>,
    keys: BTreeSet<&'a str>,
    /// With which version and metadata it was to be registered, each where it differed from the one before.
    declared: Vec<(Stamp, &'a NodeRecord)>,
    /// The newest of `declared` that had been asked for when the backend's value last changed.
    held: Option<usize>,
}

/// A change of one node.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemberChange {
    pub(super) stamp: Stamp,
    pub(super) kind: MemberChangeKind,
    /// What the backend may hold since then, as a range of what was declared.
    contents: (usize, usize),
}

/// What the backend did to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberChangeKind {
    /// It was not there before.
    Created,
    /// Its version or metadata are others.
    Altered,
    /// It was written again, and nothing that was asked for had changed.
    Written,
    /// It is gone.
    Gone(Departure),
}

/// A span in which a node was registered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presence {
    pub(super) since: Stamp,
    /// None: to the end of the run.
    pub(super) until: Option<(Stamp, Departure)>,
}

/// How a node went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    Deregistered,
    Expired,
    Revoked,
    Lost,
}

impl Departure {
    /// For sentences: "it was …".
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Deregistered => "was deregistered",
            Self::Expired => "expired",
            Self::Revoked => "was revoked",
            Self::Lost => "was lost at the backend",
        }
    }
}

impl Presence {
    /// Whether the node was there from `from` to `until`, both included.
    pub(super) fn covers(&self, from: Moment, until: Moment) -> bool {
        self.since.at <= from && self.until.is_none_or(|(end, _)| until < end.at)
    }
}

impl Member<'_> {
    /// The latest presence that had begun by `at`.
    pub(super) fn begun_by(&self, at: Moment) -> Option<&Presence> {
        self.presences[..self.presences.partition_point(|presence| presence.since.at <= at)].last()
    }

    /// Whether it was registered all the time from `from` to `until`.
    pub(super) fn present_throughout(&self, from: Moment, until: Moment) -> bool {
        self.begun_by(from).is_some_and(|presence| presence.covers(from, until))
    }

    /// Whether it was not registered at any time from `from` to `until`.
    pub(super) fn absent_throughout(&self, from: Moment, until: Moment) -> bool {
        self.begun_by(until).is_none_or(|presence| presence.until.is_some_and(|(end, _)| end.at <= from))
    }

    /// Whether `record` has the version and the metadata that the backend may have held after `change`. A registry may
    /// add metadata of its own.
    pub(super) fn may_be(&self, change: &MemberChange, record: &NodeRecord) -> bool {
        let (from, to) = change.contents;
        let is = |declared: &NodeRecord| {
            let same = |(key, value): (&String, &String)| record.metadata.get(key) == Some(value);
            declared.version == record.version && declared.metadata.iter().all(same)
        };
        from == to || self.declared[from..to].iter().any(|(_, declared)| is(declared))
    }

    fn declare<'a>(member: &mut Member<'a>, stamp: Stamp, node: &'a NodeRecord) {
        let content = |node: &'a NodeRecord| (&node.version, &node.metadata);
        if member.declared.last().is_none_or(|(_, last)| content(last) != content(node)) {
            member.declared.push((stamp, node));
        }
    }

    fn write<'a>(member: &mut Member<'a>, stamp: Stamp, put: Put<'a>) {
        let first = member.keys.is_empty();
        member.keys.insert(put.key);
        if first {
            member.presences.push(Presence { since: stamp, until: None });
        }
        // Requests may be under way together, so that which of them is written is known only where nothing else was asked.
        let asked = member.declared.partition_point(|(declared, _)| declared.sequence < stamp.sequence);
        let newest = asked.checked_sub(1);
        let (kind, contents) = if first && put.created {
            (MemberChangeKind::Created, (0, asked))
        } else if put.altered && newest != member.held {
            (MemberChangeKind::Altered, (member.held.map_or(0, |held| held + 1), asked))
        } else if put.altered {
            (MemberChangeKind::Written, (0, asked))
        } else {
            let held = member.changes.iter().rfind(|change| !matches!(change.kind, MemberChangeKind::Gone(_)));
            (MemberChangeKind::Written, held.map_or((0, asked), |change| change.contents))
        };
        if put.altered {
            member.held = newest;
        }
        member.changes.push(MemberChange { stamp, kind, contents });
    }

    fn remove(&mut self, stamp: Stamp, key: &str, departure: Departure) {
        if self.keys.remove(key) && self.keys.is_empty() {
            if let Some(presence) = self.presences.last_mut() {
                presence.until = Some((stamp, departure));
            }
            self.changes.push(MemberChange { stamp, kind: MemberChangeKind::Gone(departure), contents: (0, 0) });
        }
    }
}

/// A write at the backend.
struct Put<'a> {
    key: &'a str,
    created: bool,
    altered: bool,
}

impl<'a> Membership<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut membership = Self { nodes: named_nodes(history), ..Self::default() };
        let keys = KeyIndex::of(&membership.nodes);
        for event in &history.events {
            let Edge::Point(Point::Truth(truth)) = &*event.edge else { continue };
            membership.told = true;
            let stamp = Stamp::of(event);
            let (gone, departure) = match truth {
                Truth::Put { key, created, altered, .. } => {
                    let owner = *membership.owners.entry(key).or_insert_with(|| keys.node_of(key));
                    if let Some(member) = owner.and_then(|id| membership.nodes.get_mut(id)) {
                        Member::write(member, stamp, Put { key, created: *created, altered: *altered });
                    }
                    continue;
                }
                Truth::Deleted { key } => (std::slice::from_ref(key), Departure::Deregistered),
                Truth::Expired { keys, .. } => (keys.as_slice(), Departure::Expired),
                Truth::Revoked { keys, .. } => (keys.as_slice(), Departure::Revoked),
                Truth::Lost { keys, .. } => (keys.as_slice(), Departure::Lost),
                Truth::Granted { .. } | Truth::Renewed { .. } | Truth::Compacted { .. } | Truth::Restarted => continue,
            };
            for key in gone {
                let owner = membership.owner(key);
                if let Some(member) = owner.and_then(|id| membership.nodes.get_mut(id)) {
                    member.remove(stamp, key, departure);
                }
            }
        }
        membership
    }

    /// A node that was registered at some time.
    pub(super) fn get(&self, id: &str) -> Option<&Member<'a>> {
        self.nodes.get(id).filter(|member| !member.presences.is_empty())
    }

    /// The node that a key belongs to which the backend has written.
    pub(super) fn owner(&self, key: &str) -> Option<&'a str> {
        self.owners.get(key).copied().flatten()
    }

    /// All nodes that were registered at some time, in the order of ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &Member<'a>)> {
        self.nodes.iter().filter(|(_, member)| !member.presences.is_empty()).map(|(id, member)| (*id, member))
    }
}

/// The nodes that somebody named, with their services.
fn named_nodes(history: &History) -> BTreeMap<&str, Member<'_>> {
    let mut nodes = BTreeMap::<&str, Member<'_>>::new();
    for event in &history.events {
        match &*event.edge {
            Edge::Invoke(Operation::Register { service, node, .. }) => {
                let member = nodes.entry(&node.id).or_default();
                (member.service, member.version) = (service, &node.version);
                Member::declare(member, Stamp::of(event), node);
            }
            Edge::Point(Point::Watched { service, nodes: watched, .. }) => {
                for node in watched {
                    let member = nodes.entry(&node.id).or_default();
                    if member.service.is_empty() {
                        (member.service, member.version) = (service, &node.version);
                    }
                }
            }
            _ => {}
        }
    }
    nodes.retain(|id, _| !id.is_empty());
    nodes
}

/// Finds the node that a key belongs to, without knowing the plugin that wrote it.
struct KeyIndex<'a> {
    by_segment: BTreeMap<String, &'a str>,
}

impl<'a> KeyIndex<'a> {
    fn of(nodes: &BTreeMap<&'a str, Member<'a>>) -> Self {
        // Registries write "-" for "/" where a slash would divide their keys, as go-micro's do.
        Self { by_segment: nodes.keys().map(|id| (id.replace('/', "-"), *id)).collect() }
    }

    fn node_of(&self, key: &str) -> Option<&'a str> {
        let whole = self.by_segment.get(key).or_else(|| key.rsplit('/').find_map(|part| self.by_segment.get(part)));
        // The longest, so that `users-1` does not own the keys of `red-users-1`.
        let inside = || self.by_segment.iter().filter(|(id, _)| stands_in(key, id)).max_by_key(|(id, _)| id.len());
        whole.or_else(|| inside().map(|(_, id)| id)).copied()
    }
}

/// Whether `id` occurs in `key` as a whole: `users-1` does not stand in `users-10`, nor in `users-1-blue`.
fn stands_in(key: &str, id: &str) -> bool {
    let goes_on = |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || next == '-' || next == '_');
    key.match_indices(id).any(|(start, _)| {
        !goes_on(key[..start].chars().next_back()) && !goes_on(key[start + id.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{Story, node};

    #[test]
    fn a_key_belongs_to_the_node_whose_whole_id_it_contains() {
        let ids = ["users-1", "users-10", "red-users-1", "a/b"];
        let nodes = ids.iter().map(|id| (*id, Member::default())).collect();
        let index = KeyIndex::of(&nodes);
        let owners = [
            ("users-1", Some("users-1")),
            ("/micro/registry/users/users-10", Some("users-10")),
            ("service:red-users-1", Some("red-users-1")),
            ("service:users-1:http", Some("users-1")),
            ("service:users-12", None),
            ("/micro/registry/users/a-b", Some("a/b")),
            ("/micro/registry/users/users-1-blue", None),
        ];
        for (key, owner) in owners {
            assert_eq!(index.node_of(key), owner, "{key}");
        }
    }

    #[test]
    fn a_node_is_there_from_its_first_key_to_its_last() {
        let mut story = Story::new(crate::scenario::model::Expect::default());
        story.register(1_000, "u1");
        story.put(2_000, "u1", false);
        story.alter(2_500, "u1", "2");
        story.deleted(3_000, "u1");
        story.deleted(3_500, "u1");
        story.put(4_000, "u1", true);
        let history = story.history();
        let membership = Membership::of(&history);
        let member = membership.get("u1").expect("it was registered");
        let kinds: Vec<MemberChangeKind> = member.changes.iter().map(|change| change.kind).collect();
        let gone = MemberChangeKind::Gone(Departure::Deregistered);
        let (created, written, altered) =
            (MemberChangeKind::Created, MemberChangeKind::Written, MemberChangeKind::Altered);
        assert_eq!(kinds, [created, written, altered, gone, created]);
        let fits = |version: &str| {
            let record = NodeRecord { version: version.to_owned(), ..node("u1") };
            member.changes.iter().map(|change| member.may_be(change, &record)).collect::<Vec<_>>()
        };
        assert_eq!(fits("1"), [true, true, false, true, true]);
        assert_eq!(fits("2"), [false, false, true, true, true]);
        let at = |milliseconds: u64| Moment(milliseconds * 1_000_000);
        assert!(member.present_throughout(at(1_000), at(2_999)) && !member.present_throughout(at(1_000), at(3_000)));
        assert!(member.absent_throughout(at(3_000), at(3_999)) && !member.absent_throughout(at(3_000), at(4_000)));
        assert!(member.present_throughout(at(4_000), at(60_000)));
    }
}
