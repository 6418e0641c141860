//! What faults want of the links, and the calls that bring turmoil there. Wishes may overlap (a cut and a silent death of one
//! host); a link is mended only when no wish is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

type Pair = (String, String);

#[derive(Debug)]
pub(super) struct Links {
    latency_max: Duration,
    cuts: BTreeSet<Pair>,
    silent: BTreeSet<String>,
    holds: BTreeSet<Pair>,
    latencies: BTreeMap<Pair, Duration>,
    losses: BTreeMap<Pair, f64>,
    applied: Applied,
}

#[derive(Debug, Default)]
struct Applied {
    cuts: BTreeSet<Pair>,
    holds: BTreeSet<Pair>,
    latencies: BTreeMap<Pair, Duration>,
    losses: BTreeMap<Pair, f64>,
}

impl Links {
    pub(super) fn new(latency_max: Duration) -> Self {
        Self {
            latency_max,
            cuts: BTreeSet::new(),
            silent: BTreeSet::new(),
            holds: BTreeSet::new(),
            latencies: BTreeMap::new(),
            losses: BTreeMap::new(),
            applied: Applied::default(),
        }
    }

    pub(super) fn cut(&mut self, from: &[String], to: &[String], cut: bool) {
        for pair in product(from, to) {
            if cut {
                self.cuts.insert(pair);
            } else {
                self.cuts.remove(&pair);
            }
        }
    }

    pub(super) fn hold(&mut self, a: &[String], b: &[String], hold: bool) {
        for pair in product(a, b).map(unordered) {
            if hold {
                self.holds.insert(pair);
            } else {
                self.holds.remove(&pair);
            }
        }
    }

    pub(super) fn latency(&mut self, a: &[String], b: &[String], latency: Option<Duration>) {
        for pair in product(a, b).map(unordered) {
            match latency {
                Some(latency) => self.latencies.insert(pair, latency),
                None => self.latencies.remove(&pair),
            };
        }
    }

    pub(super) fn loss(&mut self, a: &[String], b: &[String], probability: f64) {
        for pair in product(a, b).map(unordered) {
            if probability > 0.0 {
                self.losses.insert(pair, probability);
            } else {
                self.losses.remove(&pair);
            }
        }
    }

    /// A dead host sends nothing, not even that it is dead.
    pub(super) fn silence(&mut self, host: &str) {
        self.silent.insert(host.to_owned());
    }

    pub(super) fn speak(&mut self, host: &str) {
        self.silent.remove(host);
    }

    /// Drops every wish but the silence of the dead.
    pub(super) fn mend(&mut self) {
        self.cuts.clear();
        self.holds.clear();
        self.latencies.clear();
        self.losses.clear();
    }

    /// Brings turmoil from what was applied last to what is wished now; returns what is cut.
    pub(super) fn apply(&mut self, sim: &turmoil::Sim<'_>, hosts: &[&str]) -> BTreeSet<Pair> {
        let mut cuts = self.cuts.clone();
        for silent in &self.silent {
            for host in hosts.iter().filter(|host| *host != silent) {
                cuts.insert((silent.clone(), (*host).to_owned()));
                cuts.insert(((*host).to_owned(), silent.clone()));
            }
        }
        for (from, to) in cuts.difference(&self.applied.cuts) {
            sim.partition_oneway(from.as_str(), to.as_str());
        }
        for (from, to) in self.applied.cuts.difference(&cuts) {
            sim.repair_oneway(from.as_str(), to.as_str());
        }
        self.applied.cuts = cuts;

        for (a, b) in self.holds.difference(&self.applied.holds) {
            sim.hold(a.as_str(), b.as_str());
        }
        for (a, b) in self.applied.holds.difference(&self.holds) {
            sim.release(a.as_str(), b.as_str());
        }
        self.applied.holds.clone_from(&self.holds);

        for (pair, latency) in &self.latencies {
            if self.applied.latencies.get(pair) != Some(latency) {
                sim.set_link_latency(pair.0.as_str(), pair.1.as_str(), *latency);
            }
        }
        // turmoil knows no way back to the network's own range: its maximum is as near as it gets.
        for pair in self.applied.latencies.keys().filter(|pair| !self.latencies.contains_key(*pair)) {
            sim.set_link_latency(pair.0.as_str(), pair.1.as_str(), self.latency_max);
        }
        self.applied.latencies.clone_from(&self.latencies);
        self.applied.cuts.clone()
    }

    /// Losses need turmoil's world mutably, so they are apart.
    pub(super) fn apply_losses(&mut self, sim: &mut turmoil::Sim<'_>) {
        for (pair, probability) in &self.losses {
            if self.applied.losses.get(pair) != Some(probability) {
                sim.set_link_fail_rate(pair.0.as_str(), pair.1.as_str(), *probability);
            }
        }
        for pair in self.applied.losses.keys().filter(|pair| !self.losses.contains_key(*pair)) {
            sim.set_link_fail_rate(pair.0.as_str(), pair.1.as_str(), 0.0);
        }
        self.applied.losses.clone_from(&self.losses);
    }
}

/// Every pair of different hosts with one from each side.
fn product<'a>(a: &'a [String], b: &'a [String]) -> impl Iterator<Item = Pair> + 'a {
    a.iter().flat_map(move |a| b.iter().filter(move |b| *b != a).map(move |b| (a.clone(), b.clone())))
}

fn unordered((a, b): Pair) -> Pair {
    if a <= b { (a, b) } else { (b, a) }
}
