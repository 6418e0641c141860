//! What the members agree on, over wires that lose, delay and cut: every test passes the time in, and what is drawn comes from
//! a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;
use shaketable_stack::env::Random;

use super::consensus::{Consensus, Message};

const MEMBERS: usize = 3;

const fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Members on wires, in steps of a millisecond.
struct Wires {
    consensus: Consensus,
    now: Duration,
    random: Random,
    loss: f64,
    /// Who neither hears nor is heard.
    cut_off: BTreeSet<usize>,
    /// Who does nothing at all.
    stopped: BTreeSet<usize>,
    under_way: BTreeMap<(Duration, u64), (usize, usize, Message)>,
    sent: u64,
    proposed: u64,
    /// Who led in each term.
    leaders: BTreeMap<u64, usize>,
    /// What was agreed on, by place.
    agreed: BTreeMap<u64, u64>,
    /// Up to where that was looked at, by member.
    checked: [u64; MEMBERS],
    reads: BTreeMap<u64, u64>,
}

impl Wires {
    fn new(seed: u64, loss: f64) -> Self {
        Self {
            consensus: Consensus::new(MEMBERS, seed, 2),
            now: Duration::ZERO,
            random: Random::from_number(seed),
            loss,
            cut_off: BTreeSet::new(),
            stopped: BTreeSet::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            proposed: 0,
            leaders: BTreeMap::new(),
            agreed: BTreeMap::new(),
            checked: [0; MEMBERS],
            reads: BTreeMap::new(),
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += at(1);
            while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (from, to, message) = entry.remove();
                let is_cut = self.cut_off.contains(&from) || self.cut_off.contains(&to);
                if !is_cut && !self.stopped.contains(&to) {
                    self.consensus.receive(to, self.now, from, &message);
                }
            }
            for member in 0..MEMBERS {
                if self.stopped.contains(&member) {
                    continue;
                }
                if self.consensus.next_due(member) <= self.now {
                    self.consensus.tick(member, self.now);
                }
                self.check(member);
                for (to, message) in self.consensus.take_outbox(member) {
                    if !self.random.random_bool(self.loss) {
                        self.sent += 1;
                        let latency = at(self.random.random_range(1..10));
                        self.under_way.insert((self.now + latency, self.sent), (member, to, message));
                    }
                }
            }
        }
    }

    /// One leader in each term, and what was agreed on once stays.
    fn check(&mut self, member: usize) {
        let standing = self.consensus.standing(member);
        if standing.leads {
            let leader = *self.leaders.entry(standing.term).or_insert(member);
            assert_eq!(leader, member, "two lead in term {}", standing.term);
        }
        let committed = self.consensus.committed(member);
        assert!(committed >= self.checked[member], "member {member} forgets what was agreed on");
        for index in self.checked[member] + 1..=committed {
            let change = self.consensus.change(member, index);
            assert_eq!(*self.agreed.entry(index).or_insert(change), change, "entry {index} of member {member}");
        }
        self.checked[member] = committed;
        for (read, index) in self.consensus.take_reads(member) {
            self.reads.insert(read, index);
        }
    }

    fn propose(&mut self, member: usize) -> u64 {
        self.proposed += 1;
        self.consensus.propose(member, self.now + at(7_000), self.proposed);
        self.proposed
    }

    fn leader(&self) -> Option<usize> {
        let leads = |member: &usize| self.consensus.standing(*member).leads && !self.stopped.contains(member);
        (0..MEMBERS).filter(leads).max_by_key(|member| self.consensus.standing(*member).term)
    }

    fn has_agreed_on(&self, change: u64) -> bool {
        self.agreed.values().any(|agreed| *agreed == change)
    }
}

#[test]
fn a_change_is_agreed_on_whoever_is_asked() {
    for seed in 0..10 {
        let mut wires = Wires::new(seed, 0.0);
        let changes: Vec<u64> = (0..MEMBERS).map(|member| wires.propose(member)).collect();
        wires.run(at(200));
        assert!(changes.iter().all(|change| wires.has_agreed_on(*change)), "seed {seed}");
        assert_eq!(wires.leaders.len(), 1, "nobody wants to lead while somebody does");
        let known: BTreeSet<u64> = (0..MEMBERS).map(|member| wires.consensus.committed(member)).collect();
        assert_eq!(known, BTreeSet::from([4]), "seed {seed}");
    }
}

