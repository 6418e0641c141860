//! The hosts of a run and the names that a scenario uses for them.

use serde::{Deserialize, Serialize};

use crate::oracle::HostKind;
use crate::scenario::model::Scenario;

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedHost {
    /// Its name: `<group>-<replica>`; that of a backend with one member is its kind, such as `etcd`.
    pub name: String,
    /// The service, the group of clients or the kind of backend that it belongs to.
    pub group: String,
    /// What it is there for.
    pub kind: HostKind,
    /// Its number in the group, from 1.
    pub replica: u32,
}

/// Every host of `scenario`: services, then clients, each in the order of their names, then `backends`.
pub(super) fn all(scenario: &Scenario, backends: &[String]) -> Vec<PlannedHost> {
    let services = scenario.services.iter().map(|(name, service)| (name, service.replicas, HostKind::Service));
    let clients = scenario.clients.iter().map(|(name, clients)| (name, clients.count, HostKind::Client));
    let members = services.chain(clients).flat_map(|(group, count, kind)| {
        (1..=count).map(move |replica| PlannedHost {
            name: format!("{group}-{replica}"),
            group: group.clone(),
            kind,
            replica,
        })
    });
    let backends = backends.iter().flat_map(|backend| {
        let count = scenario.members_of(backend);
        (1..=count).map(move |replica| PlannedHost {
            name: if count == 1 { backend.clone() } else { format!("{backend}-{replica}") },
            group: backend.clone(),
            kind: HostKind::Backend,
            replica,
        })
    });
    members.chain(backends).collect()
}

/// The words of a text that names hosts or groups, separated by commas.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// The names of the hosts that `text` means, each once, in the order of `hosts`. A word that means none is a backend which
/// this run does not have: `check` has refused every other one.
pub fn resolve(hosts: &[PlannedHost], text: &str) -> Vec<String> {
    hosts
        .iter()
        .filter(|host| words(text).any(|word| word == host.name || word == host.group))
        .map(|host| host.name.clone())
        .collect()
}
