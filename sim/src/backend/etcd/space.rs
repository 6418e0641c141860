//! The room that the database takes: its file grows with what is written, keeps its size after a compaction, and shrinks
//! when it is defragmented. Sizes are counted in pages beside those of an empty etcd; how etcd's B+ tree spreads over its pages
//! is not simulated. It knows no alarm but the one that there is no room.

use std::time::Duration;

use shaketable_proto::etcd::v3::rpc::{PutRequest, RequestOp, TxnRequest, request_op::Request};

use super::Etcd;
use super::refusal::Refusal;

const PAGE_BYTES: u64 = 4096;

/// What an empty etcd 3.4 has in use.
const EMPTY_BYTES: u64 = 4 * PAGE_BYTES;

/// What etcd estimates that the metadata of a key takes, and that a lease takes (its `quota.go`).
const KEY_OVERHEAD_BYTES: u64 = 256;
const LEASE_BYTES: u64 = 64;

/// The bytes beside each change in etcd's tree: its revision.
const REVISION_BYTES: u64 = 17;

impl Etcd {
    /// The bytes of the database's file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The bytes of it that are in use.
    pub fn bytes_in_use(&self) -> u64 {
        let leases = self.leases.len() as u64 * LEASE_BYTES;
        let changes = self.store.bytes() as u64 + self.store.len() as u64 * REVISION_BYTES;
        EMPTY_BYTES + (leases + changes).next_multiple_of(PAGE_BYTES)
    }

    /// The quota, in bytes; there is none where it is `None`.
    pub fn quota_bytes(&self) -> Option<u64> {
        self.config.quota_bytes
    }

    /// Sets the quota. An alarm that is raised stays.
    pub fn set_quota_bytes(&mut self, quota_bytes: Option<u64>) {
        self.config.quota_bytes = quota_bytes;
    }

    /// The fault of a file that has grown up to its quota: the next request that needs room is refused and raises the alarm.
    /// What fills it is garbage, so that a defragmentation frees it. Says whether there is a quota to be filled.
    pub fn fill(&mut self, now: Duration) -> bool {
        self.advance(now);
        match self.config.quota_bytes {
            Some(quota_bytes) => {
                self.file_bytes = self.file_bytes.max(quota_bytes);
                true
            }
            None => false,
        }
    }

    /// Undoes [`Etcd::fill`]: shrinks the file to what is in use, and disarms the alarm.
    pub fn free(&mut self, now: Duration) {
        self.advance(now);
        self.shrink();
        self.disarm_no_space();
    }

    pub(super) fn shrink(&mut self) {
        self.file_bytes = 0;
        self.grow();
    }

    /// The file holds what is in use; nothing but [`shrink`](Self::shrink) makes it smaller.
    pub(super) fn grow(&mut self) {
        self.file_bytes = self.file_bytes.max(self.bytes_in_use() + PAGE_BYTES);
    }

    /// Whether a request of that cost fits, before anything else is looked at; if not, the alarm is raised.
    pub(super) fn check_room(&mut self, cost_bytes: u64) -> Result<(), Refusal> {
        let fits = |quota_bytes| self.file_bytes.saturating_add(cost_bytes) < quota_bytes;
        if cost_bytes == 0 || self.config.quota_bytes.is_none_or(fits) {
            return Ok(());
        }
        self.raise_no_space();
        Err(Refusal::NoSpace)
    }
}

pub(super) fn cost_of_put(request: &PutRequest) -> u64 {
    KEY_OVERHEAD_BYTES + request.key.len() as u64 + request.value.len() as u64
}

/// That of the dearer branch. Nested transactions are overlooked, as etcd does.
pub(super) fn cost_of_txn(request: &TxnRequest) -> u64 {
    let cost = |operations: &[RequestOp]| -> u64 {
        let puts = operations.iter().filter_map(|operation| match &operation.request {
            Some(Request::RequestPut(put)) => Some(cost_of_put(put)),
            _ => None,
        });
        puts.sum()
    };
    cost(&request.success).max(cost(&request.failure))
}

pub(super) const fn cost_of_lease() -> u64 {
    LEASE_BYTES
}