#[test]
fn a_leader_that_stops_is_replaced_within_some_time_outs() {
    let mut took = BTreeSet::new();
    for seed in 0..20 {
        let mut wires = Wires::new(seed, 0.0);
        wires.run(at(1_500));
        let old = wires.leader().unwrap();
        wires.stopped.insert(old);
        let began = wires.now;
        while wires.leader().is_none() {
            wires.run(at(1));
            assert!(wires.now < began + at(12_000), "seed {seed}: nobody leads");
        }
        assert!(wires.now - began > at(800), "seed {seed}: before its time-out");
        took.insert(wires.now - began);
        // Who comes back follows, and gets what it has missed.
        let change = wires.propose(wires.leader().unwrap());
        wires.run(at(100));
        assert!(wires.has_agreed_on(change));
        wires.consensus.start(old, wires.now);
        wires.stopped.clear();
        wires.run(at(500));
        assert!(!wires.consensus.standing(old).leads && wires.consensus.standing(old).leader.is_some());
        assert_eq!(wires.consensus.committed(old), wires.consensus.committed(wires.leader().unwrap()));
    }
    assert!(took.len() > 10, "time-outs are drawn: {took:?}");
}

#[test]
fn a_minority_agrees_on_nothing_and_reads_nothing() {
    for seed in 0..10 {
        let mut wires = Wires::new(seed, 0.0);
        wires.run(at(300));
        let old = wires.leader().unwrap();
        wires.cut_off.insert(old);
        let change = wires.propose(old);
        wires.consensus.read(old, 77);
        wires.run(at(8_000));
        assert!(!wires.has_agreed_on(change) && !wires.reads.contains_key(&77), "seed {seed}");
        assert_eq!(wires.consensus.standing(old).leader, None, "seed {seed}: who reaches nobody leads nobody");
        let other = wires.leader().unwrap();
        let later = wires.propose(other);
        wires.run(at(100));
        assert!(wires.has_agreed_on(later), "seed {seed}: the majority goes on");
        wires.cut_off.clear();
        wires.run(at(6_000));
        assert!(!wires.has_agreed_on(change), "seed {seed}: what was never agreed on is gone");
        let known: BTreeSet<u64> = (0..MEMBERS).map(|member| wires.consensus.committed(member)).collect();
        assert_eq!(known.len(), 1, "seed {seed}: {known:?}");
    }
}

#[test]
fn a_read_is_answered_with_all_that_was_agreed_on() {
    for seed in 0..10 {
        let mut wires = Wires::new(seed, 0.0);
        wires.run(at(300));
        let leader = wires.leader().unwrap();
        wires.propose(leader);
        wires.run(at(100));
        let agreed = wires.consensus.committed(leader);
        for (read, member) in (0..MEMBERS).enumerate() {
            wires.consensus.read(member, u64::try_from(read).unwrap());
        }
        wires.run(at(200));
        assert_eq!(wires.reads.values().copied().collect::<Vec<_>>(), [agreed; MEMBERS], "seed {seed}");
    }
}

#[test]
fn a_leader_hands_over_at_once() {
    let mut wires = Wires::new(5, 0.0);
    wires.run(at(300));
    let old = wires.leader().unwrap();
    let next = (old + 1) % MEMBERS;
    assert!(!wires.consensus.hand_over(next, old), "who does not lead has nothing to hand over");
    assert!(wires.consensus.hand_over(old, next));
    wires.run(at(100));
    assert_eq!(wires.leader(), Some(next));
}

#[test]
fn whatever_is_lost_nothing_that_was_agreed_on_changes() {
    for seed in 0..30 {
        let mut wires = Wires::new(seed, 0.2);
        for _ in 0..60 {
            let member = wires.random.random_range(0..MEMBERS);
            match wires.random.random_range(0..8) {
                0 => drop(wires.cut_off.insert(member)),
                1 => wires.cut_off.clear(),
                2 => drop(wires.stopped.insert(member)),
                3 => {
                    for member in std::mem::take(&mut wires.stopped) {
                        wires.consensus.start(member, wires.now);
                    }
                }
                _ => drop(wires.propose(member)),
            }
            let time = at(wires.random.random_range(1..1_500));
            wires.run(time);
        }
        // Without faults they agree again, on something new, too.
        wires.cut_off.clear();
        for member in std::mem::take(&mut wires.stopped) {
            wires.consensus.start(member, wires.now);
        }
        wires.loss = 0.0;
        wires.run(at(15_000));
        let change = wires.propose(0);
        wires.run(at(300));
        assert!(wires.has_agreed_on(change), "seed {seed}");
        let known: BTreeSet<u64> = (0..MEMBERS).map(|member| wires.consensus.committed(member)).collect();
        assert_eq!(known.len(), 1, "seed {seed}: {known:?}");
    }
}
