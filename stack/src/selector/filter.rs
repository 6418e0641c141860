//! The filters: by version, by endpoint, by label. They are pure functions of what the registry gives, copy what they keep
//! and leave the input alone. As in go-micro's `selector/filter.go`.

use super::{Criterion, Filter};
use crate::registry::{Node, Service};

/// Keeps the services of one version, exactly. go-micro: `FilterVersion`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByVersion {
    version: String,
}

impl ByVersion {
    /// Keeps services of `version`.
    pub fn new(version: &str) -> Self {
        Self { version: version.to_owned() }
    }
}

impl Filter for ByVersion {
    fn apply(&self, services: &[Service]) -> Vec<Service> {
        services.iter().filter(|service| service.version == self.version).cloned().collect()
    }

    fn criterion(&self) -> Option<Criterion<'_>> {
        Some(Criterion::Version(&self.version))
    }
}

/// Keeps the services that have one endpoint. go-micro: `FilterEndpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByEndpoint {
    endpoint: String,
}

impl ByEndpoint {
    /// Keeps services with the endpoint `endpoint` (`Type.Method`).
    pub fn new(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned() }
    }
}

impl Filter for ByEndpoint {
    fn apply(&self, services: &[Service]) -> Vec<Service> {
        let has = |service: &&Service| service.endpoints.iter().any(|endpoint| endpoint.name == self.endpoint);
        services.iter().filter(has).cloned().collect()
    }

    fn criterion(&self) -> Option<Criterion<'_>> {
        Some(Criterion::Endpoint(&self.endpoint))
    }
}

/// Keeps the nodes whose metadata has one value under one key, and drops services that are left without nodes. go-micro:
/// `FilterLabel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByLabel {
    key: String,
    value: String,
}

impl ByLabel {
    /// Keeps nodes whose metadata says `value` under `key`.
    pub fn new(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), value: value.to_owned() }
    }
}

impl Filter for ByLabel {
    fn apply(&self, services: &[Service]) -> Vec<Service> {
        let has = |node: &&Node| node.metadata.get(&self.key) == Some(&self.value);
        services
            .iter()
            .filter_map(|service| {
                let nodes: Vec<Node> = service.nodes.iter().filter(has).cloned().collect();
                (!nodes.is_empty()).then(|| Service {
                    name: service.name.clone(),
                    version: service.version.clone(),
                    metadata: service.metadata.clone(),
                    endpoints: service.endpoints.clone(),
                    nodes,
                })
            })
            .collect()
    }

    fn criterion(&self) -> Option<Criterion<'_>> {
        Some(Criterion::Label { key: &self.key, value: &self.value })
    }
}

#[cfg(test)]
mod tests {
    use super::{ByEndpoint, ByLabel, ByVersion};
    use crate::registry::{Endpoint, Node, Service};
    use crate::selector::Filter;

    /// Version 1 with nodes a (eu) and b (us) and endpoint `User.Get`; version 2 with node c (us).
    fn services() -> Vec<Service> {
        let node = |id: &str, zone: &str| Node {
            id: id.into(),
            address: format!("{id}:80"),
            metadata: [("zone".to_owned(), zone.to_owned())].into(),
        };
        let endpoint = Endpoint { name: "User.Get".into(), ..Endpoint::default() };
        let service = |version: &str, endpoints, nodes| Service {
            name: "user".into(),
            version: version.into(),
            endpoints,
            nodes,
            ..Service::default()
        };
        vec![
            service("1", vec![endpoint], vec![node("a", "eu"), node("b", "us")]),
            service("2", Vec::new(), vec![node("c", "us")]),
        ]
    }

    #[track_caller]
    fn check(filter: &dyn Filter, expected: &[(&str, &[&str])]) {
        let input = services();
        let left = filter.apply(&input);
        let left: Vec<(&str, Vec<&str>)> = left
            .iter()
            .map(|service| (service.version.as_str(), service.nodes.iter().map(|node| node.id.as_str()).collect()))
            .collect();
        let expected: Vec<(&str, Vec<&str>)> = expected.iter().map(|(version, ids)| (*version, ids.to_vec())).collect();
        assert_eq!(left, expected);
        assert_eq!(input, services(), "the input is not touched");
    }

    #[test]
    fn filters_keep_what_matches_and_drop_services_without_nodes() {
        check(&ByVersion::new("2"), &[("2", &["c"])]);
        check(&ByVersion::new("3"), &[]);
        check(&ByEndpoint::new("User.Get"), &[("1", &["a", "b"])]);
        check(&ByLabel::new("zone", "eu"), &[("1", &["a"])]);
        check(&ByLabel::new("zone", "us"), &[("1", &["b"]), ("2", &["c"])]);
        check(&ByLabel::new("zone", "asia"), &[]);
    }
}
