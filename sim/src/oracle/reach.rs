//! Who was alive and who could reach whom, from the faults that were done. A link on which something may be lost, or that is
//! so slow that an answer cannot be expected in time, is no way; so an oracle never blames who could not know better.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::{Edge, History, Moment, Point};
use crate::toxic::Toxic;
use crate::world::Fault;

use super::Facts;
use super::spans::{Span, Spans, Step};

/// Who could reach whom.
#[derive(Debug)]
pub(super) struct Reach<'a> {
    end: Moment,
    /// Hosts that were down at some time.
    down: BTreeMap<&'a str, Spans>,
    /// Hosts that were paused at some time.
    paused: BTreeMap<&'a str, Spans>,
    /// Links that were impassable at some time, by sender and receiver.
    blocked: BTreeMap<(&'a str, &'a str), Spans>,
    /// The members of the registry's backend; none where its state belongs to the world.
    registry: Vec<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    Cut,
    Hold,
    Loss,
    Slow,
    Reset,
    Toxic,
    Down,
}

type Links<'a> = BTreeMap<(&'a str, &'a str, Obstacle), Vec<(Moment, Step)>>;

impl<'a> Reach<'a> {
    /// Reads the faults. `bound` is what something may take: a link whose one-way latency is more than a quarter of it is no
    /// way, because connecting and asking are four journeys.
    pub(super) fn of(history: &'a History, facts: &'a Facts, bound: Duration) -> Self {
        let (mut down, mut paused) = (BTreeMap::<&str, Vec<_>>::new(), BTreeMap::<&str, Vec<_>>::new());
        let mut links = Links::new();
        for (at, fault) in records(history) {
            match fault {
                Some(Fault::Crash { host, .. } | Fault::BackendDown { host } | Fault::BackendEnd { host }) => {
                    down.entry(host).or_default().push((at, Step::BeginOnly));
                    // Whoever comes up again executes.
                    paused.entry(host).or_default().push((at, Step::EndAll));
                }
                Some(Fault::Restart { host } | Fault::BackendUp { host }) => {
                    down.entry(host).or_default().push((at, Step::EndAll));
                }
                Some(Fault::Pause { host } | Fault::BackendPause { host }) => {
                    paused.entry(host).or_default().push((at, Step::BeginOnly));
                }
                Some(Fault::Resume { host } | Fault::BackendResume { host }) => {
                    paused.entry(host).or_default().push((at, Step::EndAll));
                }
                Some(fault) => link_steps(&mut links, at, fault, bound),
                // The heal ends whatever is in force between hosts, however often it was done.
                None => links.values_mut().for_each(|steps| steps.push((at, Step::EndAll))),
            }
        }
        let end = facts.end;
        let in_force = |steps: BTreeMap<&'a str, Vec<_>>| {
            steps.into_iter().map(|(host, steps)| (host, Spans::in_force(&steps, end))).collect()
        };
        let mut blocked = BTreeMap::<_, Spans>::new();
        for ((from, to, _), steps) in links {
            blocked.entry((from, to)).or_default().add(&Spans::in_force(&steps, end));
        }
        let registry = facts.registry_backends().map(|host| host.name.as_str()).collect();
        Self { end, down: in_force(down), paused: in_force(paused), blocked, registry }
    }

    /// When `host` was alive, and not paused.
    pub(super) fn alive(&self, host: &str) -> Spans {
        let idle = [&self.down, &self.paused].into_iter().filter_map(|idle| idle.get(host));
        idle.fold(Spans::whole(self.end), |alive, idle| alive.and(&idle.not(self.end)))
    }

    /// When `a` and `b` were alive and messages passed between them in both directions.
    pub(super) fn between(&self, a: &str, b: &str) -> Spans {
        let mut spans = self.alive(a).and(&self.alive(b));
        for link in [(a, b), (b, a)] {
            if let Some(blocked) = self.blocked.get(&link) {
                spans = spans.and(&blocked.not(self.end));
            }
        }
        spans
    }

    /// When `host` could use the registry; a registry whose state belongs to the world can be used by whoever is alive. Of a
    /// backend with several members it needs those that are enough to agree, and they need each other.
    pub(super) fn registry(&self, host: &str) -> Spans {
        match self.registry.as_slice() {
            [] => self.alive(host),
            [backend] => self.between(host, backend),
            _ => self.agreeing(Some(host)),
        }
    }

    /// When the registry's backend was down, or too few of its members could reach each other.
    pub(super) fn registry_down(&self) -> Spans {
        match self.registry.as_slice() {
            [] => Spans::default(),
            [backend] => self.down.get(backend).cloned().unwrap_or_default(),
            _ => self.agreeing(None).not(self.end),
        }
    }

    /// When the registry's backend stood still, though it was not down: of one with several members, another one leads then.
    pub(super) fn registry_still(&self) -> Spans {
        match self.registry.as_slice() {
            [backend] => self.paused.get(backend).cloned().unwrap_or_default(),
            _ => Spans::default(),
        }
    }

    /// When there were members in touch with each other, and with `host`, that are more than half.
    fn agreeing(&self, host: Option<&str>) -> Spans {
        let members = &self.registry;
        let mut agreeing = Spans::default();
        // Each set of members is the bits of a number; there are few of them.
        for set in 0_u32..1 << members.len() {
            if usize::try_from(set.count_ones()).is_ok_and(|count| count == members.len() / 2 + 1) {
                let chosen: Vec<&str> =
                    (0..members.len()).filter(|bit| set >> bit & 1 == 1).map(|bit| members[bit]).collect();
                let mut spans = Spans::whole(self.end);
                for (index, member) in chosen.iter().enumerate() {
                    spans = spans.and(&self.alive(member));
                    for other in chosen[index + 1..].iter().copied().chain(host) {
                        spans = spans.and(&self.between(member, other));
                    }
                }
                agreeing.add(&spans);
            }
        }
        agreeing
    }
}

