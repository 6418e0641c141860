//! Leases: their terms, and the keys that are bound to them. It does not delete keys and does not know who asks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::config::EtcdConfig;
use super::refusal::Refusal;

/// etcd's upper limit of a TTL.
const TTL_MAX_S: i64 = 9_000_000_000;

#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) ttl_s: i64,
    pub(super) expires_at: Duration,
    pub(super) keys: BTreeSet<Bytes>,
}

#[derive(Clone, Debug)]
pub(super) struct Leases {
    leases: BTreeMap<i64, Lease>,
    owners: BTreeMap<Bytes, i64>,
    /// The same leases, the first to expire first.
    expiries: BTreeSet<(Duration, i64)>,
    ttl_min_s: i64,
    id_state: u64,
}

impl Leases {
    pub(super) fn new(config: &EtcdConfig) -> Self {
        Self {
            leases: BTreeMap::new(),
            owners: BTreeMap::new(),
            expiries: BTreeSet::new(),
            ttl_min_s: config.lease_ttl_min_s,
            id_state: config.lease_id_seed,
        }
    }

    /// Begins a lease; id 0 lets the server choose one. Returns the id and the TTL that was granted.
    pub(super) fn grant(&mut self, now: Duration, id: i64, ttl_s: i64) -> Result<(i64, i64), Refusal> {
        let id = if id == 0 { self.choose_id() } else { id };
        if ttl_s > TTL_MAX_S {
            return Err(Refusal::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&id) {
            return Err(Refusal::LeaseExists);
        }
        let ttl_s = ttl_s.max(self.ttl_min_s);
        let expires_at = now + seconds(ttl_s);
        self.leases.insert(id, Lease { ttl_s, expires_at, keys: BTreeSet::new() });
        self.expiries.insert((expires_at, id));
        Ok((id, ttl_s))
    }

    /// Random positive ids, by SplitMix64 (Steele, Lea, Flood 2014): unlike a counter, they do not collide with the small
    /// ids that clients choose.
    fn choose_id(&mut self) -> i64 {
        loop {
            self.id_state = self.id_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.id_state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let id = ((mixed ^ (mixed >> 31)) >> 1).cast_signed();
            if id != 0 && !self.leases.contains_key(&id) {
                return id;
            }
        }
    }

    pub(super) fn get(&self, id: i64) -> Option<&Lease> {
        self.leases.get(&id)
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    /// The lease that a key is bound to.
    pub(super) fn owner(&self, key: &[u8]) -> Option<i64> {
        self.owners.get(key).copied()
    }

    /// Starts the full TTL anew, and returns it.
    pub(super) fn renew(&mut self, now: Duration, id: i64) -> Option<i64> {
        let lease = self.leases.get_mut(&id)?;
        self.expiries.remove(&(lease.expires_at, id));
        lease.expires_at = now + seconds(lease.ttl_s);
        self.expiries.insert((lease.expires_at, id));
        Some(lease.ttl_s)
    }

    /// Starts the full TTL of every lease anew, plus `extension`.
    pub(super) fn renew_all(&mut self, now: Duration, extension: Duration) {
        self.expiries.clear();
        for (id, lease) in &mut self.leases {
            lease.expires_at = now + seconds(lease.ttl_s) + extension;
            self.expiries.insert((lease.expires_at, *id));
        }
    }

    /// Ends a lease; its keys are bound to nothing then. Returns them in order.
    pub(super) fn remove(&mut self, id: i64) -> Option<Vec<Bytes>> {
        let lease = self.leases.remove(&id)?;
        self.expiries.remove(&(lease.expires_at, id));
        for key in &lease.keys {
            self.owners.remove(key);
        }
        Some(lease.keys.into_iter().collect())
    }

    /// Binds a key to a lease, or with 0 to none, whatever it was bound to before.
    pub(super) fn bind(&mut self, key: &Bytes, id: i64) {
        if let Some(before) = self.owners.remove(key)
            && let Some(lease) = self.leases.get_mut(&before)
        {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.insert(key.clone());
            self.owners.insert(key.clone(), id);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    /// When the first lease expires.
    pub(super) fn earliest_expiry(&self) -> Option<Duration> {
        self.expiries.first().map(|(expires_at, _)| *expires_at)
    }

    /// All ids with their expiry, the first to expire first.
    pub(super) fn by_expiry(&self) -> impl Iterator<Item = (Duration, i64)> {
        self.expiries.iter().copied()
    }
}

fn seconds(ttl_s: i64) -> Duration {
    Duration::from_secs(ttl_s.max(0).unsigned_abs())
}
