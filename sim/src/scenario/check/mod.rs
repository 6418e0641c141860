//! What is wrong with a scenario that parses: names that nothing has, times that never come, faults that an engine cannot
//! do, expectations that nothing can prove. Knows plugins and engines as data only.

mod backends;
mod expect;
mod faults;
mod hosts;
mod live;
mod load;
mod own;
#[cfg(test)]
mod own_tests;
mod plugins;
#[cfg(test)]
pub(super) mod tests;
mod toxics;

use std::collections::BTreeSet;
use std::time::Duration;

use shaketable_stack::plugin::{Plugins, nearest};

use super::duration;
use super::model::Scenario;
use super::problem::{Place, Problems};
use super::tree::{self, Node};
use crate::engine::live::NAME as LIVE;
use crate::engine::{self, EngineInfo, NAMES};
use crate::plan::words;

/// Checks `scenario`, which is what [`parse`](super::parse) made of `text`; the world will be carried by `engine`, one of
/// `engines`, or by the one that the scenario needs.
pub fn check(
    file: &str,
    text: &str,
    scenario: &Scenario,
    plugins: &Plugins,
    engine: &EngineInfo,
    engines: &[EngineInfo],
) -> Problems {
    let tree = match tree::read(file, text) {
        Ok(tree) => tree,
        Err(problems) => return problems,
    };
    let problems = Problems::none(file, text);
    let needed = |name: &str| engines.iter().find(|engine| engine.name == name);
    // What a file needs is said of engines that simulate.
    let needs = scenario.needs.as_ref().filter(|_| !engine.is_live);
    let live = engine::live::info();
    let needed = |name: &str| if name == LIVE { Some(&live) } else { needed(name) };
    let engine = needs.and_then(|needs| needed(&needs.engine)).unwrap_or(engine);
    let mut checker = Checker { scenario, plugins, engine, engines, tree, problems, backends: BTreeSet::new() };
    checker.needs();
    checker.live();
    checker.plugins();
    checker.backends();
    checker.hosts();
    checker.own_services();
    checker.loads();
    checker.faults();
    checker.expectations();
    checker.problems.sort();
    checker.problems
}

struct Checker<'a> {
    scenario: &'a Scenario,
    plugins: &'a Plugins,
    engine: &'a EngineInfo,
    engines: &'a [EngineInfo],
    tree: Node,
    problems: Problems,
    /// The kinds of backend that the plugins of some case need.
    backends: BTreeSet<&'static str>,
}

