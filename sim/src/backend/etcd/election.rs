//! The loss of the leader, and the election of the next. There is one member, so the next leader is the same; clients notice
//! all the same: a new term, a time without a leader, and leases that have their full TTL again. It knows no raft.

use std::time::Duration;

use super::event::EtcdEvent;
use super::{Etcd, Refusal};

/// How long a member that knows no leader leaves streams alone whose clients insist on one: three election time-outs
/// (`interceptor.go`).
const STREAMS_END_AFTER: Duration = Duration::from_secs(3);

/// A time without a leader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaderless {
    until: Duration,
    streams_end_at: Duration,
    streams_ended: bool,
}

impl Etcd {
    /// The fault of losing the leader: there is none for `duration`, then one is elected. Meanwhile no lease expires.
    pub fn lose_leader(&mut self, now: Duration, duration: Duration) {
        self.advance(now);
        let now = self.now;
        self.pulse += 1;
        self.leaderless = Some(Leaderless {
            until: now.saturating_add(duration),
            streams_end_at: now.saturating_add(STREAMS_END_AFTER),
            streams_ended: false,
        });
        if duration.is_zero() {
            self.elect();
        }
    }

    /// The member that leads; 0 is none.
    pub fn leader(&self) -> u64 {
        if self.leaderless.is_some() { 0 } else { self.config.member_id }
    }

    /// How often a leader was elected, restarts included.
    pub fn raft_term(&self) -> u64 {
        self.raft_term
    }

    /// Whether streams are at an end whose clients insist on a leader.
    ///
    /// # Errors
    /// [`Refusal::NoLeader`] if so.
    pub(super) fn check_leader_of_stream(&self) -> Result<(), Refusal> {
        if self.leaderless.is_some_and(|leaderless| leaderless.streams_ended) { Err(Refusal::NoLeader) } else { Ok(()) }
    }

    /// When something comes due for want of a leader.
    pub(super) fn election_due(&self) -> Option<Duration> {
        self.leaderless.map(|leaderless| {
            if leaderless.streams_ended { leaderless.until } else { leaderless.until.min(leaderless.streams_end_at) }
        })
    }

    pub(super) fn check_election(&mut self) {
        let Some(leaderless) = &mut self.leaderless else { return };
        if leaderless.until <= self.now {
            self.elect();
        } else if leaderless.streams_end_at <= self.now && !leaderless.streams_ended {
            leaderless.streams_ended = true;
            self.lapses += 1;
            self.watches.wake_all();
        }
    }

    fn elect(&mut self) {
        self.leaderless = None;
        self.raft_term += 1;
        self.raft_index += 1;
        self.pulse += 1;
        let lease_extension = self.config.lease_restart_extension;
        self.leases.renew_all(self.now, lease_extension);
        self.record(EtcdEvent::LeaderElected { lease_extension });
    }
}
