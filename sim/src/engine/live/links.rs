//! What is done to the links between the hosts of a live world, as data. TCP sends again what a cut has kept from arriving, so
//! to a connection a cut is a hold: what was sent arrives when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::toxic::{Placed, Toxic, Weather};

/// From whom to whom.
type Link = (String, String);

/// What differs from a link at which nothing was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    cuts: BTreeSet<Link>,
    holds: BTreeSet<Link>,
    latencies: BTreeMap<Link, Duration>,
    /// The toxics on connections, in the order in which they came.
    toxics: BTreeMap<Link, Arc<[Arc<Placed>]>>,
    /// How many toxics there were.
    placed: u64,
    /// Where nobody is accepted.
    downs: BTreeSet<Link>,
    /// How often connections were reset.
    resets: BTreeMap<Link, u64>,
    /// Hosts that have died without a sign, where it is not their own sockets that keep silent.
    silent: BTreeSet<String>,
    /// How often such a host has come up again.
    revivals: BTreeMap<String, u64>,
}

impl Links {
    /// Cuts every link from one of `from` to one of `to`, or heals them.
    pub(super) fn cut(&mut self, from: &[String], to: &[String], cut: bool) {
        pairs(from, to).for_each(|link| put(&mut self.cuts, link, cut));
    }

    /// Keeps what is under way in both directions, or lets it go.
    pub(super) fn hold(&mut self, a: &[String], b: &[String], hold: bool) {
        pairs(a, b).chain(pairs(b, a)).for_each(|link| put(&mut self.holds, link, hold));
    }

    /// Lets everything take that long in both directions; none is no longer than the machine takes.
    pub(super) fn slow(&mut self, a: &[String], b: &[String], latency: Option<Duration>) {
        for link in pairs(a, b).chain(pairs(b, a)) {
            match latency {
                Some(latency) => self.latencies.insert(link, latency),
                None => self.latencies.remove(&link),
            };
        }
    }

    /// Resets the connections that there are.
    pub(super) fn reset(&mut self, a: &[String], b: &[String]) {
        for link in pairs(a, b).chain(pairs(b, a)) {
            *self.resets.entry(link).or_default() += 1;
        }
    }

    /// Puts a toxic on the connections, whoever has made them; one that is there already is there once.
    pub(super) fn poison(&mut self, a: &[String], b: &[String], toxic: &Toxic) {
        self.placed += 1;
        let placed = Arc::new(Placed { id: self.placed, revision: self.placed, toxic: toxic.clone() });
        for link in pairs(a, b).chain(pairs(b, a)) {
            let before = self.toxics.remove(&link).unwrap_or_default();
            let is_new = !before.iter().any(|placed| is_same(&placed.toxic, toxic));
            self.toxics.insert(link, before.iter().cloned().chain(is_new.then(|| placed.clone())).collect());
        }
    }

    /// Takes it away.
    pub(super) fn cure(&mut self, a: &[String], b: &[String], toxic: &Toxic) {
        for link in pairs(a, b).chain(pairs(b, a)) {
            let before = self.toxics.remove(&link).unwrap_or_default();
            self.toxics.insert(link, before.iter().filter(|placed| !is_same(&placed.toxic, toxic)).cloned().collect());
        }
    }

    /// Closes the connections, and accepts nobody; or accepts again.
    pub(super) fn down(&mut self, a: &[String], b: &[String], down: bool) {
        pairs(a, b).chain(pairs(b, a)).for_each(|link| put(&mut self.downs, link, down));
    }

    /// Lets a host die without a sign: nothing passes from or to it.
    pub(super) fn silence(&mut self, host: &str) {
        self.silent.insert(host.to_owned());
    }

    /// It comes up again, and answers what it knows nothing of with a reset.
    pub(super) fn revive(&mut self, host: &str) {
        if self.silent.remove(host) {
            *self.revivals.entry(host.to_owned()).or_default() += 1;
        }
    }

    /// Undoes everything that lasts.
    pub(super) fn mend(&mut self) {
        self.cuts.clear();
        self.holds.clear();
        self.latencies.clear();
        self.toxics.clear();
        self.downs.clear();
    }

    /// Whether something that is sent arrives now.
    pub(super) fn passes(&self, link: &Link) -> bool {
        let is_silent = self.silent.contains(&link.0) || self.silent.contains(&link.1);
        !is_silent && !self.cuts.contains(link) && !self.holds.contains(link)
    }

    /// Whether what is sent is lost, rather than kept.
    pub(super) fn loses(&self, link: &Link) -> bool {
        self.cuts.contains(link)
    }

    /// How much longer than the machine it takes.
    pub(super) fn latency(&self, link: &Link) -> Duration {
        self.latencies.get(link).copied().unwrap_or_default()
    }

    /// What becomes of what is sent on it now.
    pub(super) fn weather(&self, link: &Link) -> Weather {
        let toxics = self.toxics.get(link).cloned().unwrap_or_default();
        Weather { passes: self.passes(link), delay: self.latency(link), toxics }
    }

    /// Whether nobody is accepted who comes by it.
    pub(super) fn is_down(&self, link: &Link) -> bool {
        self.downs.contains(link)
    }

    /// How often its connections were reset.
    pub(super) fn resets(&self, link: &Link) -> u64 {
        let of = |host: &String| self.revivals.get(host).copied().unwrap_or_default();
        self.resets.get(link).copied().unwrap_or_default() + of(&link.0) + of(&link.1)
    }
}

/// The same fault, and not only one that does the same.
fn is_same(one: &Toxic, other: &Toxic) -> bool {
    (one.name(), one.direction()) == (other.name(), other.direction())
}

fn pairs<'a>(from: &'a [String], to: &'a [String]) -> impl Iterator<Item = Link> + 'a {
    from.iter().flat_map(move |from| to.iter().map(move |to| (from.clone(), to.clone())))
}

fn put(links: &mut BTreeSet<Link>, link: Link, there: bool) {
    if there {
        links.insert(link);
    } else {
        links.remove(&link);
    }
}
