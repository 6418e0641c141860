//! What one member of a simulated cluster knows of the log and of who leads, and how it takes what it is told. What follows for
//! the others is in `consensus`.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::Rng;
use shaketable_stack::env::Random;

use super::consensus::{ELECTION, ENTRIES_MAX, HEARTBEAT, Message};

/// What a member knows, and keeps when it stops, but for what a start forgets.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) term: u64,
    pub(super) voted_for: Option<usize>,
    pub(super) role: Role,
    pub(super) leader: Option<usize>,
    /// The term of each entry; the first is number 1.
    pub(super) log: Vec<u64>,
    pub(super) committed: u64,
    pub(super) election_at: Duration,
    pub(super) heard_leader_at: Duration,
    /// Changes that wait for a leader, and until when.
    pub(super) waiting: Vec<(Duration, u64)>,
    /// Reads of this member that nobody has answered.
    pub(super) reads: BTreeSet<u64>,
    /// Reads that are answered.
    pub(super) read_at: Vec<(u64, u64)>,
    pub(super) outbox: Vec<(usize, Message)>,
    pub(super) random: Random,
}

#[derive(Debug)]
pub(super) enum Role {
    Follower,
    Candidate { votes: BTreeSet<usize> },
    Leader(Leading),
}

#[derive(Debug)]
pub(super) struct Leading {
    /// The next entry for each member, and up to where its log is ours.
    pub(super) next: Vec<u64>,
    pub(super) matched: Vec<u64>,
    /// Who has answered since the last check.
    pub(super) active: BTreeSet<usize>,
    pub(super) heartbeat_at: Duration,
    pub(super) check_at: Duration,
    pub(super) round: u64,
    /// The last round that each member has answered.
    pub(super) answered: Vec<u64>,
    /// Reads with the round that must be answered: by whom, which, and at what index.
    pub(super) reads: Vec<(u64, usize, u64, u64)>,
    /// Reads that come before anything of this term is agreed on.
    pub(super) early_reads: Vec<(usize, u64)>,
}

impl Leading {
    pub(super) fn new(members: usize, length: u64, now: Duration) -> Self {
        Self {
            next: vec![length + 1; members],
            matched: vec![0; members],
            active: BTreeSet::new(),
            heartbeat_at: now + HEARTBEAT,
            check_at: now + ELECTION,
            round: 0,
            answered: vec![0; members],
            reads: Vec::new(),
            early_reads: Vec::new(),
        }
    }
}

impl Seat {
    pub(super) fn length(&self) -> u64 {
        u64::try_from(self.log.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn last_term(&self) -> u64 {
        self.log.last().copied().unwrap_or_default()
    }

    /// The term of entry `index`; 0 where there is none.
    pub(super) fn term_at(&self, index: u64) -> u64 {
        let place = index.checked_sub(1).and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| self.log.get(place)).copied().unwrap_or_default()
    }

    pub(super) fn wait_for_election(&mut self, now: Duration) {
        self.election_at = election_after(now, &mut self.random);
    }

    pub(super) fn follow(&mut self, now: Duration, term: u64, leader: Option<usize>) {
        if term > self.term {
            self.term = term;
            self.voted_for = None;
        }
        self.role = Role::Follower;
        self.leader = leader;
        self.wait_for_election(now);
    }

    /// Takes what a leader says. Up to where the logs are the same then; none where they are not.
    pub(super) fn accept(
        &mut self,
        now: Duration,
        from: usize,
        term: u64,
        (before, before_term): (u64, u64),
        terms: &[u64],
        committed: u64,
    ) -> Option<u64> {
        if term < self.term {
            // The answer has our term, and whoever thought to lead learns that it does not.
            return None;
        }
        self.follow(now, term, Some(from));
        self.heard_leader_at = now;
        if self.term_at(before) != before_term {
            return None;
        }
        let mut index = before;
        for term in terms {
            index += 1;
            if self.term_at(index) != *term {
                self.log.truncate(usize::try_from(index - 1).unwrap_or(usize::MAX));
                self.log.push(*term);
            }
        }
        self.committed = self.committed.max(committed.min(index));
        Some(index)
    }

    /// Whether `from` may lead; none where it is not even heard, because there is a leader.
    pub(super) fn vote(
        &mut self,
        now: Duration,
        from: usize,
        term: u64,
        log: (u64, u64),
        ordered: bool,
    ) -> Option<bool> {
        let is_led = match &self.role {
            Role::Leader(_) => true,
            _ => self.leader.is_some() && now < self.heard_leader_at + ELECTION,
        };
        if is_led && !ordered {
            return None;
        }
        if term > self.term {
            // Who only votes waits as long as before.
            let election_at = self.election_at;
            self.follow(now, term, None);
            self.election_at = election_at;
        }
        let is_free = self.voted_for.is_none_or(|voted| voted == from);
        let granted = term == self.term && is_free && log >= (self.last_term(), self.length());
        if granted {
            self.voted_for = Some(from);
            self.wait_for_election(now);
        }
        Some(granted)
    }

    pub(super) fn answer_read(&mut self, read: u64, index: u64) {
        if self.reads.remove(&read) {
            self.read_at.push((read, index));
        }
    }

    /// Tells `other` what it lacks, as far as the leader knows.
    pub(super) fn tell(&mut self, other: usize) {
        let Role::Leader(leading) = &mut self.role else { return };
        let before = leading.next[other] - 1;
        let from = usize::try_from(before).unwrap_or(usize::MAX);
        let terms: Vec<u64> = self.log.iter().skip(from).take(ENTRIES_MAX).copied().collect();
        // What is under way is not sent twice; if it is lost, the next message does not fit and is answered so.
        leading.next[other] += u64::try_from(terms.len()).unwrap_or_default();
        let (term, committed, round) = (self.term, self.committed, leading.round);
        let before_term = self.term_at(before);
        self.outbox.push((other, Message::Append { term, before, before_term, terms, committed, round }));
    }
}

/// etcd draws whole ticks of a heartbeat's length.
pub(super) fn election_after(now: Duration, random: &mut Random) -> Duration {
    now + ELECTION + HEARTBEAT * random.random_range(0..10)
}
