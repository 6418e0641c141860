//! The multi-version store: what every key was at every revision that is not compacted. Changes of one transaction share a
//! revision; they are visible to the transaction at once and to the world after `commit`. It knows neither leases' terms,
//! nor watches, nor time.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use shaketable_proto::etcd::v3::kv::KeyValue;

use super::config::EtcdConfig;
use super::key_range::KeyRange;
use super::line::Line;
use super::refusal::Refusal;

/// A transaction's revision, and the place of the change within it.
pub(super) type Position = (i64, i64);

/// One change of one key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// What the key became; after a deletion only its name and the revision.
    pub(super) kv: KeyValue,
    pub(super) deleted: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Store {
    changes: BTreeMap<Position, Change>,
    /// Where each key's changes are, oldest first.
    positions: BTreeMap<Bytes, Vec<Position>>,
    revision: i64,
    compacted: i64,
    /// How many changes the open transaction has made.
    pending: i64,
    /// The bytes of all changes that are kept.
    bytes: usize,
    line: Line,
}

impl Store {
    /// An empty store.
    pub(super) fn new(config: &EtcdConfig) -> Self {
        let revision = config.first_revision;
        Self {
            changes: BTreeMap::new(),
            positions: BTreeMap::new(),
            revision,
            // -1 says that nothing was compacted, so that even revision 0 still can be.
            compacted: if revision > 1 { revision } else { -1 },
            pending: 0,
            bytes: 0,
            line: config.line,
        }
    }

    /// The newest revision that an open transaction sees; without one, the newest of all.
    pub(super) fn revision(&self) -> i64 {
        self.revision + i64::from(self.pending > 0)
    }

    pub(super) fn compacted(&self) -> i64 {
        self.compacted
    }

    /// The keys that there are now, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.positions.keys().filter(|key| self.get(key).is_some())
    }

    /// The bytes of all changes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many changes are kept.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// All changes that are kept, in order.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&Position, &Change)> {
        self.changes.iter()
    }

    /// What made each key what it was at `revision`.
    pub(super) fn positions_at(&self, revision: i64) -> impl Iterator<Item = Position> {
        self.positions.values().filter_map(move |positions| {
            let newer = positions.partition_point(|position| position.0 <= revision);
            positions[..newer].last().copied().filter(|position| !self.changes[position].deleted)
        })
    }

    /// The keys of `range` as they were at `revision`; 0 or less is the newest.
    pub(super) fn range(&self, range: &KeyRange, revision: i64) -> Result<Vec<&KeyValue>, Refusal> {
        if revision > self.revision() {
            return Err(Refusal::FutureRevision);
        }
        let revision = if revision <= 0 { self.revision() } else { revision };
        if revision < self.compacted {
            return Err(Refusal::Compacted);
        }
        if range.is_void() {
            return Ok(Vec::new());
        }
        let keys = self.positions.range::<[u8], _>(range.bounds());
        Ok(keys.filter_map(|(_, positions)| self.at(positions, revision)).collect())
    }

    /// One key as it is now.
    pub(super) fn get(&self, key: &[u8]) -> Option<&KeyValue> {
        self.at(self.positions.get(key)?, self.revision())
    }

    /// One key as it was at `revision`, as long as that is kept.
    pub(super) fn get_at(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        if revision < self.compacted {
            return None;
        }
        self.at(self.positions.get(key)?, revision)
    }

    fn at(&self, positions: &[Position], revision: i64) -> Option<&KeyValue> {
        let newer = positions.partition_point(|position| position.0 <= revision);
        let change = &self.changes[positions[..newer].last()?];
        (!change.deleted).then_some(&change.kv)
    }

    pub(super) fn put(&mut self, key: Bytes, value: Bytes, lease: i64) {
        let revision = self.revision + 1;
        let (create_revision, version) =
            self.get(&key).map_or((revision, 1), |before| (before.create_revision, before.version + 1));
        let kv = KeyValue { key, create_revision, mod_revision: revision, version, value, lease };
        self.record(Change { kv, deleted: false });
    }

    /// Deletes what there is in `range`, and names it.
    pub(super) fn delete(&mut self, range: &KeyRange) -> Vec<Bytes> {
        let keys: Vec<Bytes> = self.range(range, 0).into_iter().flatten().map(|kv| kv.key.clone()).collect();
        for key in &keys {
            let kv = KeyValue { key: key.clone(), mod_revision: self.revision + 1, ..KeyValue::default() };
            self.record(Change { kv, deleted: true });
        }
        keys
    }

    fn record(&mut self, change: Change) {
        let position = (self.revision + 1, self.pending);
        self.positions.entry(change.kv.key.clone()).or_default().push(position);
        self.bytes += change.kv.encoded_len();
        self.changes.insert(position, change);
        self.pending += 1;
    }

    /// Ends the open transaction. Returns its changes; where there are any, the revision has moved on.
    pub(super) fn commit(&mut self) -> Vec<Change> {
        if self.pending == 0 {
            return Vec::new();
        }
        self.pending = 0;
        self.revision += 1;
        self.since(self.revision).cloned().collect()
    }

    /// Every kept change from `revision` on, in order.
    pub(super) fn since(&self, revision: i64) -> impl Iterator<Item = &Change> {
        self.changes.range((revision, 0)..).map(|(_, change)| change)
    }

    /// Forgets what was superseded at `revision`. Like etcd 3.4 it may also forget a deletion at that very revision, so that
    /// a watch from there on never hears of it; see [`Line::keeps_deletions`].
    pub(super) fn compact(&mut self, revision: i64) -> Result<(), Refusal> {
        if revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = revision;
        let (changes, bytes, line) = (&mut self.changes, &mut self.bytes, self.line);
        self.positions.retain(|_, positions| {
            let newer = positions.partition_point(|position| position.0 <= revision);
            let deletion = positions.iter().position(|at| at.0 == revision && changes[at].deleted);
            let kept = match (deletion, newer.checked_sub(1)) {
                (Some(deletion), _) if line.keeps_deletions() => deletion,
                (_, Some(last)) if !changes[&positions[last]].deleted => last,
                _ => newer,
            };
            for position in positions.drain(..kept) {
                if let Some(change) = changes.remove(&position) {
                    *bytes -= change.kv.encoded_len();
                }
            }
            !positions.is_empty()
        });
        Ok(())
    }
}