impl Checker<'_> {
    fn needs(&mut self) {
        let Some(needs) = &self.scenario.needs else { return };
        let names = NAMES.into_iter().chain([LIVE]);
        if !names.clone().any(|name| name == needs.engine) {
            let message = format!("no engine is called '{}'", needs.engine);
            self.error("needs.engine", message, mend(&needs.engine, names));
        }
        if needs.because.trim().is_empty() {
            let mend = "say what other engines cannot do, for those who read that the file is left out".to_owned();
            self.error("needs.because", "a need without a reason", mend);
        }
    }

    /// Where `path` stands; what the file leaves to its default is shown at what holds it.
    fn place(&self, path: &str) -> Place {
        match self.tree.nearest(path) {
            (Some(key), node) if node.is_collection() => key.place.clone(),
            (_, node) => node.place.clone(),
        }
    }

    /// Where the last key of `path` stands.
    fn key(&self, path: &str) -> Place {
        let (key, node) = self.tree.nearest(path);
        key.map_or_else(|| node.place.clone(), |key| key.place.clone())
    }

    fn error(&mut self, path: &str, message: impl Into<String>, mend: impl Into<Option<String>>) {
        let place = self.place(path);
        self.problems.error(&place, message, mend);
    }

    fn warning(&mut self, path: &str, message: impl Into<String>, mend: impl Into<Option<String>>) {
        let place = self.place(path);
        self.problems.warning(&place, message, mend);
    }

    /// Refuses a time span of zero.
    fn some_time(&mut self, path: &str, time: Duration) {
        if time.is_zero() {
            self.error(path, "a time span of zero", "write it as 500ms, 30s or 1m30s".to_owned());
        }
    }

    /// Refuses what is no probability.
    fn share(&mut self, path: &str, share: f64) {
        if !(0.0..=1.0).contains(&share) {
            self.error(path, format!("{share} is not between 0 and 1"), None);
        }
    }

    /// Refuses a service that there is none.
    fn service(&mut self, path: &str, name: &str) {
        if !self.scenario.services.contains_key(name) {
            let mend = mend(name, self.scenario.services.keys().map(String::as_str));
            self.error(path, format!("no service is called '{name}'"), mend);
        }
    }

    /// Refuses words that are neither hosts nor groups; backends only where `backends` may stand. How many hosts they mean.
    fn members(&mut self, path: &str, text: &str, backends: bool) -> u64 {
        self.members_or(path, text, backends, false)
    }

    /// The same, where members of a cluster may stand for hosts.
    fn members_or(&mut self, path: &str, text: &str, backends: bool, clustered: bool) -> u64 {
        if words(text).next().is_none() {
            self.error(path, "no host is named", None);
        }
        let mut count = 0;
        for word in words(text) {
            if let Some(members) = self.member(word) {
                count += members;
            } else if let Some(members) =
                self.backend_members(word).filter(|_| backends || clustered && self.is_clustered(word))
            {
                count += members;
            } else {
                self.unknown_member(path, word, backends);
            }
        }
        count
    }

    fn unknown_member(&mut self, path: &str, word: &str, backends: bool) {
        if self.known_backends().contains(word) || self.backend_members(word).is_some() {
            let (message, mend) = if backends {
                let mend = format!("choose a plugin that needs it, as in 'registry: {word}'");
                (format!("no plugin of this scenario needs the backend '{word}'"), Some(mend))
            } else {
                (format!("'{word}' is a backend; it can do no load and no call"), None)
            };
            return self.error(path, message, mend);
        }
        let scenario = self.scenario;
        let mut names: Vec<String> = scenario.services.keys().chain(scenario.clients.keys()).cloned().collect();
        if backends {
            names.extend(self.backends.iter().map(|backend| (*backend).to_owned()));
        }
        // A number that is too high is no slip of the pen: the group is right, and its size is the mend.
        let mend = match word.rsplit_once('-').and_then(|(group, number)| Some((group, number.parse::<u32>().ok()?))) {
            Some((group, _)) if self.size(group).is_some_and(|size| size > 0) => {
                Some(format!("there are {group}-1 to {group}-{}", self.size(group).unwrap_or_default()))
            }
            Some((group, _)) if backends && self.is_clustered(group) => {
                Some(format!("there are {group}-1 to {group}-{}", self.scenario.members_of(group)))
            }
            _ => mend(word, names.iter().map(String::as_str)),
        };
        self.error(path, format!("no host and no group is called '{word}'"), mend);
    }

    /// How many hosts a word means.
    fn member(&self, word: &str) -> Option<u64> {
        if let Some(size) = self.size(word) {
            return Some(u64::from(size));
        }
        let (group, number) = word.rsplit_once('-')?;
        let replica: u32 = number.parse().ok()?;
        let known = (1..=self.size(group)?).contains(&replica) && !number.starts_with(['0', '+']);
        known.then_some(1)
    }

    /// How many hosts the group `name` has.
    fn size(&self, name: &str) -> Option<u32> {
        let service = self.scenario.services.get(name).map(|service| service.replicas);
        service.or_else(|| self.scenario.clients.get(name).map(|clients| clients.count))
    }
}

/// `did you mean …?`, or what there is.
fn mend<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(nearest) = nearest(name, known.clone()) {
        return Some(format!("did you mean '{nearest}'?"));
    }
    let all: Vec<_> = known.collect();
    (!all.is_empty()).then(|| format!("there are: {}", all.join(", ")))
}

/// A time span as people write it.
fn shown(time: Duration) -> String {
    duration::print(time)
}
