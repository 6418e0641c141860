//! The requests about leases, and how leases end. `lease` holds the terms; this decides and deletes.

use std::time::Duration;

use bytes::Bytes;
use shaketable_proto::etcd::v3::rpc::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesResponse,
    LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};

use super::Etcd;
use super::event::{DeletionCause, EtcdEvent};
use super::key_range::KeyRange;
use super::refusal::Refusal;
use super::{alarm::Needs, space::cost_of_lease};

/// The answer to one keep-alive.
#[derive(Clone, Debug, PartialEq)]
pub enum KeepAlive {
    /// Answer this at once.
    Now(LeaseKeepAliveResponse),
    /// The lease's time is over, but it was not looked for yet. Like etcd, answer this (that it is gone) once
    /// [`Etcd::is_expiring`] is false.
    WhenGone(LeaseKeepAliveResponse),
}

impl Etcd {
    /// Begins a lease.
    ///
    /// # Errors
    /// [`Refusal::LeaseExists`], [`Refusal::LeaseTtlTooLarge`], [`Refusal::NoSpace`], and what any change is refused for.
    pub fn lease_grant(&mut self, now: Duration, request: LeaseGrantRequest) -> Result<LeaseGrantResponse, Refusal> {
        self.advance(now);
        self.check_room(cost_of_lease())?;
        self.propose(&request)?;
        self.check_alarms(Needs::Room)?;
        let (id, ttl) = self.leases.grant(self.now, request.id, request.ttl)?;
        self.grow();
        self.record(EtcdEvent::LeaseGranted { lease: id, ttl_requested_s: request.ttl, ttl_granted_s: ttl });
        Ok(LeaseGrantResponse { header: Some(self.header()), id, ttl, error: String::new() })
    }

    /// Ends a lease and deletes its keys in one revision.
    ///
    /// # Errors
    /// [`Refusal::LeaseNotFound`], and what any change is refused for.
    pub fn lease_revoke(&mut self, now: Duration, request: LeaseRevokeRequest) -> Result<LeaseRevokeResponse, Refusal> {
        self.advance(now);
        self.propose(&request)?;
        self.check_alarms(Needs::Nothing)?;
        if self.end_lease(request.id, DeletionCause::LeaseRevoked(request.id)) {
            Ok(LeaseRevokeResponse { header: Some(self.header()) })
        } else {
            Err(Refusal::LeaseNotFound)
        }
    }

    /// Renews a lease. One that there is not is answered with TTL 0, not with an error.
    pub fn keep_alive(&mut self, now: Duration, request: LeaseKeepAliveRequest) -> KeepAlive {
        self.advance(now);
        let lease = request.id;
        let mut response = LeaseKeepAliveResponse { header: Some(self.header()), id: lease, ttl: 0 };
        if self.is_expiring(lease) {
            return KeepAlive::WhenGone(response);
        }
        if let Some(ttl) = self.leases.renew(self.now, lease) {
            response.ttl = ttl;
            self.record(EtcdEvent::LeaseKeptAlive { lease, ttl_granted_s: ttl });
        }
        KeepAlive::Now(response)
    }

    /// Whether a lease's time is over while it is still there: it can no longer be saved.
    pub fn is_expiring(&self, lease: i64) -> bool {
        self.leases.get(lease).is_some_and(|lease| lease.expires_at <= self.now)
    }

