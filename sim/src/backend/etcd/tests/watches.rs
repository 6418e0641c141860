//! Watches: history, filters, ids, progress, compaction, slow readers.

use shaketable_proto::etcd::v3::kv::event::EventType;
use shaketable_proto::etcd::v3::rpc::{
    CompactionRequest, RequestOp, TxnRequest, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest,
    WatchRequest, WatchResponse, request_op::Request, watch_create_request::FilterType, watch_request::RequestUnion,
};

use super::super::{Etcd, EtcdConfig, Line, Refusal, WatchStreamId};
use super::{at, bytes, delete, etcd, put};

fn create(key: &str, range_end: &str) -> WatchCreateRequest {
    WatchCreateRequest { key: bytes(key), range_end: bytes(range_end), ..WatchCreateRequest::default() }
}

fn ask(etcd: &mut Etcd, stream: WatchStreamId, union: RequestUnion) {
    let now = etcd.now;
    etcd.watch(now, stream, WatchRequest { request_union: Some(union) }).unwrap();
}

fn watch(etcd: &mut Etcd, stream: WatchStreamId, request: WatchCreateRequest) -> WatchResponse {
    ask(etcd, stream, RequestUnion::CreateRequest(request));
    let mut responses = responses(etcd, stream);
    assert_eq!(responses.len(), 1, "{responses:?}");
    responses.remove(0)
}

fn responses(etcd: &mut Etcd, stream: WatchStreamId) -> Vec<WatchResponse> {
    std::iter::from_fn(|| etcd.next_watch_response(stream).unwrap()).collect()
}

/// Writes events as `+key=value@revision` and `-key@revision`.
fn told(response: &WatchResponse) -> String {
    let events = response.events.iter().map(|event| {
        let kv = event.kv.clone().unwrap_or_default();
        let (key, value) = (String::from_utf8_lossy(&kv.key), String::from_utf8_lossy(&kv.value));
        match event.r#type() {
            EventType::Put => format!("+{key}={value}@{}", kv.mod_revision),
            EventType::Delete => format!("-{key}@{}", kv.mod_revision),
        }
    });
    events.collect::<Vec<_>>().join(" ")
}

fn all_told(responses: &[WatchResponse]) -> Vec<String> {
    responses.iter().map(told).collect()
}

#[test]
fn a_watch_hears_of_every_change_in_its_range_from_now_on() {
    let mut etcd = etcd();
    let stream = etcd.open_watch_stream(at(0));
    etcd.put(at(0), put("a", "0", 0)).unwrap();
    let created = watch(&mut etcd, stream, create("a", "c"));
    assert!(created.created && !created.canceled);
    assert_eq!((created.watch_id, created.header.unwrap().revision), (0, 2));
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    etcd.put(at(0), put("c", "1", 0)).unwrap();
    etcd.delete_range(at(0), &delete("a", "")).unwrap();
    let heard = responses(&mut etcd, stream);
    assert_eq!(all_told(&heard), ["+a=1@3", "-a@5"]);
    assert_eq!(heard[1].header.unwrap().revision, 5);
}

#[test]
fn a_watch_from_the_past_gets_the_history_at_the_next_sync_and_then_the_present() {
    let mut etcd = etcd();
    let stream = etcd.open_watch_stream(at(0));
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    etcd.delete_range(at(0), &delete("a", "")).unwrap();
    etcd.put(at(0), put("a", "2", 0)).unwrap();
    etcd.advance(at(10));
    watch(&mut etcd, stream, WatchCreateRequest { start_revision: 3, ..create("a", "") });
    etcd.put(at(20), put("a", "3", 0)).unwrap();
    assert!(responses(&mut etcd, stream).is_empty());
    assert_eq!(etcd.next_due(), Some(at(100)));
    etcd.advance(at(100));
    let heard = responses(&mut etcd, stream);
    assert_eq!(all_told(&heard), ["-a@3 +a=2@4 +a=3@5"]);
    assert_eq!(heard[0].header.unwrap().revision, 5);
    etcd.put(at(100), put("a", "4", 0)).unwrap();
    assert_eq!(all_told(&responses(&mut etcd, stream)), ["+a=4@6"]);
}

#[test]
fn a_watch_from_the_future_stays_silent_until_then() {
    let mut etcd = etcd();
    let stream = etcd.open_watch_stream(at(0));
    watch(&mut etcd, stream, WatchCreateRequest { start_revision: 3, ..create("a", "") });
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    etcd.put(at(0), put("a", "2", 0)).unwrap();
    assert_eq!(all_told(&responses(&mut etcd, stream)), ["+a=2@3"]);
}

