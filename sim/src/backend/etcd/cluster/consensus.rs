//! How members agree on one log: what of raft (Ongaro and Ousterhout 2014) can be seen from outside, with etcd's ticks, its
//! check that a leader reaches a majority, and its reads by index. Entries lie in one place that all members share, and what
//! travels are their numbers; there are no snapshots, and no member comes or goes. It knows neither a network nor what an
//! entry does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};
use shaketable_stack::env::Random;

use super::seat::{Leading, Role, Seat, election_after};

/// etcd's `--heartbeat-interval`.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(100);

/// etcd's `--election-timeout`. A member that hears nothing for this and up to as much again wants to lead.
pub(super) const ELECTION: Duration = Duration::from_secs(1);

/// The most entries in one message.
pub(super) const ENTRIES_MAX: usize = 512;

/// What one member tells another. Changes, reads and questions are named by numbers that are given once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message {
    /// From the leader: the terms of the entries that follow `before`, and how far the log is agreed on. Without entries it is
    /// a heartbeat.
    Append { term: u64, before: u64, before_term: u64, terms: Vec<u64>, committed: u64, round: u64 },
    /// Up to where the log is the leader's; none where it is not, and then how long it is at most.
    Appended { term: u64, matched: Option<u64>, length: u64, round: u64 },
    /// Somebody wants to lead; `ordered` when the leader has said so.
    Vote { term: u64, length: u64, last_term: u64, ordered: bool },
    /// The answer.
    Voted { term: u64, granted: bool },
    /// A change for the log.
    Propose { change: u64 },
    /// How far is the log agreed on?
    Read { read: u64 },
    /// So far.
    ReadAt { read: u64, index: u64 },
    /// A question that the leader alone can answer.
    Ask { question: u64 },
    /// It is answered.
    Answered { question: u64 },
    /// Lead, without waiting for a time-out.
    Lead { term: u64 },
}

/// A change with its place in somebody's log.
pub(super) type Place = (u64, u64);

/// What a member is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) term: u64,
    pub(super) leader: Option<usize>,
    pub(super) leads: bool,
}

/// The members and what they agree on.
#[derive(Debug)]
pub(super) struct Consensus {
    seats: Vec<Seat>,
    /// Which change stands at which place: a term has one leader, so a place names one change. 0 changes nothing.
    changes: BTreeMap<Place, u64>,
}

impl Consensus {
    /// `members` that have stood for a while: one that `seed` chooses leads since `term`.
    pub(super) fn new(members: usize, seed: u64, term: u64) -> Self {
        let mut random = Random::from_number(seed);
        let leader = random.random_range(0..members);
        let seats = (0..members).map(|member| {
            let mut random = Random::from_number(random.random());
            let leading = Leading::new(members, 1, Duration::ZERO);
            Seat {
                term,
                voted_for: Some(leader),
                role: if member == leader { Role::Leader(leading) } else { Role::Follower },
                leader: Some(leader),
                log: vec![term],
                committed: 1,
                election_at: election_after(Duration::ZERO, &mut random),
                heard_leader_at: Duration::ZERO,
                waiting: Vec::new(),
                reads: BTreeSet::new(),
                read_at: Vec::new(),
                outbox: Vec::new(),
                random,
            }
        });
        Self { seats: seats.collect(), changes: BTreeMap::from([((term, 1), 0)]) }
    }

    /// What `member` knows of who leads.
    pub(super) fn standing(&self, member: usize) -> Standing {
        let seat = &self.seats[member];
        Standing { term: seat.term, leader: seat.leader, leads: matches!(seat.role, Role::Leader(_)) }
    }

    /// Up to where `member` knows that the log is agreed on.
    pub(super) fn committed(&self, member: usize) -> u64 {
        self.seats[member].committed
    }

    /// The change that stands at `index` in the log of `member`.
    pub(super) fn change(&self, member: usize, index: u64) -> u64 {
        let term = self.seats[member].term_at(index);
        self.changes.get(&(term, index)).copied().unwrap_or_default()
    }

    /// When `member` has something to do next.
    pub(super) fn next_due(&self, member: usize) -> Duration {
        let seat = &self.seats[member];
        match &seat.role {
            Role::Leader(leading) => leading.heartbeat_at.min(leading.check_at),
            Role::Follower | Role::Candidate { .. } => seat.election_at,
        }
    }

    /// What `member` has to say since the last call: to whom, and what.
    pub(super) fn take_outbox(&mut self, member: usize) -> Vec<(usize, Message)> {
        std::mem::take(&mut self.seats[member].outbox)
    }

