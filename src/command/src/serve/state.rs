//! The state of a double as JSON: what a test looks at when it wonders what happened. It changes nothing.

use serde_json::{Value, json};
use shaketable_proto::etcd::v3::rpc::LeaseTimeToLiveRequest;
use shaketable_sim::backend::etcd::{Etcd, Throttle};

use super::actions::Double;

/// Everything there is to know but the keys and values themselves, which any client can ask for.
pub(super) fn state(double: &Double) -> Value {
    let now = double.now();
    let times = double.handle.times().get();
    let requests = double.handle.requests();
    let mut state = double.handle.with(|etcd| {
        etcd.advance(now);
        let leader = etcd.leader();
        json!({
            "revision": etcd.revision(),
            "compact_revision": etcd.compact_revision(),
            "keys": etcd.keys().count(),
            "watch_streams": etcd.watch_streams(),
            "leader": (leader != 0).then(|| format!("{leader:x}")),
            "raft_term": etcd.raft_term(),
            "throttle": match etcd.throttle() {
                Throttle::Off => json!(null),
                Throttle::Next(requests) => json!({ "requests": requests }),
                Throttle::All => json!({ "requests": "all" }),
            },
            "quota": {
                "bytes": etcd.quota_bytes(),
                "file_bytes": etcd.file_bytes(),
                "bytes_in_use": etcd.bytes_in_use(),
                "alarms": etcd.alarms().iter().map(|alarm| alarm.alarm().as_str_name()).collect::<Vec<_>>(),
            },
            "leases": leases(etcd, now),
        })
    });
    state["etcd"] = json!(double.address.to_string());
    state["clock"] = json!({ "times": times });
    state["requests"] = json!(requests);
    state
}

/// The first to end first.
fn leases(etcd: &mut Etcd, now: std::time::Duration) -> Vec<Value> {
    let ids = etcd.lease_leases(now).leases;
    let describe = |id| {
        let lease = etcd.lease_time_to_live(now, LeaseTimeToLiveRequest { id, keys: true });
        let keys: Vec<_> = lease.keys.iter().map(|key| String::from_utf8_lossy(key)).collect();
        json!({
            "id": format!("{id:016x}"),
            "granted_seconds": lease.granted_ttl,
            "left_seconds": lease.ttl,
            "keys": keys,
        })
    };
    ids.into_iter().map(|lease| lease.id).map(describe).collect()
}
