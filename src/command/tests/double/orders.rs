//! What a double does when it is told to over HTTP, as its clients see it.

use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use shaketable_proto::etcd::v3::rpc::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseTimeToLiveRequest,
    PutRequest, RangeRequest, StatusRequest, WatchCreateRequest, WatchRequest, kv_client::KvClient,
    lease_client::LeaseClient, maintenance_client::MaintenanceClient, watch_client::WatchClient,
    watch_request::RequestUnion,
};
use tokio_stream::{StreamExt, once, pending};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::common::Outcome;
use super::double::{DEADLINE, Double, http};
use super::runtime;

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Outcome| Trial::test(name, test);
    vec![
        trial("its_help_names_every_order", help),
        trial("a_wrong_order_is_refused_with_the_mend", wrong_orders),
        trial("a_lease_expires_when_it_is_told_to", expire),
        trial("leases_end_as_many_times_sooner_as_its_clock_is_faster", faster),
        trial("it_compacts", compact),
        trial("it_refuses_changes_while_it_is_throttled", throttle),
        trial("its_quota_can_be_filled_and_freed", quota),
        trial("it_elects_a_leader_after_a_time_without_one", elect),
    ]
}

fn put(key: &str, lease: i64) -> PutRequest {
    PutRequest { key: key.to_owned().into(), value: "1".into(), lease, ..PutRequest::default() }
}

fn range(key: &str) -> RangeRequest {
    RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() }
}

/// A double and a connection to it.
fn with<S: AsyncFn(&Double, Channel) -> Outcome>(arguments: &[&str], test: S) -> Outcome {
    runtime()?.block_on(async {
        let double = Double::start(arguments).await?;
        let channel = double.connect().await?;
        test(&double, channel).await
    })
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, message: &str) {
    let status = answer.expect_err("it is refused");
    assert_eq!((status.code(), status.message()), (code, message));
}

fn help() -> Outcome {
    with(&[], async |double: &Double, _| {
        let (status, help) = http(&double.admin, "GET", "/")?;
        assert_eq!(status, 200);
        assert!(help.contains(&double.etcd), "{help}");
        for order in
            ["/leases/ID/expire", "/compact", "/leader", "/throttle", "/quota", "/quota/fill", "/quota/free", "/clock"]
        {
            assert!(help.contains(&format!("POST {order}")), "{order} is missing: {help}");
            let (status, _) = http(&double.admin, "GET", order)?;
            assert_eq!(status, 405, "{order} is there, and changes something");
        }
        Ok(())
    })
}

fn wrong_orders() -> Outcome {
    with(&[], async |double: &Double, _| {
        for (method, target, status, why) in [
            ("GET", "/nothing", 404, "GET / tells"),
            ("POST", "/state", 405, "takes GET"),
            ("DELETE", "/throttle", 405, "takes POST"),
            ("POST", "/leases/xyz/expire", 400, "hexadecimal"),
            ("POST", "/leases/7/expire", 404, "no lease 7"),
            ("POST", "/compact?revision=x", 400, "no whole number"),
            ("POST", "/compact?revision=9", 409, "future revision"),
            ("POST", "/compact?rev=1", 400, "there is: revision"),
            ("POST", "/leader?without=5", 400, "unit"),
            ("POST", "/leader?without=2h", 400, "hour at most"),
            ("POST", "/throttle?requests=-1", 400, "no whole number"),
            ("POST", "/throttle?requests", 400, "requests=VALUE"),
            ("POST", "/quota", 400, "how many bytes"),
            ("POST", "/quota?bytes=0", 400, "at least 1"),
            ("POST", "/quota/fill?bytes=1", 400, "leave it out"),
            ("POST", "/clock", 400, "times=N"),
            ("POST", "/clock?times=0", 400, "from 1"),
            ("POST", "/clock?times=1000000", 400, "from 1"),
        ] {
            let (answered, body) = http(&double.admin, method, target)?;
            assert_eq!(answered, status, "{target}: {body}");
            let body: serde_json::Value = serde_json::from_str(&body)?;
            assert!(body["error"].as_str().is_some_and(|error| error.contains(why)), "{target}: {body}");
        }
        Ok(())
    })
}

async fn leased(channel: &Channel, ttl: i64) -> Result<i64, Failed> {
    let lease = LeaseClient::new(channel.clone()).lease_grant(LeaseGrantRequest { id: 0, ttl }).await?.get_ref().id;
    KvClient::new(channel.clone()).put(put("leased", lease)).await?;
    Ok(lease)
}

async fn count(channel: &Channel) -> Result<i64, Status> {
    Ok(KvClient::new(channel.clone()).range(range("leased")).await?.get_ref().count)
}

