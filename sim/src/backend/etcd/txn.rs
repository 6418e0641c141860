//! Transactions: what may stand in one, which branch is taken, and its execution in one revision. Comparisons, those of
//! nested transactions too, all see the store as it was before.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use shaketable_proto::etcd::v3::kv::KeyValue;
use shaketable_proto::etcd::v3::rpc::{
    Compare, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request,
    response_op::Response,
};

use super::Etcd;
use super::event::DeletionCause;
use super::key_range::KeyRange;
use super::kv::{check_delete, check_put, check_range, read_range};
use super::refusal::Refusal;
use super::{alarm::Needs, space::cost_of_txn};

impl Etcd {
    /// Runs a transaction.
    ///
    /// # Errors
    /// [`Refusal::TooManyOperations`], [`Refusal::DuplicateKey`], [`Refusal::RequestTooLarge`], what its operations are
    /// refused for, and what any change is refused for if it may make one. Nothing has changed then.
    pub fn txn(&mut self, now: Duration, request: TxnRequest) -> Result<TxnResponse, Refusal> {
        self.advance(now);
        let cost_bytes = cost_of_txn(&request);
        self.check_room(cost_bytes)?;
        check_txn(&request, self.config.txn_operations_max)?;
        collect_changes(&request.success)?;
        collect_changes(&request.failure)?;
        let writes = request.success.iter().chain(&request.failure).any(|operation| !is_range(operation));
        if writes {
            self.propose(&request)?;
            self.check_alarms(if cost_bytes > 0 { Needs::Room } else { Needs::Nothing })?;
        }
        let branch = self.choose(request);
        if self.config.line.checks_in_order() {
            self.check_steps(&branch, |_| true)?;
        } else {
            self.check_steps(&branch, |request| matches!(request, Request::RequestPut(_)))?;
            self.check_steps(&branch, |request| matches!(request, Request::RequestRange(_)))?;
        }
        let mut response = self.execute(branch);
        self.commit(DeletionCause::Request);
        response.header = Some(self.header());
        Ok(response)
    }

    /// Decides which branch is taken, all the way down.
    fn choose(&self, request: TxnRequest) -> Branch {
        let succeeded = request.compare.iter().all(|compare| self.holds(compare));
        let taken = if succeeded { request.success } else { request.failure };
        let steps = taken.into_iter().filter_map(|operation| operation.request).map(|operation| match operation {
            Request::RequestTxn(nested) => Step::Nested(self.choose(nested)),
            operation => Step::Operation(operation),
        });
        Branch { succeeded, steps: steps.collect() }
    }

    /// Whether a comparison holds for every key in its range; where there is none, for a key with zeros only.
    fn holds(&self, compare: &Compare) -> bool {
        let range = KeyRange::new(&compare.key, &compare.range_end);
        let Ok(found) = self.store.range(&range, 0) else { return false };
        if found.is_empty() {
            // A missing key has no value, not even an empty one.
            return compare.target != CompareTarget::Value as i32 && holds_for(compare, &KeyValue::default());
        }
        found.into_iter().all(|kv| holds_for(compare, kv))
    }

    /// Refuses the first of `such` operations that cannot be done.
    fn check_steps(&self, branch: &Branch, such: fn(&Request) -> bool) -> Result<(), Refusal> {
        for step in &branch.steps {
            match step {
                Step::Nested(nested) => self.check_steps(nested, such)?,
                Step::Operation(request) if !such(request) => {}
                Step::Operation(Request::RequestPut(put)) => {
                    if (put.ignore_value || put.ignore_lease) && self.store.get(&put.key).is_none() {
                        return Err(Refusal::KeyNotFound);
                    }
                    if put.lease != 0 && !self.leases.contains(put.lease) {
                        return Err(Refusal::LeaseNotFound);
                    }
                }
                Step::Operation(Request::RequestRange(range)) if range.revision != 0 => {
                    if range.revision > self.store.revision() {
                        return Err(Refusal::FutureRevision);
                    }
                    if range.revision < self.store.compacted() {
                        return Err(Refusal::Compacted);
                    }
                }
                Step::Operation(_) => {}
            }
        }
        Ok(())
    }

    fn execute(&mut self, branch: Branch) -> TxnResponse {
        let responses = branch.steps.into_iter().map(|step| {
            // What could fail was checked before. What still fails would crash etcd: a put that keeps the value of a key
            // that the same transaction has deleted just before. Here such a step is left without an answer.
            let response = match step {
                Step::Nested(nested) => Some(Response::ResponseTxn(self.execute(nested))),
                Step::Operation(Request::RequestRange(range)) => {
                    read_range(&self.store, &range).ok().map(Response::ResponseRange)
                }
                Step::Operation(Request::RequestPut(put)) => self.write_put(put).ok().map(Response::ResponsePut),
                Step::Operation(Request::RequestDeleteRange(delete)) => {
                    Some(Response::ResponseDeleteRange(self.write_delete(&delete)))
                }
                Step::Operation(Request::RequestTxn(_)) => None,
            };
            ResponseOp { response }
        });
        let responses = responses.collect();
        TxnResponse { header: Some(ResponseHeader::default()), succeeded: branch.succeeded, responses }
    }
}

