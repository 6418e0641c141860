//! Squalls: again and again a link between two hosts carries nothing for a moment, in neither direction. All that was on it is
//! lost at once, for every connection, which losses of single packets hardly ever do; TCP sends it again. They know no check.

use std::time::Duration;

use rand::Rng;
use shaketable_sim::history::Moment;
use shaketable_sim::plan::stream;
use shaketable_sim::scenario::model::LossGranularity;
use shaketable_sim::world::Fault;
use shaketable_stack::env::Random;

/// How long a squall lasts: less than the 200 ms after which TCP sends again at the earliest, so that what was lost is late
/// once, and by less than a requirement's tolerance.
const LASTING_MS: std::ops::RangeInclusive<u64> = 60..=180;

/// How long a link is as usual between two squalls.
const BETWEEN_MS: std::ops::RangeInclusive<u64> = 1_000..=5_000;

/// The squalls of a world.
pub(super) struct Squalls {
    random: Random,
    links: Vec<Link>,
}

/// A pair of hosts, and when it changes next.
struct Link {
    a: String,
    b: String,
    is_silent: bool,
    changes_at: Moment,
}

impl Squalls {
    /// Squalls between any two of `hosts`.
    pub(super) fn between(hosts: &[String], seed: u64) -> Self {
        let mut random = stream(seed, "squalls");
        let mut links = Vec::new();
        for (index, a) in hosts.iter().enumerate() {
            for b in &hosts[index + 1..] {
                let changes_at = Moment::default() + millis(&mut random, BETWEEN_MS);
                links.push(Link { a: a.clone(), b: b.clone(), is_silent: false, changes_at });
            }
        }
        Self { random, links }
    }

    /// When the next one begins or ends.
    pub(super) fn next_at(&self) -> Option<Moment> {
        self.links.iter().map(|link| link.changes_at).min()
    }

    /// What begins and ends until `now`.
    pub(super) fn due(&mut self, now: Moment) -> Vec<Fault> {
        let mut faults = Vec::new();
        for link in self.links.iter_mut().filter(|link| link.changes_at <= now) {
            link.is_silent = !link.is_silent;
            link.changes_at = now + millis(&mut self.random, if link.is_silent { LASTING_MS } else { BETWEEN_MS });
            // Not a cut, of which a check may do one of its own on the same link.
            faults.push(Fault::Loss {
                a: vec![link.a.clone()],
                b: vec![link.b.clone()],
                probability: if link.is_silent { 1.0 } else { 0.0 },
                granularity: LossGranularity::Packet,
            });
        }
        faults
    }
}

fn millis(random: &mut Random, range: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_millis(random.random_range(range))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shaketable_sim::history::Moment;
    use shaketable_sim::world::Fault;

    use super::Squalls;

    #[test]
    fn every_link_falls_silent_again_and_again_for_less_than_tcp_waits() {
        let hosts = ["home", "second", "etcd"].map(str::to_owned);
        let mut squalls = Squalls::between(&hosts, 7);
        let mut silences = [0; 3];
        let mut began = [None; 3];
        while let Some(now) = squalls.next_at().filter(|at| *at < Moment::after(Duration::from_secs(60))) {
            for fault in squalls.due(now) {
                let Fault::Loss { a, b, probability, .. } = fault else { panic!("{fault:?}") };
                let number = match (a[0].as_str(), b[0].as_str()) {
                    ("home", "second") => 0,
                    ("home", "etcd") => 1,
                    _ => 2,
                };
                if probability > 0.0 {
                    began[number] = Some(now);
                } else {
                    let since: Moment = began[number].take().expect("what ends has begun");
                    assert!(now.since(since) < Duration::from_millis(200));
                    silences[number] += 1;
                }
            }
        }
        assert!(silences.iter().all(|count| (11..=57).contains(count)), "{silences:?}");
    }
}
