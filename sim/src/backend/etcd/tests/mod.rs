//! What the simulated etcd must do, one surprise a test, and random operations against a small model. No network, no real
//! time: every test passes the time in.

mod administration;
mod keys;
mod leases;
mod model;
mod serving;
mod txns;
mod watches;

use std::time::Duration;

use bytes::Bytes;
use shaketable_proto::etcd::v3::rpc::{DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest};

use super::{Etcd, EtcdConfig};

fn etcd() -> Etcd {
    Etcd::new(EtcdConfig::default(), Duration::ZERO)
}

const fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn put(key: &str, value: &str, lease: i64) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), lease, ..PutRequest::default() }
}

fn get(key: &str, range_end: &str) -> RangeRequest {
    RangeRequest { key: bytes(key), range_end: bytes(range_end), ..RangeRequest::default() }
}

fn delete(key: &str, range_end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: bytes(key), range_end: bytes(range_end), prev_kv: false }
}

fn grant(id: i64, ttl: i64) -> LeaseGrantRequest {
    LeaseGrantRequest { id, ttl }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
