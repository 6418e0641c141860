//! What those ask who run an etcd: its state, its hash, a defragmentation, another leader. Alarms are in `alarm`.

use std::collections::BTreeSet;
use std::time::Duration;

use crc::{CRC_32_ISCSI, Crc};
use prost::Message;
use shaketable_proto::etcd::v3::kv::KeyValue;
use shaketable_proto::etcd::v3::rpc::{
    AlarmType, DefragmentResponse, HashKvRequest, HashKvResponse, HashResponse, MoveLeaderRequest, MoveLeaderResponse,
    StatusResponse,
};

use super::Etcd;
use super::refusal::Refusal;
use super::store::{Change, Position};

/// Castagnoli's polynomial, as in etcd's `mvcc/kvstore.go`.
static CASTAGNOLI: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

impl Etcd {
    /// The state of the server.
    pub fn status(&mut self, now: Duration) -> StatusResponse {
        self.advance(now);
        let leader = self.leader();
        let mut errors = Vec::new();
        if leader == 0 {
            errors.push(Refusal::NoLeader.message().to_owned());
        }
        errors.extend(self.alarms().into_iter().map(|alarm| {
            // As Go's protobuf prints a message, its last blank included.
            let name = AlarmType::try_from(alarm.alarm).map_or("", |alarm| alarm.as_str_name());
            format!("memberID:{} alarm:{name} ", alarm.member_id)
        }));
        StatusResponse {
            header: Some(self.header()),
            version: self.config.version.clone(),
            db_size: self.file_bytes().cast_signed(),
            leader,
            raft_index: self.raft_index,
            raft_term: self.raft_term,
            raft_applied_index: self.raft_index,
            errors,
            db_size_in_use: self.bytes_in_use().cast_signed(),
            is_learner: false,
        }
    }

    /// The line whose behaviour it has.
    pub(super) fn line(&self) -> super::Line {
        self.config.line
    }

    /// The id of the member.
    pub fn member_id(&self) -> u64 {
        self.config.member_id
    }

    /// Shrinks the database's file to what is in use. The answer has no header, as etcd's has none.
    pub fn defragment(&mut self, now: Duration) -> DefragmentResponse {
        self.advance(now);
        self.shrink();
        DefragmentResponse { header: None }
    }

    /// The hash of the keys up to a revision: the very number that etcd answers for the same history.
    ///
    /// # Errors
    /// [`Refusal::Compacted`], [`Refusal::FutureRevision`].
    pub fn hash_kv(&mut self, now: Duration, request: HashKvRequest) -> Result<HashKvResponse, Refusal> {
        self.advance(now);
        let (newest, compact_revision) = (self.store.revision(), self.store.compacted());
        let revision = request.revision;
        // The revision of the compaction itself is refused, too; later etcds answer it.
        if revision > 0 && revision <= compact_revision {
            return Err(Refusal::Compacted);
        }
        if revision > newest {
            return Err(Refusal::FutureRevision);
        }
        let revision = if revision == 0 { newest } else { revision };
        // etcd leaves out what a compaction might yet remove, unless it would then keep nothing.
        let kept: BTreeSet<Position> = self.store.positions_at(revision).collect();
        let counts = |position: &Position| position.0 > compact_revision || kept.is_empty() || kept.contains(position);
        let mut digest = CASTAGNOLI.digest();
        digest.update(b"key");
        for (position, change) in self.store.changes().take_while(|(position, _)| position.0 <= revision) {
            if counts(position) {
                let (key, value) = stored(*position, change);
                digest.update(&key);
                digest.update(&value);
            }
        }
        Ok(HashKvResponse { header: Some(self.header()), hash: digest.finalize(), compact_revision })
    }

    /// A hash of everything that is kept. Even two real clusters with the same keys differ in it, since it covers the ids of
    /// members, too; so does this one.
    pub fn hash(&mut self, now: Duration) -> HashResponse {
        self.advance(now);
        let mut digest = CASTAGNOLI.digest();
        digest.update(&self.config.cluster_id.to_be_bytes());
        digest.update(&self.config.member_id.to_be_bytes());
        for alarm in self.alarms() {
            digest.update(&alarm.encode_to_vec());
        }
        for (_, lease) in self.leases.by_expiry() {
            digest.update(&lease.to_be_bytes());
        }
        for (position, change) in self.store.changes() {
            let (key, value) = stored(*position, change);
            digest.update(&key);
            digest.update(&value);
        }
        HashResponse { header: Some(self.header()), hash: digest.finalize() }
    }

    /// Makes a member the leader. The answer has no header, as etcd's has none.
    ///
    /// # Errors
    /// [`Refusal::NotLeader`] where there is no leader that could hand over, [`Refusal::BadTransferee`] for any other member.
    pub fn move_leader(&mut self, now: Duration, request: MoveLeaderRequest) -> Result<MoveLeaderResponse, Refusal> {
        self.advance(now);
        if self.leader() == 0 {
            Err(Refusal::NotLeader)
        } else if request.target_id == self.config.member_id {
            // It is the leader already: nothing happens, not even an election.
            Ok(MoveLeaderResponse { header: None })
        } else {
            Err(Refusal::BadTransferee)
        }
    }
}

/// A change as it stands in etcd's tree: `revToBytes` of `mvcc/revision.go`, and a message.
fn stored((revision, place): Position, change: &Change) -> (Vec<u8>, Vec<u8>) {
    let mut key = revision.to_be_bytes().to_vec();
    key.push(b'_');
    key.extend(place.to_be_bytes());
    let value = if change.deleted {
        key.push(b't');
        KeyValue { key: change.kv.key.clone(), ..KeyValue::default() }.encode_to_vec()
    } else {
        change.kv.encode_to_vec()
    };
    (key, value)
}
