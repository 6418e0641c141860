//! The knobs of the simulated etcd, with etcd's own defaults. Knows no behaviour.

use std::time::Duration;

use super::cluster::OtherMember;
use super::line::Line;

/// How the simulated etcd behaves where etcd can be configured, or where versions and machines differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdConfig {
    /// The version that `Status` tells.
    pub version: String,
    /// The line whose behaviour it has.
    pub line: Line,
    /// The cluster's id in every header.
    pub cluster_id: u64,
    /// The member's id.
    pub member_id: u64,
    /// The member's name.
    pub member_name: String,
    /// What `MemberList` names as the member's addresses for clients.
    pub client_urls: Vec<String>,
    /// What `MemberList` names as the member's addresses for other members.
    pub peer_urls: Vec<String>,
    /// The other members of its cluster; an [`EtcdCluster`](super::EtcdCluster) fills them in.
    pub others: Vec<OtherMember>,
    /// How large the database's file may grow, in bytes; there is no limit where it is `None`.
    pub quota_bytes: Option<u64>,
    /// The raft term of the first start; each restart adds one.
    pub raft_term: u64,
    /// The revision that it begins at, empty; etcd begins at 1. What lies before a later one is compacted.
    pub first_revision: i64,
    /// Decides the lease ids that the server chooses.
    pub lease_id_seed: u64,
    /// Smaller lease TTLs are raised to this many seconds. etcd takes one and a half election time-outs (1 s by default)
    /// and rounds up.
    pub lease_ttl_min_s: i64,
    /// How often expired leases are looked for, counted from the start of the server.
    pub lease_check_interval: Duration,
    /// How many leases one such check revokes at most.
    pub lease_revocations_per_check: usize,
    /// What a restart adds to the full TTL that it grants every lease anew: etcd adds one election time-out.
    pub lease_restart_extension: Duration,
    /// The most operations in one list of a transaction, its nested ones included.
    pub txn_operations_max: usize,
    /// The largest change request, in bytes.
    pub request_bytes_max: usize,
    /// A watch response of this many bytes or more is split, for watches that allow it.
    pub watch_fragment_bytes: usize,
    /// How often watches that lag behind the store are served from its history.
    pub watch_sync_interval: Duration,
    /// How many distinct revisions a lagging watch gets in one response.
    pub watch_sync_revisions_max: usize,
    /// How many responses wait in one stream before its watches start to lag.
    pub watch_buffer_responses: usize,
    /// How often a stream tells progress for the watches that ask for it. (etcd adds a random tenth; this one does not.)
    pub watch_progress_interval: Duration,
}

impl Default for EtcdConfig {
    fn default() -> Self {
        Self {
            version: "3.4.23".into(),
            line: Line::V3_4,
            cluster_id: 0xcdf8_1818_e322_72d2,
            member_id: 0x8e9e_05c5_2164_694d,
            member_name: "default".into(),
            client_urls: vec!["http://localhost:2379".into()],
            peer_urls: vec!["http://localhost:2380".into()],
            others: Vec::new(),
            quota_bytes: Some(2 << 30),
            raft_term: 2,
            first_revision: 1,
            lease_id_seed: 0,
            lease_ttl_min_s: 2,
            lease_check_interval: Duration::from_millis(500),
            lease_revocations_per_check: 500,
            lease_restart_extension: Duration::from_secs(1),
            txn_operations_max: 128,
            request_bytes_max: 3 * 512 * 1024,
            watch_fragment_bytes: 4 * 512 * 1024,
            watch_sync_interval: Duration::from_millis(100),
            watch_sync_revisions_max: 1000,
            watch_buffer_responses: 128,
            watch_progress_interval: Duration::from_secs(600),
        }
    }
}