    /// Tells a lease's terms; TTL -1 says that there is no such lease.
    pub fn lease_time_to_live(&mut self, now: Duration, request: LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse {
        self.advance(now);
        let header = Some(self.header());
        let Some(lease) = self.leases.get(request.id) else {
            return LeaseTimeToLiveResponse { header, id: request.id, ttl: -1, ..LeaseTimeToLiveResponse::default() };
        };
        let left = lease.expires_at.saturating_sub(self.now).as_secs();
        LeaseTimeToLiveResponse {
            header,
            id: request.id,
            ttl: i64::try_from(left).unwrap_or(i64::MAX),
            granted_ttl: lease.ttl_s,
            keys: if request.keys { lease.keys.iter().cloned().collect() } else { Vec::new() },
        }
    }

    /// All leases, the first to expire first.
    pub fn lease_leases(&mut self, now: Duration) -> LeaseLeasesResponse {
        self.advance(now);
        let leases = self.leases.by_expiry().map(|(_, id)| LeaseStatus { id }).collect();
        LeaseLeasesResponse { header: Some(self.header()), leases }
    }

    /// Ends a lease as if its time were over. Says whether there was one.
    pub fn expire_lease(&mut self, now: Duration, lease: i64) -> bool {
        self.advance(now);
        self.end_lease(lease, DeletionCause::LeaseExpired(lease))
    }

    /// The fault of losing a lease: it ends at once, as if the server had forgotten it. Says whether there was one.
    pub fn lose_lease(&mut self, now: Duration, lease: i64) -> bool {
        self.advance(now);
        self.end_lease(lease, DeletionCause::LeaseLost(lease))
    }

    /// The fault of losing the lease that a key is bound to. Returns its id.
    pub fn lose_lease_of(&mut self, now: Duration, key: &[u8]) -> Option<i64> {
        self.advance(now);
        let lease = self.leases.owner(key)?;
        self.end_lease(lease, DeletionCause::LeaseLost(lease)).then_some(lease)
    }

    /// The lease that a key is bound to, without any request being made.
    pub fn lease_of(&self, key: &[u8]) -> Option<i64> {
        self.leases.owner(key)
    }

    /// Whether there is such a lease, without any request being made.
    pub(super) fn has_lease(&self, lease: i64) -> bool {
        self.leases.contains(lease)
    }

    /// How many leases there are, without any request being made.
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// When expired leases are looked for next with something to find.
    pub(super) fn lease_check_due(&self) -> Option<Duration> {
        if self.leader() == 0 || !self.is_primary() {
            // Nobody but a leader ends leases.
            return None;
        }
        let expiry = self.leases.earliest_expiry()?;
        let interval = self.config.lease_check_interval;
        let earliest = expiry.saturating_sub(Duration::from_nanos(1)).max(self.leases_checked_at);
        Some(self.tick_after(earliest, interval))
    }

    /// Ends the leases whose time is over, one revision each, as many as etcd does in one go.
    pub(super) fn check_leases(&mut self) {
        self.leases_checked_at = self.now;
        if self.check_alarms(Needs::Nothing).is_err() {
            // The end of a lease is a change, too.
            return;
        }
        let expired: Vec<i64> = self
            .leases
            .by_expiry()
            .take_while(|(expires_at, _)| *expires_at <= self.now)
            .take(self.config.lease_revocations_per_check)
            .map(|(_, id)| id)
            .collect();
        if self.hand_in_expired(&expired) {
            return;
        }
        for lease in expired {
            self.raft_index += 1;
            self.end_lease(lease, DeletionCause::LeaseExpired(lease));
        }
    }

    fn end_lease(&mut self, lease: i64, cause: DeletionCause) -> bool {
        let Some(keys) = self.leases.remove(lease) else { return false };
        self.pulse += 1;
        self.lapses += 1;
        for key in &keys {
            self.store.delete(&KeyRange::single(key));
        }
        self.record(ended(lease, keys, cause));
        self.commit(cause);
        true
    }
}

fn ended(lease: i64, keys: Vec<Bytes>, cause: DeletionCause) -> EtcdEvent {
    match cause {
        DeletionCause::LeaseRevoked(_) => EtcdEvent::LeaseRevoked { lease, keys },
        DeletionCause::LeaseLost(_) => EtcdEvent::LeaseLost { lease, keys },
        DeletionCause::LeaseExpired(_) | DeletionCause::Request | DeletionCause::Fault => {
            EtcdEvent::LeaseExpired { lease, keys }
        }
    }
}