/// The branch that a transaction takes.
struct Branch {
    succeeded: bool,
    steps: Vec<Step>,
}

enum Step {
    Operation(Request),
    Nested(Branch),
}

fn is_range(operation: &RequestOp) -> bool {
    matches!(operation.request, Some(Request::RequestRange(_)))
}

fn check_txn(request: &TxnRequest, operations_max: usize) -> Result<(), Refusal> {
    let operations = request.compare.len().max(request.success.len()).max(request.failure.len());
    let Some(operations_left) = operations_max.checked_sub(operations) else {
        return Err(Refusal::TooManyOperations);
    };
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Refusal::EmptyKey);
    }
    for operation in request.success.iter().chain(&request.failure) {
        match &operation.request {
            Some(Request::RequestRange(range)) => check_range(range)?,
            Some(Request::RequestPut(put)) => check_put(put)?,
            Some(Request::RequestDeleteRange(delete)) => check_delete(delete)?,
            Some(Request::RequestTxn(nested)) => check_txn(nested, operations_left)?,
            None => return Err(Refusal::KeyNotFound),
        }
    }
    Ok(())
}

/// What one list of operations may change, nested transactions included.
#[derive(Default)]
struct Changes {
    puts: BTreeSet<Bytes>,
    deletes: Vec<KeyRange>,
}

impl Changes {
    fn deletes(&self, key: &[u8]) -> bool {
        self.deletes.iter().any(|range| range.collides_in_txn(key))
    }
}

/// Refuses a key that is put twice, or put and deleted, in one revision. The two branches of one nested transaction
/// exclude each other, and so may share keys.
fn collect_changes(operations: &[RequestOp]) -> Result<Changes, Refusal> {
    let mut changes = Changes::default();
    for operation in operations {
        if let Some(Request::RequestDeleteRange(delete)) = &operation.request {
            changes.deletes.push(KeyRange::new(&delete.key, &delete.range_end));
        }
    }
    for operation in operations {
        let Some(Request::RequestTxn(nested)) = &operation.request else { continue };
        let success = collect_changes(&nested.success)?;
        let failure = collect_changes(&nested.failure)?;
        let collides = |key: &Bytes| changes.puts.contains(key) || changes.deletes(key);
        if success.puts.iter().chain(&failure.puts).any(collides) {
            return Err(Refusal::DuplicateKey);
        }
        changes.puts.extend(success.puts);
        changes.puts.extend(failure.puts);
        changes.deletes.extend(success.deletes);
        changes.deletes.extend(failure.deletes);
    }
    for operation in operations {
        let Some(Request::RequestPut(put)) = &operation.request else { continue };
        if changes.deletes(&put.key) || !changes.puts.insert(put.key.clone()) {
            return Err(Refusal::DuplicateKey);
        }
    }
    Ok(changes)
}

fn holds_for(compare: &Compare, kv: &KeyValue) -> bool {
    // A number of the wrong name counts as 0, a value of the wrong name as empty.
    let union = compare.target_union.as_ref();
    let number = |pick: fn(&TargetUnion) -> Option<i64>| union.and_then(pick).unwrap_or_default();
    let order = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Value) => {
            let wanted = match union {
                Some(TargetUnion::Value(value)) => &value[..],
                _ => &[],
            };
            kv.value[..].cmp(wanted)
        }
        Ok(CompareTarget::Version) => kv.version.cmp(&number(|union| match union {
            TargetUnion::Version(version) => Some(*version),
            _ => None,
        })),
        Ok(CompareTarget::Create) => kv.create_revision.cmp(&number(|union| match union {
            TargetUnion::CreateRevision(revision) => Some(*revision),
            _ => None,
        })),
        Ok(CompareTarget::Mod) => kv.mod_revision.cmp(&number(|union| match union {
            TargetUnion::ModRevision(revision) => Some(*revision),
            _ => None,
        })),
        Ok(CompareTarget::Lease) => kv.lease.cmp(&number(|union| match union {
            TargetUnion::Lease(lease) => Some(*lease),
            _ => None,
        })),
        Err(_) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order.is_eq(),
        Ok(CompareResult::NotEqual) => order.is_ne(),
        Ok(CompareResult::Greater) => order.is_gt(),
        Ok(CompareResult::Less) => order.is_lt(),
        Err(_) => true,
    }
}
