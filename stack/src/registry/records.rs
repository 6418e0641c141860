//! What all registries do alike with records, which are services of exactly one node: check them, take services apart into
//! them, and put them together into answers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Service, Services};
use crate::{Error, ErrorKind, Result};

/// Refuses what cannot be registered.
///
/// # Errors
/// `InvalidInput` for a service without name or nodes, a node without id, a TTL of zero.
pub(super) fn check_registration(service: &Service, ttl: Option<Duration>) -> Result<()> {
    let invalid = |why: &str| {
        Err(Error::new(ErrorKind::InvalidInput, "register").detail(why).with("service", service.name.clone()))
    };
    if service.name.is_empty() {
        return invalid("the service has no name");
    }
    if service.nodes.is_empty() {
        return invalid("the service has no nodes");
    }
    if service.nodes.iter().any(|node| node.id.is_empty()) {
        return invalid("a node has no id");
    }
    if ttl.is_some_and(|ttl| ttl.is_zero()) {
        return invalid("a TTL of zero would be over at once");
    }
    Ok(())
}

/// Refuses to speak in the clear where encryption was asked for.
///
/// # Errors
/// `Unsupported` when `secure` is set.
pub(super) fn check_secure(secure: bool, operation: &'static str) -> Result<()> {
    if secure {
        return Err(Error::new(ErrorKind::Unsupported, operation).detail("no registry encrypts yet"));
    }
    Ok(())
}

/// One record per node, in the order of ids; of two nodes with one id the last counts.
pub(super) fn split(service: &Service) -> impl Iterator<Item = Service> {
    let nodes: BTreeMap<_, _> = service.nodes.iter().map(|node| (&node.id, node)).collect();
    nodes.into_values().map(|node| Service { nodes: vec![node.clone()], ..without_nodes(service) })
}

/// One service per name and version, in that order, with nodes in the order in which they come; metadata and endpoints are
/// those of the first.
pub(super) fn group<'a>(records: impl Iterator<Item = &'a Service>) -> Services {
    let mut services: BTreeMap<(&str, &str), Service> = BTreeMap::new();
    for record in records {
        services
            .entry((&record.name, &record.version))
            .or_insert_with(|| without_nodes(record))
            .nodes
            .extend(record.nodes.iter().cloned());
    }
    services.into_values().collect()
}

/// The error for an unknown service.
pub(super) fn not_found(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, "get service").with("service", name)
}

/// The error for a registry that was closed.
pub(super) fn closed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, operation).detail("the registry was closed")
}

fn without_nodes(service: &Service) -> Service {
    Service {
        name: service.name.clone(),
        version: service.version.clone(),
        metadata: service.metadata.clone(),
        endpoints: service.endpoints.clone(),
        nodes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{check_registration, group, split};
    use crate::ErrorKind;
    use crate::registry::Service;
    use crate::registry::testing::service;

    #[test]
    fn a_service_taken_apart_and_put_together_is_the_same() {
        let whole = service("user", "1", &["a", "b", "c"]);
        let records: Vec<_> = split(&whole).collect();
        assert_eq!(records.len(), 3);
        assert_eq!(&*group(records.iter()), &[whole]);
    }

    #[test]
    fn versions_come_in_order_and_nodes_of_one_version_are_merged() {
        let records = [service("user", "2", &["a"]), service("user", "1", &["b"]), service("user", "2", &["c"])];
        assert_eq!(&*group(records.iter()), &[service("user", "1", &["b"]), service("user", "2", &["a", "c"])]);
    }

    #[test]
    fn what_cannot_be_registered_is_refused() {
        let refused = |service: &Service, ttl| check_registration(service, ttl).unwrap_err().kind();
        let ttl = Some(Duration::from_secs(1));
        assert_eq!(refused(&service("", "1", &["a"]), ttl), ErrorKind::InvalidInput);
        assert_eq!(refused(&service("user", "1", &[]), ttl), ErrorKind::InvalidInput);
        assert_eq!(refused(&service("user", "1", &[""]), ttl), ErrorKind::InvalidInput);
        assert_eq!(refused(&service("user", "1", &["a"]), Some(Duration::ZERO)), ErrorKind::InvalidInput);
        check_registration(&service("user", "1", &["a"]), None).unwrap();
    }
}