    /// Reads of `member` that are answered, each with the index that must be applied first.
    pub(super) fn take_reads(&mut self, member: usize) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.seats[member].read_at)
    }

    /// `member` starts again: term, vote and log are kept.
    pub(super) fn start(&mut self, member: usize, now: Duration) {
        let seat = &mut self.seats[member];
        seat.role = Role::Follower;
        seat.leader = None;
        seat.waiting.clear();
        seat.reads.clear();
        seat.read_at.clear();
        seat.outbox.clear();
        seat.wait_for_election(now);
    }

    /// Does what has come due for `member`.
    pub(super) fn tick(&mut self, member: usize, now: Duration) {
        let majority = self.majority();
        let seat = &mut self.seats[member];
        let Role::Leader(leading) = &mut seat.role else {
            if seat.election_at <= now {
                self.campaign(member, now, false);
            }
            return;
        };
        if leading.check_at <= now {
            leading.check_at = now + ELECTION;
            let active = std::mem::take(&mut leading.active);
            if active.len() + 1 < majority {
                let term = seat.term;
                return seat.follow(now, term, None);
            }
        }
        if leading.heartbeat_at <= now {
            leading.heartbeat_at = now + HEARTBEAT;
            self.tell_all(member);
        }
    }

    /// `member` wants `change` in the log: at once, or when there is a leader before `until`.
    pub(super) fn propose(&mut self, member: usize, until: Duration, change: u64) {
        let seat = &mut self.seats[member];
        match seat.leader {
            Some(leader) if leader == member => self.append(member, change),
            Some(leader) => seat.outbox.push((leader, Message::Propose { change })),
            None => seat.waiting.push((until, change)),
        }
    }

    /// Whether a change of `member` still waits for a leader, so that it never came into any log. It waits no longer.
    pub(super) fn withdraw(&mut self, member: usize, change: u64) -> bool {
        let waiting = &mut self.seats[member].waiting;
        let before = waiting.len();
        waiting.retain(|(_, waits)| *waits != change);
        waiting.len() < before
    }

    /// `member` wants to know how far the log is agreed on. Where there is no leader nobody answers.
    pub(super) fn read(&mut self, member: usize, read: u64) {
        let seat = &mut self.seats[member];
        seat.reads.insert(read);
        match seat.leader {
            Some(leader) if leader == member => self.read_at_leader(member, member, read),
            Some(leader) => seat.outbox.push((leader, Message::Read { read })),
            None => {}
        }
    }

    /// `member`, which leads, lets `to` lead. Says whether it leads.
    pub(super) fn hand_over(&mut self, member: usize, to: usize) -> bool {
        let seat = &mut self.seats[member];
        let leads = matches!(seat.role, Role::Leader(_));
        if leads {
            seat.outbox.push((to, Message::Lead { term: seat.term }));
        }
        leads
    }

    /// `member` hears `message` of `from`. Questions are for those who can answer them.
    pub(super) fn receive(&mut self, member: usize, now: Duration, from: usize, message: &Message) {
        match *message {
            Message::Append { term, before, before_term, ref terms, committed, round } => {
                let seat = &mut self.seats[member];
                let matched = seat.accept(now, from, term, (before, before_term), terms, committed);
                let (term, length) = (seat.term, seat.length().min(before.saturating_sub(1)));
                seat.outbox.push((from, Message::Appended { term, matched, length, round }));
                self.propose_waiting(member, now);
            }
            Message::Appended { term, matched, length, round } => {
                self.appended(member, now, from, term, matched, length, round);
            }
            Message::Vote { term, length, last_term, ordered } => {
                let seat = &mut self.seats[member];
                if let Some(granted) = seat.vote(now, from, term, (last_term, length), ordered) {
                    seat.outbox.push((from, Message::Voted { term: seat.term, granted }));
                }
            }
            Message::Voted { term, granted } => self.voted(member, now, from, term, granted),
            Message::Propose { change } if self.leads(member) => self.append(member, change),
            Message::Read { read } if self.leads(member) => self.read_at_leader(member, from, read),
            Message::ReadAt { read, index } => self.seats[member].answer_read(read, index),
            Message::Lead { term } if term == self.seats[member].term => self.campaign(member, now, true),
            // What comes too late for a leader is lost, as in etcd.
            Message::Propose { .. }
            | Message::Read { .. }
            | Message::Lead { .. }
            | Message::Ask { .. }
            | Message::Answered { .. } => {}
        }
    }

    fn leads(&self, member: usize) -> bool {
        matches!(self.seats[member].role, Role::Leader(_))
    }

    fn majority(&self) -> usize {
        self.seats.len() / 2 + 1
    }

    fn campaign(&mut self, member: usize, now: Duration, ordered: bool) {
        let members = self.seats.len();
        let seat = &mut self.seats[member];
        if matches!(seat.role, Role::Leader(_)) {
            return;
        }
        seat.term += 1;
        seat.voted_for = Some(member);
        seat.leader = None;
        seat.role = Role::Candidate { votes: BTreeSet::from([member]) };
        seat.wait_for_election(now);
        let vote = Message::Vote { term: seat.term, length: seat.length(), last_term: seat.last_term(), ordered };
        let others = (0..members).filter(|other| *other != member);
        seat.outbox.extend(others.map(|other| (other, vote.clone())));
    }

    fn voted(&mut self, member: usize, now: Duration, from: usize, term: u64, granted: bool) {
        let majority = self.majority();
        let members = self.seats.len();
        let seat = &mut self.seats[member];
        if term > seat.term {
            return seat.follow(now, term, None);
        }
        let Role::Candidate { votes } = &mut seat.role else { return };
        if term < seat.term || !granted {
            return;
        }
        votes.insert(from);
        if votes.len() < majority {
            return;
        }
        seat.leader = Some(member);
        // Who is asked while nobody leads learns that somebody does, and asks again.
        seat.role = Role::Leader(Leading::new(members, seat.length(), now));
        self.append(member, 0);
        self.propose_waiting(member, now);
    }

    /// What waited for a leader goes to it; what has waited for too long was given up.
    fn propose_waiting(&mut self, member: usize, now: Duration) {
        if self.seats[member].leader.is_some() {
            for (until, change) in std::mem::take(&mut self.seats[member].waiting) {
                if until > now {
                    self.propose(member, until, change);
                }
            }
        }
    }

    /// The leader writes a change into its log and tells the others.
    fn append(&mut self, member: usize, change: u64) {
        let seat = &mut self.seats[member];
        seat.log.push(seat.term);
        self.changes.insert((seat.term, seat.length()), change);
        self.tell_all(member);
    }

    fn tell_all(&mut self, member: usize) {
        for other in (0..self.seats.len()).filter(|other| *other != member) {
            self.seats[member].tell(other);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one message")]
    fn appended(
        &mut self,
        member: usize,
        now: Duration,
        from: usize,
        term: u64,
        matched: Option<u64>,
        length: u64,
        round: u64,
    ) {
        let majority = self.majority();
        let seat = &mut self.seats[member];
        if term > seat.term {
            // Somebody has wanted to lead meanwhile; it gets a new election.
            return seat.follow(now, term, None);
        }
        let Role::Leader(leading) = &mut seat.role else { return };
        if term < seat.term {
            return;
        }
        leading.active.insert(from);
        leading.answered[from] = leading.answered[from].max(round);
        let Some(matched) = matched else {
            leading.next[from] = (length + 1).min(leading.next[from] - 1).max(leading.matched[from] + 1);
            return seat.tell(from);
        };
        leading.matched[from] = leading.matched[from].max(matched);
        leading.next[from] = leading.next[from].max(matched + 1);
        let mut matches = leading.matched.clone();
        matches[member] = u64::try_from(seat.log.len()).unwrap_or(u64::MAX);
        matches.sort_unstable_by(|one, other| other.cmp(one));
        let agreed = matches[majority - 1];
        // Only what is of the leader's own term is agreed on by counting (section 5.4.2 of the paper).
        if agreed > seat.committed && seat.term_at(agreed) == seat.term {
            seat.committed = agreed;
            self.tell_all(member);
            self.read_early(member);
        }
        self.release_reads(member, majority);
    }

    fn read_at_leader(&mut self, member: usize, from: usize, read: u64) {
        let seat = &mut self.seats[member];
        let is_settled = seat.term_at(seat.committed) == seat.term;
        let Role::Leader(leading) = &mut seat.role else { return };
        if !is_settled {
            return leading.early_reads.push((from, read));
        }
        leading.round += 1;
        leading.reads.push((leading.round, from, read, seat.committed));
        self.tell_all(member);
    }

    fn read_early(&mut self, member: usize) {
        let Role::Leader(leading) = &mut self.seats[member].role else { return };
        for (from, read) in std::mem::take(&mut leading.early_reads) {
            self.read_at_leader(member, from, read);
        }
    }

    /// Answers the reads of whose round a majority has heard.
    fn release_reads(&mut self, member: usize, majority: usize) {
        let seat = &mut self.seats[member];
        let Role::Leader(leading) = &mut seat.role else { return };
        let answered = leading.answered.clone();
        let heard =
            |round: u64| answered.iter().enumerate().filter(|(other, at)| *other == member || **at >= round).count();
        let (released, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut leading.reads).into_iter().partition(|(round, ..)| heard(*round) >= majority);
        leading.reads = kept;
        for (_, from, read, index) in released {
            if from == member {
                seat.answer_read(read, index);
            } else {
                seat.outbox.push((from, Message::ReadAt { read, index }));
            }
        }
    }
}
