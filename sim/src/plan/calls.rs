//! Which host does which load, and when open loops are due.

use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};
use shaketable_stack::env::Random;

use super::hosts::{PlannedHost, resolve};
use super::streams;
use crate::scenario::model::{Load, Scenario};

/// A load on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedLoad {
    /// Index of the scenario's entry.
    pub entry: usize,
    /// The host.
    pub host: String,
    /// What this load draws from, beneath it.
    stream: String,
}

impl PlannedLoad {
    /// The stream of this load on this host for one `purpose`, such as `work`, in the run with `seed`.
    pub fn stream(&self, seed: u64, purpose: &str) -> Random {
        streams::stream(seed, &format!("{}/{purpose}", self.stream))
    }

    /// When an open loop of `rate` per second is due, from `from` until before `until`, both from the start of the world.
    pub fn arrivals(&self, seed: u64, rate: f64, from: Duration, until: Duration) -> Arrivals {
        Arrivals { random: self.stream(seed, "arrivals"), rate, next: from, until }
    }
}

/// Times from the start of the world with exponentially distributed gaps (a Poisson process), drawn as they are asked for:
/// nothing that happens in the run moves them.
#[derive(Clone, Debug)]
pub struct Arrivals {
    random: Random,
    rate: f64,
    next: Duration,
    until: Duration,
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // What is no positive number gives no arrivals, and an infinite rate none either, or there would be no end of them.
        if !self.rate.is_finite() {
            return None;
        }
        let uniform: f64 = self.random.random();
        // 1 - uniform is above zero, so the logarithm is finite.
        let gap = Duration::try_from_secs_f64(-(1.0 - uniform).ln() / self.rate).ok()?;
        self.next = self.next.checked_add(gap).filter(|next| *next < self.until)?;
        Some(self.next)
    }
}

/// Every load on every host that it names, churn aside, in the order of the file.
pub(super) fn draw(scenario: &Scenario, hosts: &[PlannedHost]) -> Vec<PlannedLoad> {
    let names = streams::names("load", &scenario.load);
    scenario
        .load
        .iter()
        .zip(names)
        .enumerate()
        .flat_map(|(entry, (load, name))| {
            let hosts = on(load).map(|text| resolve(hosts, text)).unwrap_or_default();
            hosts.into_iter().map(move |host| PlannedLoad { entry, stream: format!("{name}/{host}"), host })
        })
        .collect()
}

/// The hosts that a load names.
fn on(load: &Load) -> Option<&str> {
    let calls = load.calls.as_ref().map(|calls| calls.from.as_str());
    let publish = load.publish.as_ref().map(|publish| publish.from.as_str());
    let subscribe = load.subscribe.as_ref().map(|subscribe| subscribe.on.as_str());
    let watch = load.watch.as_ref().map(|watch| watch.on.as_str());
    calls.or(publish).or(subscribe).or(watch)
}