/// When a fault or a change of membership was under way; one that has no duration takes a nanosecond.
pub(super) fn disturbances(history: &History, facts: &Facts) -> Spans {
    let reach = Reach::of(history, facts, Duration::ZERO);
    let mut spans: Vec<Spans> = reach.down.into_values().chain(reach.paused.into_values()).collect();
    spans.extend(reach.blocked.into_values());
    let disturbs = |edge: &Edge| matches!(edge, Edge::Point(Point::Fault(_) | Point::Churn { .. }));
    let moments = history.events.iter().filter(|event| disturbs(&event.edge)).map(|event| event.at);
    spans.push(Spans::of(moments.map(|at| Span { start: at, end: at + Duration::from_nanos(1) }).collect()));
    let calm = spans.iter().fold(Spans::whole(facts.end), |calm, spans| calm.and(&spans.not(facts.end)));
    calm.not(facts.end)
}

/// The faults in order; `None` is the heal.
fn records(history: &History) -> impl Iterator<Item = (Moment, Option<&Fault>)> {
    history.events.iter().filter_map(|event| match &*event.edge {
        Edge::Point(Point::Fault(fault)) => Some((event.at, Some(&**fault))),
        Edge::Point(Point::Phase { name }) if name == "settle" => Some((event.at, None)),
        _ => None,
    })
}