#[test]
fn previous_values_come_on_request_unless_there_were_none_or_they_are_compacted() {
    let mut etcd = etcd();
    let stream = etcd.open_watch_stream(at(0));
    watch(&mut etcd, stream, WatchCreateRequest { prev_kv: true, start_revision: 2, ..create("a", "") });
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    etcd.put(at(0), put("a", "2", 0)).unwrap();
    etcd.delete_range(at(0), &delete("a", "")).unwrap();
    let mut previous = |stream| -> Vec<_> {
        let responses = responses(&mut etcd, stream).into_iter();
        responses.flat_map(|response| response.events).map(|event| event.prev_kv.map(|kv| kv.value)).collect()
    };
    assert_eq!(previous(stream), [None, Some(bytes("1")), Some(bytes("2"))]);
    etcd.compact(at(0), CompactionRequest { revision: 3, physical: true }).unwrap();
    let late = etcd.open_watch_stream(at(0));
    watch(&mut etcd, late, WatchCreateRequest { prev_kv: true, start_revision: 3, ..create("a", "") });
    etcd.advance(at(100));
    let events = responses(&mut etcd, late).remove(0).events;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].prev_kv, None);
    assert_eq!(events[1].prev_kv.as_ref().map(|kv| kv.value.clone()), Some(bytes("2")));
}

#[test]
fn filters_leave_out_puts_or_deletions() {
    let mut etcd = etcd();
    let stream = etcd.open_watch_stream(at(0));
    let filtered = |filter: FilterType| WatchCreateRequest { filters: vec![filter.into()], ..create("a", "") };
    watch(&mut etcd, stream, filtered(FilterType::Noput));
    watch(&mut etcd, stream, filtered(FilterType::Nodelete));
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    etcd.delete_range(at(0), &delete("a", "")).unwrap();
    let heard: Vec<_> =
        responses(&mut etcd, stream).iter().map(|response| (response.watch_id, told(response))).collect();
    assert_eq!(heard, [(1, "+a=1@2".to_owned()), (0, "-a@3".to_owned())]);
}

#[test]
fn the_changes_of_one_revision_come_in_one_response() {
    let mut etcd = etcd();
    let stream = etcd.open_watch_stream(at(0));
    watch(&mut etcd, stream, create("a", "\0"));
    let success = ["b", "a"].map(|key| RequestOp { request: Some(Request::RequestPut(put(key, "1", 0))) });
    etcd.txn(at(0), TxnRequest { success: success.to_vec(), ..TxnRequest::default() }).unwrap();
    assert_eq!(all_told(&responses(&mut etcd, stream)), ["+b=1@2 +a=1@2"]);
}

#[test]
fn watch_ids_are_counted_or_chosen_and_a_duplicate_is_refused() {
    let mut etcd = etcd();
    let stream = etcd.open_watch_stream(at(0));
    let chosen = |watch_id| WatchCreateRequest { watch_id, ..create("a", "") };
    assert_eq!(watch(&mut etcd, stream, chosen(0)).watch_id, 0);
    assert_eq!(watch(&mut etcd, stream, chosen(1)).watch_id, 1);
    assert_eq!(watch(&mut etcd, stream, chosen(0)).watch_id, 2);
    let refused = watch(&mut etcd, stream, chosen(1));
    assert!(refused.created && refused.canceled);
    assert_eq!(refused.watch_id, -1);
    assert_eq!(refused.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
    let empty = watch(&mut etcd, stream, create("b", "a"));
    assert_eq!((empty.watch_id, &empty.cancel_reason[..]), (-1, "mvcc: watcher range is empty"));
}

#[test]
fn a_canceled_watch_says_so_once_and_hears_nothing_more() {
    let mut etcd = etcd();
    let stream = etcd.open_watch_stream(at(0));
    watch(&mut etcd, stream, create("a", ""));
    ask(&mut etcd, stream, RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 0 }));
    ask(&mut etcd, stream, RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 0 }));
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    let heard = responses(&mut etcd, stream);
    assert_eq!(heard.len(), 1);
    assert!(heard[0].canceled && heard[0].cancel_reason.is_empty());
}

#[test]
fn a_watch_below_the_compaction_is_canceled_and_told_from_where_there_is_history() {
    let mut etcd = etcd();
    let stream = etcd.open_watch_stream(at(0));
    for value in ["1", "2", "3", "4"] {
        etcd.put(at(0), put("a", value, 0)).unwrap();
    }
    etcd.compact(at(0), CompactionRequest { revision: 4, physical: true }).unwrap();
    let created = watch(&mut etcd, stream, WatchCreateRequest { start_revision: 3, ..create("a", "") });
    assert!(created.created && !created.canceled);
    etcd.advance(at(100));
    let heard = responses(&mut etcd, stream);
    assert_eq!(heard.len(), 1);
    assert!(heard[0].canceled);
    assert_eq!((heard[0].compact_revision, heard[0].header.unwrap().revision), (4, 0));
    watch(&mut etcd, stream, WatchCreateRequest { start_revision: 4, ..create("a", "") });
    etcd.advance(at(200));
    assert_eq!(all_told(&responses(&mut etcd, stream)), ["+a=3@4 +a=4@5"]);
}

