//! Faults on the timeline of a run: times, hosts and what undoes them, all drawn before it starts.

use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};
use shaketable_stack::env::Random;
use xxhash_rust::xxh3::xxh3_64;

use super::hosts::{PlannedHost, resolve};
use super::{PlanError, streams};
use crate::scenario::model::{Fault as Entry, HowDown, Scenario};
use crate::world::Fault;

/// More occurrences of one entry are a slip, not a scenario.
pub(crate) const OCCURRENCES_MAX: usize = 10_000;

/// A fault with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// From the start of the world.
    pub at: Duration,
    /// What is done, or undone.
    pub fault: Fault,
    /// Index of the scenario's entry that it comes from.
    pub entry: usize,
}

/// Every fault of `scenario`, in the order of time; `hosts` are those of the run.
///
/// Entries may overlap. What they ask for twice is left to the run, which knows how things stand: it skips a crash of a host
/// that is down, a restart of one that is up, and lets the first end of two equal cuts end both. Whatever still lasts at the
/// heal is undone there, so an end that falls on it or later is not planned.
pub(super) fn draw(scenario: &Scenario, seed: u64, hosts: &[PlannedHost]) -> Result<Vec<PlannedFault>, PlanError> {
    let shake_at = scenario.phases.warmup;
    let heal_at = shake_at + scenario.phases.shake;
    let mut planned = Vec::new();
    for (index, (entry, name)) in scenario.faults.iter().zip(streams::names("faults", &scenario.faults)).enumerate() {
        let wrong = |what: &str| PlanError(format!("faults[{index}] {what}"));
        let mut random = streams::stream(seed, &name);
        let times = times(entry, scenario.phases.shake, &mut random).map_err(wrong)?;
        for time in times {
            let at = shake_at.saturating_add(time);
            // Drawn for every occurrence, also for one past the heal, so that later draws do not depend on the phases.
            let (done, undone) = acts(entry, &name, hosts, &mut random).map_err(wrong)?;
            if at >= heal_at {
                continue;
            }
            planned.extend(done.into_iter().map(|fault| PlannedFault { at, fault, entry: index }));
            if let Some(end) = entry.lasting.map(|lasting| at.saturating_add(lasting)).filter(|end| *end < heal_at) {
                planned.extend(undone.into_iter().map(|fault| PlannedFault { at: end, fault, entry: index }));
            }
        }
    }
    // The sort is stable: what happens at one moment keeps the order of the file.
    planned.sort_by_key(|fault| fault.at);
    Ok(planned)
}

/// When an entry happens, from the start of the `shake` phase, in order.
pub(crate) fn times(entry: &Entry, shake: Duration, random: &mut Random) -> Result<Vec<Duration>, &'static str> {
    match (entry.at, entry.every, entry.between) {
        (Some(at), None, None) => Ok(vec![at]),
        (None, None, Some(between)) if between.from <= between.to => {
            Ok(vec![uniform(random, between.from, between.to)])
        }
        (None, Some(every), between) => {
            let (from, to) = between.map_or((Duration::ZERO, shake), |between| (between.from, between.to));
            let count = to.saturating_sub(from).as_nanos().div_ceil(every.as_nanos().max(1));
            if count > OCCURRENCES_MAX as u128 {
                return Err("happens too often");
            }
            Ok(std::iter::successors(Some(from), |time| time.checked_add(every))
                .take_while(|time| *time < to)
                .collect())
        }
        _ => Err("needs 'at', 'every', or 'between' alone"),
    }
}

/// A time between `from` and `to`, in whole microseconds.
pub(super) fn uniform(random: &mut Random, from: Duration, to: Duration) -> Duration {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random.random_range(micros(from)..=micros(to).max(micros(from))))
}