fn expire() -> Outcome {
    with(&[], async |double: &Double, channel| {
        let lease = leased(&channel, 600).await?;
        let state = double.state()?;
        let known = &state["leases"][0];
        assert_eq!(
            (known["id"].as_str(), known["keys"][0].as_str()),
            (Some(&*format!("{lease:016x}")), Some("leased"))
        );
        let after = double.order(&format!("/leases/{lease:x}/expire"))?;
        assert_eq!((after["leases"].as_array().map(Vec::len), after["keys"].as_u64()), (Some(0), Some(0)));
        assert_eq!(count(&channel).await?, 0);
        let question = LeaseTimeToLiveRequest { id: lease, keys: false };
        assert_eq!(LeaseClient::new(channel).lease_time_to_live(question).await?.get_ref().ttl, -1);
        Ok(())
    })
}

fn faster() -> Outcome {
    with(&[], async |double: &Double, channel| {
        let lease = leased(&channel, 600).await?;
        assert_eq!(double.order("/clock?times=300")?["clock"]["times"], 300);
        let began = Instant::now();
        // Renewed it lives on, in however fast a time; 600 s are 2 s now.
        let mut client = LeaseClient::new(channel.clone());
        while began.elapsed() < Duration::from_secs(3) {
            let request = once(LeaseKeepAliveRequest { id: lease });
            let answer = client.lease_keep_alive(request).await?.into_inner().message().await?;
            assert_eq!(answer.map(|answer| answer.ttl), Some(600));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(count(&channel).await?, 1);
        let began = Instant::now();
        while count(&channel).await? == 1 {
            if began.elapsed() > DEADLINE {
                return Err("a lease of 600 s lives on at 300 times the pace".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(began.elapsed() > Duration::from_millis(1500), "it ended after {:?}", began.elapsed());
        // And slow again.
        double.order("/clock?times=1")?;
        leased(&channel, 5).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(count(&channel).await?, 1);
        Ok(())
    })
}

fn compact() -> Outcome {
    with(&[], async |double: &Double, channel| {
        let mut kv = KvClient::new(channel);
        for _ in 0..3 {
            kv.put(put("a", 0)).await?;
        }
        assert_eq!(double.order("/compact?revision=3")?["compact_revision"], 3);
        let old = || RangeRequest { revision: 2, ..range("a") };
        let gone = "etcdserver: mvcc: required revision has been compacted";
        assert_refused(kv.range(old()).await, Code::OutOfRange, gone);
        assert_eq!(double.order("/compact")?["compact_revision"], 4);
        let (status, again) = http(&double.admin, "POST", "/compact")?;
        assert!(status == 409 && again.contains(gone), "{status} {again}");
        Ok(())
    })
}

fn throttle() -> Outcome {
    with(&[], async |double: &Double, channel| {
        let mut kv = KvClient::new(channel);
        let too_many = "etcdserver: too many requests";
        assert_eq!(double.order("/throttle?requests=2")?["throttle"]["requests"], 2);
        assert_refused(kv.put(put("a", 0)).await, Code::Unknown, too_many);
        // Reads are none of its business.
        assert_eq!(kv.range(range("a")).await?.get_ref().count, 0);
        let delete = DeleteRangeRequest { key: "a".into(), ..DeleteRangeRequest::default() };
        assert_refused(kv.delete_range(delete).await, Code::Unknown, too_many);
        kv.put(put("a", 0)).await?;
        assert_eq!(double.order("/throttle")?["throttle"]["requests"], "all");
        for _ in 0..10 {
            assert_refused(kv.put(put("a", 0)).await, Code::Unknown, too_many);
        }
        assert!(double.order("/throttle?requests=0")?["throttle"].is_null());
        kv.put(put("a", 0)).await?;
        Ok(())
    })
}

fn quota() -> Outcome {
    with(&["--quota", "10000000"], async |double: &Double, channel| {
        let (mut kv, mut maintenance) = (KvClient::new(channel.clone()), MaintenanceClient::new(channel));
        let no_space = "etcdserver: mvcc: database space exceeded";
        kv.put(put("a", 0)).await?;
        let full = double.order("/quota/fill")?;
        assert_eq!(full["quota"]["file_bytes"], full["quota"]["bytes"]);
        assert_eq!(full["quota"]["alarms"].as_array().map(Vec::len), Some(0), "nobody has been refused yet");
        assert_refused(kv.put(put("a", 0)).await, Code::ResourceExhausted, no_space);
        assert_eq!(double.state()?["quota"]["alarms"][0], "NOSPACE");
        let errors = maintenance.status(StatusRequest {}).await?.into_inner().errors;
        assert!(errors.concat().contains("NOSPACE"), "{errors:?}");
        assert_eq!(double.order("/quota/free")?["quota"]["alarms"].as_array().map(Vec::len), Some(0));
        kv.put(put("a", 0)).await?;
        // By its clients' own means, too: a quota below what is in use needs a compaction and a defragmentation.
        let value = "x".repeat(100_000);
        for _ in 0..50 {
            kv.put(PutRequest { value: value.clone().into(), ..put("a", 0) }).await?;
        }
        double.order("/quota?bytes=1000000")?;
        assert_refused(kv.put(put("a", 0)).await, Code::ResourceExhausted, no_space);
        let revision = double.state()?["revision"].as_i64().ok_or("a number")?;
        kv.compact(CompactionRequest { revision, physical: true }).await?;
        maintenance.defragment(shaketable_proto::etcd::v3::rpc::DefragmentRequest {}).await?;
        assert_refused(kv.put(put("a", 0)).await, Code::ResourceExhausted, no_space);
        double.order("/quota/free")?;
        kv.put(put("a", 0)).await?;
        Ok(())
    })
}

fn elect() -> Outcome {
    with(&[], async |double: &Double, channel| {
        let (mut kv, mut maintenance) = (KvClient::new(channel.clone()), MaintenanceClient::new(channel.clone()));
        let lease = leased(&channel, 60).await?;
        let term = double.state()?["raft_term"].as_u64().ok_or("a number")?;
        let create = WatchCreateRequest { key: "b".into(), ..WatchCreateRequest::default() };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let create = || once(create.clone()).chain(pending());
        let mut watch = WatchClient::new(channel.clone()).watch(create()).await?.into_inner();
        assert!(watch.message().await?.is_some_and(|answer| answer.created));
        let mut insisting = WatchClient::new(channel.clone()).watch(insist(create())).await?.into_inner();
        assert!(insisting.message().await?.is_some_and(|answer| answer.created));
        // At once: nobody need notice but by the term.
        assert_eq!(double.order("/leader")?["raft_term"].as_u64(), Some(term + 1));
        kv.put(put("b", 0)).await?;
        for watch in [&mut watch, &mut insisting] {
            assert_eq!(watch.message().await?.map(|answer| answer.events.len()), Some(1));
        }

        let began = Instant::now();
        assert!(double.order("/leader?without=4s")?["leader"].is_null());
        let status = maintenance.status(StatusRequest {}).await?.into_inner();
        assert_eq!((status.leader, &*status.errors.concat()), (0, "etcdserver: no leader"));
        let no_leader = "etcdserver: no leader";
        assert_refused(kv.put(insist(put("b", 0))).await, Code::Unavailable, no_leader);
        assert_refused(WatchClient::new(channel.clone()).watch(insist(create())).await, Code::Unavailable, no_leader);
        let stale = RangeRequest { serializable: true, ..range("b") };
        assert_eq!(kv.range(stale).await?.get_ref().count, 1, "a stale read needs no leader");
        // A change waits and is done; a read waits and is refused, because whoever leads now may know more.
        let (mut writer, mut reader) = (kv.clone(), kv.clone());
        let (written, read) = tokio::join!(writer.put(put("b", 0)), reader.range(range("b")));
        assert!(began.elapsed() > Duration::from_millis(3500), "they waited {:?}", began.elapsed());
        written?;
        assert_refused(read, Code::Unavailable, "etcdserver: leader changed");
        // Whoever insisted on a leader has been told in time that there was none; the other watch goes on.
        assert_refused(insisting.message().await, Code::Unavailable, no_leader);
        assert_eq!(watch.message().await?.map(|answer| answer.events.len()), Some(1));
        let state = double.state()?;
        assert_eq!(state["raft_term"].as_u64(), Some(term + 2));
        let left = state["leases"][0]["left_seconds"].as_i64();
        assert!(left >= Some(58), "the lease {lease:x} has its full TTL again: {state}");
        assert_eq!(count(&channel).await?, 1);

        // Longer than a request may take.
        double.order("/leader?without=1h")?;
        let began = Instant::now();
        assert_refused(kv.put(put("b", 0)).await, Code::Unknown, "context deadline exceeded");
        assert!((Duration::from_millis(6500)..DEADLINE).contains(&began.elapsed()), "after {:?}", began.elapsed());
        double.order("/leader")?;
        kv.put(put("b", 0)).await?;
        Ok(())
    })
}

/// As clients say that they will not wait for a leader.
fn insist<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("hasleader", "true".parse().expect("a word"));
    request
}