#[test]
fn a_watch_that_a_compaction_at_revision_0_ends_is_not_told_that_it_was_canceled() {
    let mut etcd = Etcd::new(EtcdConfig { line: Line::V3_4, ..EtcdConfig::default() }, at(0));
    let stream = etcd.open_watch_stream(at(0));
    etcd.compact(at(0), CompactionRequest { revision: 0, physical: true }).unwrap();
    watch(&mut etcd, stream, WatchCreateRequest { start_revision: -1, ..create("a", "") });
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    etcd.advance(at(100));
    let heard = responses(&mut etcd, stream);
    assert_eq!(heard.len(), 1, "it hears of no change, now or later");
    assert_eq!((heard[0].canceled, heard[0].compact_revision, heard[0].events.len()), (false, 0, 0));
}

#[test]
fn a_deletion_at_the_compacted_revision_itself_is_heard_of_since_3_5() {
    assert_eq!(told_from_a_compacted_deletion_on(Line::V3_4), ["+a=2@4"]);
    assert_eq!(told_from_a_compacted_deletion_on(Line::V3_5), ["-a@3 +a=2@4"]);
    assert_eq!(told_from_a_compacted_deletion_on(Line::V3_6), ["-a@3 +a=2@4"]);
}

fn told_from_a_compacted_deletion_on(line: Line) -> Vec<String> {
    let mut etcd = Etcd::new(EtcdConfig { line, ..EtcdConfig::default() }, at(0));
    let stream = etcd.open_watch_stream(at(0));
    etcd.put(at(0), put("a", "1", 0)).unwrap();
    etcd.delete_range(at(0), &delete("a", "")).unwrap();
    etcd.put(at(0), put("a", "2", 0)).unwrap();
    etcd.compact(at(0), CompactionRequest { revision: 3, physical: true }).unwrap();
    watch(&mut etcd, stream, WatchCreateRequest { start_revision: 3, ..create("a", "") });
    etcd.advance(at(100));
    all_told(&responses(&mut etcd, stream))
}

#[test]
fn progress_is_told_on_request_for_the_stream_and_regularly_for_quiet_watches() {
    let config = EtcdConfig { watch_progress_interval: at(1000), ..EtcdConfig::default() };
    let mut etcd = Etcd::new(config, at(0));
    let stream = etcd.open_watch_stream(at(0));
    watch(&mut etcd, stream, WatchCreateRequest { progress_notify: true, ..create("a", "") });
    watch(&mut etcd, stream, create("a", ""));
    etcd.put(at(10), put("b", "1", 0)).unwrap();
    ask(&mut etcd, stream, RequestUnion::ProgressRequest(WatchProgressRequest {}));
    let asked = responses(&mut etcd, stream);
    assert_eq!((asked.len(), asked[0].watch_id, asked[0].header.unwrap().revision), (1, -1, 2));
    etcd.advance(at(1000));
    let quiet = responses(&mut etcd, stream);
    assert_eq!((quiet.len(), quiet[0].watch_id, quiet[0].events.len()), (1, 0, 0));
    etcd.put(at(1500), put("a", "1", 0)).unwrap();
    assert_eq!(responses(&mut etcd, stream).len(), 2);
    etcd.advance(at(2000));
    assert!(responses(&mut etcd, stream).is_empty(), "an event says as much as a report");
    etcd.advance(at(3000));
    assert_eq!(responses(&mut etcd, stream).len(), 1);
}

#[test]
fn a_big_response_is_split_where_the_watch_allows_it() {
    let config = EtcdConfig { watch_fragment_bytes: 120, ..EtcdConfig::default() };
    let mut etcd = Etcd::new(config, at(0));
    let stream = etcd.open_watch_stream(at(0));
    watch(&mut etcd, stream, WatchCreateRequest { fragment: true, ..create("a", "\0") });
    watch(&mut etcd, stream, create("a", "\0"));
    let success: Vec<_> = (0..6)
        .map(|key| RequestOp { request: Some(Request::RequestPut(put(&format!("k{key}"), "0123456789", 0))) })
        .collect();
    etcd.txn(at(0), TxnRequest { success, ..TxnRequest::default() }).unwrap();
    let heard = responses(&mut etcd, stream);
    let (parts, whole): (Vec<_>, Vec<_>) = heard.into_iter().partition(|response| response.watch_id == 0);
    assert_eq!((whole.len(), whole[0].events.len(), whole[0].fragment), (1, 6, false));
    assert!(parts.len() > 1);
    assert!(parts.iter().rev().skip(1).all(|part| part.fragment) && !parts[parts.len() - 1].fragment);
    assert_eq!(parts.iter().flat_map(|part| part.events.clone()).collect::<Vec<_>>(), whole[0].events);
}

