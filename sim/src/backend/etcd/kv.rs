//! Range, Put, DeleteRange and Compact. Each exists in two forms: the request of a client, and the operation inside a
//! transaction, which writes without committing.

use std::cmp::Ordering;
use std::time::Duration;

use shaketable_proto::etcd::v3::kv::KeyValue;
use shaketable_proto::etcd::v3::rpc::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, ResponseHeader,
    range_request::{SortOrder, SortTarget},
};

use super::event::{DeletionCause, EtcdEvent};
use super::key_range::KeyRange;
use super::refusal::Refusal;
use super::{Etcd, alarm::Needs, space::cost_of_put, store::Store};

impl Etcd {
    /// Reads keys.
    ///
    /// # Errors
    /// [`Refusal::EmptyKey`], [`Refusal::Compacted`], [`Refusal::FutureRevision`].
    pub fn range(&mut self, now: Duration, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        self.advance(now);
        check_range(request)?;
        let mut response = read_range(&self.store, request)?;
        response.header = Some(self.header());
        Ok(response)
    }

    /// Writes a key.
    ///
    /// # Errors
    /// [`Refusal::EmptyKey`], [`Refusal::ValueProvided`], [`Refusal::LeaseProvided`], [`Refusal::RequestTooLarge`],
    /// [`Refusal::LeaseNotFound`], [`Refusal::KeyNotFound`] where the value or lease of no key is to be kept,
    /// [`Refusal::NoSpace`], and what any change is refused for: [`Refusal::TooManyRequests`], [`Refusal::Corrupt`].
    pub fn put(&mut self, now: Duration, request: PutRequest) -> Result<PutResponse, Refusal> {
        self.advance(now);
        self.check_room(cost_of_put(&request))?;
        check_put(&request)?;
        self.propose(&request)?;
        self.check_alarms(Needs::Room)?;
        if request.lease != 0 && !self.leases.contains(request.lease) {
            return Err(Refusal::LeaseNotFound);
        }
        let mut response = self.write_put(request)?;
        self.commit(DeletionCause::Request);
        response.header = Some(self.header());
        Ok(response)
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// [`Refusal::EmptyKey`], [`Refusal::RequestTooLarge`], and what any change is refused for.
    pub fn delete_range(
        &mut self,
        now: Duration,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Refusal> {
        self.advance(now);
        check_delete(request)?;
        self.propose(request)?;
        self.check_alarms(Needs::Nothing)?;
        let mut response = self.write_delete(request);
        self.commit(DeletionCause::Request);
        response.header = Some(self.header());
        Ok(response)
    }

    /// Forgets what was superseded at a revision.
    ///
    /// # Errors
    /// [`Refusal::Compacted`] where that is done already, [`Refusal::FutureRevision`], and what any change is refused for.
    pub fn compact(&mut self, now: Duration, request: CompactionRequest) -> Result<CompactionResponse, Refusal> {
        self.advance(now);
        self.propose(&request)?;
        self.check_alarms(Needs::Nothing)?;
        self.store.compact(request.revision)?;
        self.record(EtcdEvent::Compacted { revision: request.revision });
        Ok(CompactionResponse { header: Some(self.header()) })
    }

    /// Puts without committing.
    pub(super) fn write_put(&mut self, request: PutRequest) -> Result<PutResponse, Refusal> {
        let PutRequest { key, mut value, mut lease, prev_kv, ignore_value, ignore_lease } = request;
        let before = self.store.get(&key);
        if ignore_value || ignore_lease {
            let before = before.ok_or(Refusal::KeyNotFound)?;
            if ignore_value {
                value = before.value.clone();
            }
            if ignore_lease {
                lease = before.lease;
            }
        }
        let prev_kv = if prev_kv { before.cloned() } else { None };
        self.leases.bind(&key, lease);
        self.store.put(key, value, lease);
        Ok(PutResponse { header: Some(self.inner_header()), prev_kv })
    }

    /// Deletes without committing.
    pub(super) fn write_delete(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let range = KeyRange::new(&request.key, &request.range_end);
        let mut prev_kvs = Vec::new();
        if request.prev_kv {
            prev_kvs.extend(self.store.range(&range, 0).into_iter().flatten().cloned());
        }
        let keys = self.store.delete(&range);
        for key in &keys {
            self.leases.bind(key, 0);
        }
        let deleted = i64::try_from(keys.len()).unwrap_or(i64::MAX);
        DeleteRangeResponse { header: Some(self.inner_header()), deleted, prev_kvs }
    }

    /// The header of an answer inside a transaction: etcd fills in its revision alone.
    fn inner_header(&self) -> ResponseHeader {
        ResponseHeader { revision: self.store.revision(), ..ResponseHeader::default() }
    }
}

pub(super) fn check_range(request: &RangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() { Err(Refusal::EmptyKey) } else { Ok(()) }
}

pub(super) fn check_put(request: &PutRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        Err(Refusal::EmptyKey)
    } else if request.ignore_value && !request.value.is_empty() {
        Err(Refusal::ValueProvided)
    } else if request.ignore_lease && request.lease != 0 {
        Err(Refusal::LeaseProvided)
    } else {
        Ok(())
    }
}

pub(super) fn check_delete(request: &DeleteRangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() { Err(Refusal::EmptyKey) } else { Ok(()) }
}

/// Reads keys; the header has the revision alone.
pub(super) fn read_range(store: &Store, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
    let mut found = store.range(&KeyRange::new(&request.key, &request.range_end), request.revision)?;
    let header = Some(ResponseHeader { revision: store.revision(), ..ResponseHeader::default() });
    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
    if request.count_only {
        return Ok(RangeResponse { header, count, ..RangeResponse::default() });
    }
    found.retain(|kv| {
        within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
            && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
    });
    let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    if request.sort_order() == SortOrder::None && !is_bounded(request) {
        // Like etcd, which reads as many as it needs where nobody asks for an order, and then sorts by the target all the same.
        found.truncate(limit.saturating_add(1));
    }
    sort(&mut found, request);
    let more = found.len() > limit;
    let kvs = found.into_iter().take(limit).map(|kv| {
        let mut kv = kv.clone();
        if request.keys_only {
            kv.value.clear();
        }
        kv
    });
    Ok(RangeResponse { header, kvs: kvs.collect(), more, count })
}

/// Whether keys are wanted by their revisions.
fn is_bounded(request: &RangeRequest) -> bool {
    let bounds =
        [request.min_mod_revision, request.max_mod_revision, request.min_create_revision, request.max_create_revision];
    bounds != [0; 4]
}

/// Whether a revision lies within bounds, of which 0 is none.
fn within(revision: i64, min: i64, max: i64) -> bool {
    (min == 0 || revision >= min) && (max == 0 || revision <= max)
}

/// Sorts as asked. Keys come sorted already; another target without an order means ascending.
fn sort(found: &mut [&KeyValue], request: &RangeRequest) {
    let order = request.sort_order();
    let target = request.sort_target();
    if order == SortOrder::None && target == SortTarget::Key {
        return;
    }
    let compare = |left: &&KeyValue, right: &&KeyValue| -> Ordering {
        match target {
            SortTarget::Key => left.key.cmp(&right.key),
            SortTarget::Version => left.version.cmp(&right.version),
            SortTarget::Create => left.create_revision.cmp(&right.create_revision),
            SortTarget::Mod => left.mod_revision.cmp(&right.mod_revision),
            SortTarget::Value => left.value.cmp(&right.value),
        }
    };
    if order == SortOrder::Descend {
        found.sort_by(|left, right| compare(right, left));
    } else {
        found.sort_by(compare);
    }
}