/// What one occurrence does, and what undoes it.
fn acts(
    entry: &Entry,
    name: &str,
    hosts: &[PlannedHost],
    random: &mut Random,
) -> Result<(Vec<Fault>, Vec<Fault>), &'static str> {
    let mut done = Vec::new();
    let mut undone = Vec::new();
    let mut kinds = 0;
    let mut add = |does: Vec<Fault>, undoes: Vec<Fault>| {
        kinds += 1;
        done.extend(does);
        undone.extend(undoes);
    };
    let sides = |a: &str, b: &str| {
        let (a, b) = (resolve(hosts, a), resolve(hosts, b));
        (!a.is_empty() && !b.is_empty()).then_some((a, b))
    };
    if let Some(crash) = &entry.crash {
        let host = one(hosts, &crash.host, random);
        let fault = |host| Fault::Crash { host, fin: crash.fin };
        add(
            host.clone().map(fault).into_iter().collect(),
            host.map(|host| Fault::Restart { host }).into_iter().collect(),
        );
    }
    if let Some(restart) = &entry.restart {
        let host = one(hosts, &restart.host, random);
        add(host.map(|host| Fault::Restart { host }).into_iter().collect(), Vec::new());
    }
    if let Some(pause) = &entry.pause {
        let host = one(hosts, &pause.host, random);
        let (does, undoes) = (|host| Fault::Pause { host }, |host| Fault::Resume { host });
        add(host.clone().map(does).into_iter().collect(), host.map(undoes).into_iter().collect());
    }
    if let Some(skew) = &entry.skew {
        let host = one(hosts, &skew.host, random);
        let fault = |host, by_ns| Fault::Skew { host, by_ns };
        let by_ns = skew.by.nanoseconds();
        add(
            host.clone().map(|host| fault(host, by_ns)).into_iter().collect(),
            host.map(|host| fault(host, 0)).into_iter().collect(),
        );
    }
    if let Some(lease_lost) = &entry.lease_lost {
        let host = one(hosts, &lease_lost.host, random);
        add(host.map(|host| Fault::LeaseLost { host }).into_iter().collect(), Vec::new());
    }
    if let Some(restart) = &entry.backend_restart {
        // A backend that has no host in this run lives in the world itself, which restarts it.
        let host = one(hosts, &restart.backend, random).or_else(|| Some(restart.backend.clone()));
        let does = |host| match restart.how {
            HowDown::Kill => Fault::BackendDown { host },
            HowDown::Term => Fault::BackendEnd { host },
        };
        let undoes = |host| Fault::BackendUp { host };
        add(host.clone().map(does).into_iter().collect(), host.map(undoes).into_iter().collect());
    }
    if let Some(pause) = &entry.backend_pause {
        // One that lives in the world itself stands still when the world does.
        let host = one(hosts, &pause.backend, random);
        let (does, undoes) = (|host| Fault::BackendPause { host }, |host| Fault::BackendResume { host });
        add(host.clone().map(does).into_iter().collect(), host.map(undoes).into_iter().collect());
    }
    if let Some(compaction) = &entry.compaction {
        add(vec![Fault::Compaction { backend: compaction.backend.clone() }], Vec::new());
    }
    if let Some(lost) = &entry.leader_lost {
        let backend = &lost.backend;
        let (does, undoes) = (|backend| Fault::LeaderDown { backend }, |backend| Fault::LeaderUp { backend });
        add(vec![does(backend.clone())], vec![undoes(backend.clone())]);
    }
    if let Some(partition) = &entry.partition {
        let groups: Vec<_> = partition.groups.iter().map(|group| resolve(hosts, group)).collect();
        let (cuts, heals) = cuts(&groups, partition.one_way);
        add(cuts, heals);
    }
    if let Some(hold) = &entry.hold {
        let sides = sides(&hold.a, &hold.b);
        let (does, undoes) = (|(a, b)| Fault::Hold { a, b }, |(a, b)| Fault::Release { a, b });
        add(sides.clone().map(does).into_iter().collect(), sides.map(undoes).into_iter().collect());
    }
    if let Some(slow) = &entry.latency {
        let fault = |(a, b), latency| Fault::Latency { a, b, latency };
        let sides = sides(&slow.a, &slow.b);
        add(
            sides.clone().map(|sides| fault(sides, Some(slow.latency))).into_iter().collect(),
            sides.map(|sides| fault(sides, None)).into_iter().collect(),
        );
    }
    if let Some(loss) = &entry.loss {
        let fault = |(a, b), probability| Fault::Loss { a, b, probability, granularity: loss.granularity };
        let sides = sides(&loss.a, &loss.b);
        add(
            sides.clone().map(|sides| fault(sides, loss.probability)).into_iter().collect(),
            sides.map(|sides| fault(sides, 0.0)).into_iter().collect(),
        );
    }
    if let Some(reset) = &entry.reset {
        let sides = sides(&reset.a, &reset.b);
        add(sides.map(|(a, b)| Fault::Reset { a, b }).into_iter().collect(), Vec::new());
    }
    if let Some(link) = &entry.link {
        let directions: Vec<_> = match sides(&link.a, &link.b) {
            Some((a, b)) if link.one_way => vec![(a, b)],
            Some((a, b)) => vec![(a.clone(), b.clone()), (b, a)],
            None => Vec::new(),
        };
        let fault = |quality| {
            let directions = directions.iter().cloned();
            directions.map(|(from, to)| Fault::Link { from, to, quality }).collect()
        };
        add(fault(Some(link.quality())), fault(None));
    }
    if let Some(toxic) = &entry.toxic {
        // Which connections it hits hangs on what the entry says, and not on where it stands.
        let named = format!("{:016x}", xxh3_64(name.as_bytes()));
        let toxics = toxic.toxics(&named).map_err(|_| "has a toxic that cannot be so")?;
        let (mut does, mut undoes) = (Vec::new(), Vec::new());
        if let Some((a, b)) = sides(&toxic.a, &toxic.b) {
            for toxic in toxics {
                does.push(Fault::Toxic { a: a.clone(), b: b.clone(), toxic: toxic.clone() });
                undoes.push(Fault::Antidote { a: a.clone(), b: b.clone(), toxic });
            }
            if toxic.down.is_some() {
                does.push(Fault::LinkDown { a: a.clone(), b: b.clone() });
                undoes.push(Fault::LinkUp { a, b });
            }
        }
        add(does, undoes);
    }
    match kinds {
        1 => Ok((done, undone)),
        _ => Err("needs exactly one kind of fault"),
    }
}

/// One host of those that `text` means.
fn one(hosts: &[PlannedHost], text: &str, random: &mut Random) -> Option<String> {
    let candidates = resolve(hosts, text);
    (!candidates.is_empty()).then(|| candidates[random.random_range(0..candidates.len())].clone())
}

/// Nothing between any two groups, or nothing from the first to the second. A group that no host of this run belongs to is
/// left out.
fn cuts(groups: &[Vec<String>], one_way: bool) -> (Vec<Fault>, Vec<Fault>) {
    let mut pairs = Vec::new();
    for (first, from) in groups.iter().enumerate() {
        for (second, to) in groups.iter().enumerate() {
            let wanted = if one_way { (first, second) == (0, 1) } else { first != second };
            if wanted && !from.is_empty() && !to.is_empty() {
                pairs.push((from.clone(), to.clone()));
            }
        }
    }
    let cuts = pairs.iter().cloned().map(|(from, to)| Fault::Cut { from, to }).collect();
    (cuts, pairs.into_iter().map(|(from, to)| Fault::Heal { from, to }).collect())
}