#[test]
fn a_slow_reader_lags_gets_everything_later_and_loses_what_is_compacted_meanwhile() {
    let config = EtcdConfig { watch_buffer_responses: 2, ..EtcdConfig::default() };
    let mut etcd = Etcd::new(config, at(0));
    let stream = etcd.open_watch_stream(at(0));
    watch(&mut etcd, stream, create("a", ""));
    for value in ["1", "2", "3", "4"] {
        etcd.put(at(0), put("a", value, 0)).unwrap();
    }
    etcd.advance(at(500));
    assert_eq!(all_told(&responses(&mut etcd, stream)), ["+a=1@2", "+a=2@3"]);
    etcd.advance(at(600));
    assert_eq!(all_told(&responses(&mut etcd, stream)), ["+a=3@4 +a=4@5"]);
    for value in ["5", "6", "7", "8"] {
        etcd.put(at(600), put("a", value, 0)).unwrap();
    }
    etcd.compact_now(at(600));
    assert_eq!(all_told(&responses(&mut etcd, stream)), ["+a=5@6", "+a=6@7"]);
    etcd.advance(at(700));
    let heard = responses(&mut etcd, stream);
    assert_eq!((heard.len(), heard[0].canceled, heard[0].compact_revision), (1, true, 9));
}

#[test]
fn a_long_history_comes_in_batches() {
    let config = EtcdConfig { watch_sync_revisions_max: 2, ..EtcdConfig::default() };
    let mut etcd = Etcd::new(config, at(0));
    let stream = etcd.open_watch_stream(at(0));
    for value in ["1", "2", "3", "4", "5"] {
        etcd.put(at(0), put("a", value, 0)).unwrap();
    }
    watch(&mut etcd, stream, WatchCreateRequest { start_revision: 1, ..create("a", "") });
    etcd.advance(at(300));
    assert_eq!(all_told(&responses(&mut etcd, stream)), ["+a=1@2 +a=2@3", "+a=3@4 +a=4@5", "+a=5@6"]);
}

#[test]
fn a_restart_ends_every_stream() {
    let mut etcd = etcd();
    let stream = etcd.open_watch_stream(at(0));
    watch(&mut etcd, stream, create("a", ""));
    etcd.restart(at(10));
    assert_eq!(etcd.next_watch_response(stream), Err(Refusal::Stopped));
    assert_eq!(etcd.watch(at(10), stream, WatchRequest::default()), Err(Refusal::Stopped));
    assert_ne!(etcd.open_watch_stream(at(10)), stream);
}

#[test]
fn progress_while_a_watch_lags_is_told_at_once_by_3_4_and_not_at_all_since_3_5() {
    let told = |line| {
        let mut etcd = Etcd::new(EtcdConfig { line, ..EtcdConfig::default() }, at(0));
        let stream = etcd.open_watch_stream(at(0));
        etcd.put(at(0), put("a", "1", 0)).unwrap();
        watch(&mut etcd, stream, WatchCreateRequest { start_revision: 2, ..create("a", "") });
        let told = |etcd: &mut Etcd| {
            ask(etcd, stream, RequestUnion::ProgressRequest(WatchProgressRequest {}));
            responses(etcd, stream).iter().filter(|response| response.events.is_empty()).count()
        };
        let lagging = told(&mut etcd);
        etcd.advance(at(100));
        (lagging, told(&mut etcd))
    };
    assert_eq!(told(Line::V3_4), (1, 1));
    assert_eq!(told(Line::V3_5), (0, 1));
    assert_eq!(told(Line::V3_6), (0, 1));
}

#[test]
fn a_watch_from_below_zero_is_made_and_ended_until_3_5_and_refused_by_3_6() {
    let told = |line| {
        let mut etcd = Etcd::new(EtcdConfig { line, ..EtcdConfig::default() }, at(0));
        etcd.put(at(0), put("a", "1", 0)).unwrap();
        etcd.compact(at(0), CompactionRequest { revision: 2, physical: true }).unwrap();
        let stream = etcd.open_watch_stream(at(0));
        let mut told = vec![watch(&mut etcd, stream, WatchCreateRequest { start_revision: -5, ..create("a", "") })];
        etcd.advance(at(100));
        told.extend(responses(&mut etcd, stream));
        told.iter().map(|response| (response.created, response.canceled)).collect::<Vec<_>>()
    };
    assert_eq!(told(Line::V3_4), [(true, false), (false, true)]);
    assert_eq!(told(Line::V3_5), [(true, false), (false, true)]);
    assert_eq!(told(Line::V3_6), [(true, true)]);
}