fn link_steps<'a>(links: &mut Links<'a>, at: Moment, fault: &'a Fault, bound: Duration) {
    if let Fault::Link { from, to, quality } = fault {
        // A queue may hold packets back for as long as it takes to drain, so a narrow link counts as slow.
        let loses = quality.is_some_and(|quality| quality.loss > 0.0 || quality.corrupt > 0.0);
        let slow = quality.is_some_and(|quality| quality.bandwidth.is_some() || quality.is_slower_than(bound / 4));
        for (obstacle, stands) in [(Obstacle::Loss, loses), (Obstacle::Slow, slow)] {
            let step = if stands { Step::BeginOnly } else { Step::EndAll };
            for from in from {
                for to in to {
                    links.entry((from, to, obstacle)).or_default().push((at, step));
                }
            }
        }
        return;
    }
    if let Fault::Reset { a, b } = fault {
        // What was under way is lost, and what comes after has to connect first: no way leads across that moment.
        for (from, to) in a.iter().flat_map(|a| b.iter().map(move |b| (a, b))) {
            for link in [(from, to), (to, from)] {
                let steps = links.entry((link.0, link.1, Obstacle::Reset)).or_default();
                steps.extend([(at, Step::BeginOnly), (at + Duration::from_nanos(1), Step::EndAll)]);
            }
        }
        return;
    }
    let (from, to, obstacle, step, both_ways) = match fault {
        Fault::Cut { from, to } => (from, to, Obstacle::Cut, Step::Begin, false),
        Fault::Heal { from, to } => (from, to, Obstacle::Cut, Step::End, false),
        Fault::Hold { a, b } => (a, b, Obstacle::Hold, Step::Begin, true),
        Fault::Release { a, b } => (a, b, Obstacle::Hold, Step::End, true),
        Fault::Loss { a, b, probability, .. } => {
            let step = if *probability > 0.0 { Step::BeginOnly } else { Step::EndAll };
            (a, b, Obstacle::Loss, step, true)
        }
        Fault::Latency { a, b, latency } => {
            let slow = latency.is_some_and(|latency| latency.saturating_mul(4) > bound);
            (a, b, Obstacle::Slow, if slow { Step::BeginOnly } else { Step::EndAll }, true)
        }
        Fault::Toxic { a, b, toxic } if hampers(toxic, bound) => (a, b, Obstacle::Toxic, Step::Begin, true),
        Fault::Antidote { a, b, toxic } if hampers(toxic, bound) => (a, b, Obstacle::Toxic, Step::End, true),
        Fault::LinkDown { a, b } => (a, b, Obstacle::Down, Step::Begin, true),
        Fault::LinkUp { a, b } => (a, b, Obstacle::Down, Step::End, true),
        Fault::Toxic { .. }
        | Fault::Antidote { .. }
        | Fault::Link { .. }
        | Fault::Reset { .. }
        | Fault::Skew { .. }
        | Fault::Crash { .. }
        | Fault::Restart { .. }
        | Fault::Pause { .. }
        | Fault::Resume { .. }
        | Fault::LeaseLost { .. }
        | Fault::BackendDown { .. }
        | Fault::BackendEnd { .. }
        | Fault::BackendUp { .. }
        | Fault::BackendPause { .. }
        | Fault::BackendResume { .. }
        | Fault::Compaction { .. }
        | Fault::LeaderDown { .. }
        | Fault::LeaderUp { .. } => return,
    };
    for from in from {
        for to in to {
            links.entry((from, to, obstacle)).or_default().push((at, step));
            if both_ways {
                links.entry((to, from, obstacle)).or_default().push((at, step));
            }
        }
    }
}

