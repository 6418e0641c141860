//! The loss of the leader, and the election of the next. Where there is one member, the next leader is the same; clients
//! notice all the same: a new term, a time without a leader, and leases that have their full TTL again. A member of several is
//! told who leads. It knows no raft.

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

/// What a member is to the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Seat {
    leader: u64,
    leads: bool,
    /// Who has asked for the change that is being made.
    proposer: u64,
    /// Leases whose time is over, for the log.
    expired: Vec<i64>,
}

impl Etcd {
    /// Where a member of several stands when the world begins.
    pub(super) fn stand(&mut self, leader: u64, term: u64, leads: bool) {
        (self.raft_term, self.raft_index) = (term, 1);
        self.seat = Some(Seat { leader, leads, ..Seat::default() });
    }

    /// Another member leads, or none, or this one. Whoever begins to lead gives every lease its full TTL again.
    pub(super) fn follow(&mut self, now: Duration, leader: u64, term: u64, leads: bool) {
        self.advance(now);
        let now = self.now;
        self.pulse += 1;
        self.lapses += 1;
        let is_elected = leads && !self.is_primary();
        self.raft_term = term;
        let ended = self.leaderless;
        self.leaderless = (leader == 0).then(|| {
            ended.unwrap_or(Leaderless {
                until: Duration::MAX,
                streams_end_at: now.saturating_add(STREAMS_END_AFTER),
                streams_ended: false,
            })
        });
        let Some(seat) = &mut self.seat else { return };
        (seat.leader, seat.leads) = (leader, leads);
        seat.expired.clear();
        if is_elected {
            self.give_leases_anew();
        }
    }

    /// Does one entry of the log, which `proposer` has asked for.
    pub(super) fn enter(&mut self, index: u64, proposer: u64, act: impl FnOnce(&mut Self)) {
        self.raft_index = index - 1;
        self.set_proposer(proposer);
        act(self);
        self.set_proposer(0);
        self.raft_index = index;
        self.pulse += 1;
    }

    fn set_proposer(&mut self, proposer: u64) {
        if let Some(seat) = &mut self.seat {
            seat.proposer = proposer;
        }
    }

    /// Whose change it is.
    pub(super) fn proposer(&self) -> u64 {
        self.seat.as_ref().map_or(self.config.member_id, |seat| seat.proposer)
    }

    /// Whether it decides when leases end.
    pub(super) fn is_primary(&self) -> bool {
        self.seat.as_ref().is_none_or(|seat| seat.leads)
    }

    /// Whether there are other members.
    pub(super) fn is_one_of_several(&self) -> bool {
        self.seat.is_some()
    }

    /// Keeps leases whose time is over for [`take_expired`](Self::take_expired). Says whether somebody else ends them.
    pub(super) fn hand_in_expired(&mut self, leases: &[i64]) -> bool {
        self.seat.as_mut().map(|seat| seat.expired.extend(leases)).is_some()
    }

    /// Takes the leases whose end should go through the log.
    pub(super) fn take_expired(&mut self) -> Vec<i64> {
        self.seat.as_mut().map(|seat| std::mem::take(&mut seat.expired)).unwrap_or_default()
    }

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
        match &self.seat {
            _ if self.leaderless.is_some() => 0,
            Some(seat) => seat.leader,
            None => self.config.member_id,
        }
    }

    /// The term: how often a leader was elected, restarts included.
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
        self.give_leases_anew();
    }

    fn give_leases_anew(&mut self) {
        let lease_extension = self.config.lease_restart_extension;
        self.leases.renew_all(self.now, lease_extension);
        self.record(EtcdEvent::LeaderElected { lease_extension });
    }
}
