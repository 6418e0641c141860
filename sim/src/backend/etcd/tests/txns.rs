//! Transactions.

use shaketable_proto::etcd::v3::rpc::{
    Compare, RangeRequest, RequestOp, TxnRequest,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request,
    response_op::Response,
};

use super::super::{Etcd, EtcdConfig, Line, Refusal};
use super::{at, bytes, delete, etcd, get, grant, put};

fn step(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn puts(keys: &[&str]) -> Vec<RequestOp> {
    keys.iter().map(|key| step(Request::RequestPut(put(key, "new", 0)))).collect()
}

fn success(success: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { success, ..TxnRequest::default() }
}

fn compare(key: &str, range_end: &str, result: CompareResult, union: TargetUnion) -> Compare {
    let target = match union {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    Compare {
        result: result.into(),
        target: target.into(),
        key: bytes(key),
        range_end: bytes(range_end),
        target_union: Some(union),
    }
}

#[test]
fn a_transaction_writes_in_one_revision_and_reads_its_own_writes() {
    let mut etcd = etcd();
    let mut steps = puts(&["a", "b"]);
    steps.push(step(Request::RequestRange(get("a", "\0"))));
    let response = etcd.txn(at(0), success(steps)).unwrap();
    assert_eq!((response.succeeded, response.header.unwrap().revision, etcd.revision()), (true, 2, 2));
    let Some(Response::ResponseRange(range)) = &response.responses[2].response else { panic!("no range") };
    assert_eq!((range.count, range.header.unwrap().revision, range.header.unwrap().cluster_id), (2, 2, 0));
}

#[test]
fn a_failed_comparison_takes_the_other_branch() {
    let mut etcd = etcd();
    let only_new = |key| compare(key, "", CompareResult::Equal, TargetUnion::CreateRevision(0));
    let claim = |key| TxnRequest {
        compare: vec![only_new(key)],
        success: puts(&[key]),
        failure: vec![step(Request::RequestRange(get(key, "")))],
    };
    assert!(etcd.txn(at(0), claim("a")).unwrap().succeeded);
    let second = etcd.txn(at(0), claim("a")).unwrap();
    assert!(!second.succeeded);
    assert!(matches!(&second.responses[0].response, Some(Response::ResponseRange(range)) if range.count == 1));
    assert_eq!(etcd.revision(), 2);
}

#[test]
fn every_target_can_be_compared_and_a_missing_key_has_no_value() {
    let mut etcd = etcd();
    etcd.lease_grant(at(0), grant(7, 60)).unwrap();
    etcd.put(at(0), put("a", "m", 7)).unwrap();
    etcd.put(at(0), put("b", "n", 7)).unwrap();
    let mut holds = |compare| {
        let request = TxnRequest { compare: vec![compare], ..TxnRequest::default() };
        etcd.txn(at(0), request).unwrap().succeeded
    };
    use CompareResult::{Equal, Greater, Less, NotEqual};
    assert!(holds(compare("a", "", Equal, TargetUnion::Value(bytes("m")))));
    assert!(holds(compare("a", "\0", Greater, TargetUnion::Value(bytes("l")))));
    assert!(!holds(compare("a", "\0", Greater, TargetUnion::Value(bytes("m")))));
    assert!(holds(compare("a", "", Equal, TargetUnion::Lease(7))));
    assert!(holds(compare("a", "", Less, TargetUnion::ModRevision(3))));
    assert!(holds(compare("a", "", NotEqual, TargetUnion::Version(2))));
    assert!(holds(compare("missing", "", Equal, TargetUnion::Version(0))));
    assert!(!holds(compare("missing", "", Equal, TargetUnion::Value(bytes("")))));
    assert!(!holds(compare("missing", "", NotEqual, TargetUnion::Value(bytes("x")))));
}

#[test]
fn nested_comparisons_see_the_store_as_it_was_before() {
    let mut etcd = etcd();
    let nested = TxnRequest {
        compare: vec![compare("a", "", CompareResult::Greater, TargetUnion::Version(0))],
        success: puts(&["seen"]),
        failure: puts(&["unseen"]),
    };
    let mut steps = puts(&["a"]);
    steps.push(step(Request::RequestTxn(nested)));
    etcd.txn(at(0), success(steps)).unwrap();
    assert!(etcd.peek(b"unseen").is_some());
    assert!(etcd.peek(b"seen").is_none());
}

#[test]
fn a_key_is_changed_only_once_in_a_transaction() {
    let mut etcd = etcd();
    let remove = |key, end| step(Request::RequestDeleteRange(delete(key, end)));
    let nest = |success, failure| step(Request::RequestTxn(TxnRequest { compare: Vec::new(), success, failure }));
    let mut refused = |steps| etcd.txn(at(0), success(steps)) == Err(Refusal::DuplicateKey);
    assert!(refused(puts(&["a", "a"])));
    assert!(refused([puts(&["b"]), vec![remove("a", "c")]].concat()));
    assert!(refused([puts(&["a"]), vec![nest(puts(&["a"]), Vec::new())]].concat()));
    assert!(refused(vec![remove("a", ""), nest(Vec::new(), puts(&["a"]))]));
    assert!(!refused(vec![nest(puts(&["a"]), puts(&["a"]))]));
    assert!(!refused([puts(&["c"]), vec![remove("a", "c"), remove("a", "b")]].concat()));
    // etcd does not see that an open range covers the key, not even as its first one.
    assert!(!refused([puts(&["b"]), vec![remove("a", "\0")]].concat()));
    assert!(!refused([puts(&["b"]), vec![remove("b", "\0")]].concat()));
    assert!(!refused([puts(&["b"]), vec![remove("b", "a")]].concat()));
}

#[test]
fn too_many_operations_are_refused_nested_ones_included() {
    let mut etcd = etcd();
    let names: Vec<String> = (0..129).map(|number| format!("{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(etcd.txn(at(0), success(puts(&names))), Err(Refusal::TooManyOperations));
    assert!(etcd.txn(at(0), success(puts(&names[..128]))).is_ok());
    let nested = step(Request::RequestTxn(success(puts(&names[..128]))));
    assert_eq!(etcd.txn(at(0), success(vec![nested])), Err(Refusal::TooManyOperations));
    let nested = step(Request::RequestTxn(success(puts(&names[..127]))));
    assert!(etcd.txn(at(0), success(vec![nested])).is_ok());
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let mut etcd = etcd();
    let mut refusal = |last| {
        let mut steps = puts(&["a"]);
        steps.push(RequestOp { request: last });
        etcd.txn(at(0), success(steps)).unwrap_err()
    };
    assert_eq!(refusal(None), Refusal::KeyNotFound);
    assert_eq!(refusal(Some(Request::RequestPut(put("b", "", 404)))), Refusal::LeaseNotFound);
    assert_eq!(refusal(Some(Request::RequestRange(get("", "")))), Refusal::EmptyKey);
    let future = RangeRequest { revision: 2, ..get("a", "") };
    assert_eq!(refusal(Some(Request::RequestRange(future))), Refusal::FutureRevision);
    assert_eq!(etcd.revision(), 1);
}

#[test]
fn which_of_two_refusals_is_told_depends_on_the_line() {
    let past = step(Request::RequestRange(RangeRequest { revision: 9, ..get("a", "") }));
    let unbound = step(Request::RequestPut(put("a", "1", 404)));
    let refused = |line| {
        let mut etcd = Etcd::new(EtcdConfig { line, ..EtcdConfig::default() }, at(0));
        etcd.txn(at(0), success(vec![past.clone(), unbound.clone()]))
    };
    assert_eq!(refused(Line::V3_4), Err(Refusal::LeaseNotFound));
    assert_eq!(refused(Line::V3_5), Err(Refusal::LeaseNotFound));
    assert_eq!(refused(Line::V3_6), Err(Refusal::FutureRevision));
}