/// Whether an answer cannot be expected within `bound` because of `toxic`.
fn hampers(toxic: &Toxic, bound: Duration) -> bool {
    let acts = toxic.toxicity() > 0.0;
    acts && match toxic.kind().name {
        "latency" => {
            let longest = toxic.attributes().fold(0_u64, |sum, (_, milliseconds)| sum.saturating_add(milliseconds));
            Duration::from_millis(longest).saturating_mul(4) > bound
        }
        // Who closes a connection has nothing more to say on it.
        "slow_close" => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{Story, ms};
    use crate::scenario::model::{Expect, LossGranularity};

    /// Whether `callers-1` could reach the registry at each of `at`, in milliseconds, when two seconds are the bound.
    fn check(tell: impl FnOnce(&mut Story), at: &[(u64, bool)]) {
        let mut story = Story::new(Expect::default());
        tell(&mut story);
        let history = story.history();
        let reach = Reach::of(&history, &story.facts, ms(2_000)).registry("callers-1");
        for (milliseconds, expected) in at {
            let at = Moment::after(ms(*milliseconds));
            assert_eq!(reach.covers(at, at), *expected, "at {milliseconds} ms");
        }
    }

    fn names() -> (Vec<String>, Vec<String>) {
        (vec!["callers-1".to_owned(), "callers-2".to_owned()], vec!["etcd".to_owned()])
    }

    #[test]
    fn one_direction_that_is_cut_is_enough_to_be_out_of_reach() {
        for swapped in [false, true] {
            let tell = |story: &mut Story| {
                let (mut from, mut to) = names();
                if swapped {
                    std::mem::swap(&mut from, &mut to);
                }
                story.fault(1_000, Fault::Cut { from: from.clone(), to: to.clone() });
                story.fault(2_000, Fault::Heal { from, to });
            };
            check(tell, &[(999, true), (1_000, false), (1_999, false), (2_000, true)]);
        }
    }

    #[test]
    fn of_two_cuts_the_last_to_heal_counts_and_the_heal_phase_ends_both() {
        let tell = |story: &mut Story| {
            story.cut(1_000, 3_000, "callers-1", "etcd");
            story.cut(2_000, 4_000, "callers-1", "etcd");
            story.cut(30_000, 70_000, "callers-1", "etcd");
        };
        check(tell, &[(3_500, false), (4_000, true), (39_999, false), (40_000, true)]);
    }

    #[test]
    fn a_held_a_lossy_and_a_slow_link_are_no_way_and_a_slower_one_may_be() {
        let tell = |story: &mut Story| {
            let (a, b) = names();
            story.fault(1_000, Fault::Hold { a: b.clone(), b: a.clone() });
            story.fault(2_000, Fault::Release { a: b.clone(), b: a.clone() });
            for (at, probability) in [(3_000, 0.1), (4_000, 0.5), (5_000, 0.0)] {
                story.fault(
                    at,
                    Fault::Loss { a: a.clone(), b: b.clone(), probability, granularity: LossGranularity::Link },
                );
            }
            for (at, latency) in [(6_000, Some(ms(500))), (7_000, Some(ms(501))), (8_000, None)] {
                story.fault(at, Fault::Latency { a: a.clone(), b: b.clone(), latency });
            }
        };
        let held = [(1_500, false), (2_500, true)];
        let lossy = [(3_500, false), (4_500, false), (5_500, true)];
        let slow = [(6_500, true), (7_500, false), (8_500, true)];
        check(tell, &[&held[..], &lossy, &slow].concat());
    }

    #[test]
    fn a_toxic_that_hampers_and_a_link_that_is_down_are_no_way_and_one_that_does_not_is_one() {
        let tell = |story: &mut Story| {
            let (a, b) = names();
            let mut toxic = |from: u64, text: &str| {
                let toxic: Toxic = text.parse().unwrap();
                story.fault(from, Fault::Toxic { a: a.clone(), b: b.clone(), toxic: toxic.clone() });
                story.fault(from + 1_000, Fault::Antidote { a: a.clone(), b: b.clone(), toxic });
            };
            toxic(1_000, "timeout:upstream");
            toxic(3_000, "latency:latency=400,jitter=100");
            toxic(5_000, "latency:latency=400,jitter=101");
            toxic(7_000, "slow_close:delay=60s");
            toxic(9_000, "bandwidth:rate=1,0");
            toxic(11_000, "limit_data:bytes=100,0.1");
            story.fault(13_000, Fault::LinkDown { a: a.clone(), b: b.clone() });
            story.fault(14_000, Fault::LinkUp { a: a.clone(), b: b.clone() });
        };
        let hampered = [1_000, 5_000, 11_000, 13_000].map(|at| [(at, false), (at + 999, false), (at + 1_000, true)]);
        let free = [3_500, 7_500, 9_500].map(|at| [(at, true); 3]);
        check(tell, &[hampered.concat(), free.concat()].concat());
    }

    #[test]
    fn no_way_leads_across_a_reset() {
        let mut story = Story::new(Expect::default());
        let (a, b) = names();
        story.fault(1_000, Fault::Reset { a, b });
        let history = story.history();
        let reach = Reach::of(&history, &story.facts, ms(2_000)).registry("callers-1");
        let at = |milliseconds| Moment::after(ms(milliseconds));
        assert!(reach.covers(at(0), at(999)) && reach.covers(at(1_001), at(2_000)));
        assert!(!reach.covers(at(999), at(1_001)));
    }

    #[test]
    fn who_is_dead_or_paused_reaches_nobody() {
        let tell = |story: &mut Story| {
            story.crash(1_000, "callers-1");
            story.fault(2_000, Fault::Restart { host: "callers-1".to_owned() });
            story.fault(2_600, Fault::Pause { host: "callers-1".to_owned() });
            story.fault(2_700, Fault::Resume { host: "callers-1".to_owned() });
            story.fault(3_000, Fault::BackendDown { host: "etcd".to_owned() });
            story.fault(4_000, Fault::BackendUp { host: "etcd".to_owned() });
            story.fault(5_000, Fault::BackendPause { host: "etcd".to_owned() });
            story.fault(6_000, Fault::BackendResume { host: "etcd".to_owned() });
            story.fault(7_000, Fault::BackendEnd { host: "etcd".to_owned() });
            story.fault(8_000, Fault::BackendUp { host: "etcd".to_owned() });
        };
        check(tell, &[(1_500, false), (2_500, true), (2_650, false), (2_750, true), (3_500, false), (4_500, true)]);
        check(tell, &[(5_500, false), (6_500, true), (7_500, false), (8_500, true)]);
        let killed_where_it_stands = |story: &mut Story| {
            story.fault(1_000, Fault::BackendPause { host: "etcd".to_owned() });
            story.fault(2_000, Fault::BackendDown { host: "etcd".to_owned() });
            story.fault(3_000, Fault::BackendUp { host: "etcd".to_owned() });
        };
        check(killed_where_it_stands, &[(1_500, false), (2_500, false), (3_500, true)]);
    }
}
