//! What checks of registries have in common: services to register, and looks at what is there.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::ErrorKind;
use shaketable_stack::registry::{DeregisterOptions, GetOptions, Node, RegisterOptions, Registry, Service};

use crate::{Finding, Outcome, Site};

/// A service of one node.
pub(super) fn service(name: &str, node: &str) -> Service {
    let node = Node { id: node.to_owned(), address: "10.1.2.3:8080".to_owned(), ..Node::default() };
    Service { name: name.to_owned(), version: "1.0.0".to_owned(), nodes: vec![node], ..Service::default() }
}

/// Registers `service`, for ever or for `ttl`.
pub(super) async fn register(
    site: &Site,
    registry: &Arc<dyn Registry>,
    service: &Service,
    ttl: Option<Duration>,
) -> Outcome {
    let what = format!("register {}", node_ids(std::slice::from_ref(service)).join(", "));
    site.ask(&what, registry.register(service, RegisterOptions { ttl })).await
}

/// Deregisters `service`.
pub(super) async fn deregister(site: &Site, registry: &Arc<dyn Registry>, service: &Service) -> Outcome {
    let what = format!("deregister {}", node_ids(std::slice::from_ref(service)).join(", "));
    site.ask(&what, registry.deregister(service, DeregisterOptions::default())).await
}

/// The ids of the nodes that `registry` knows of `name`, in order; none when it knows none.
///
/// # Errors
/// Any failure but `NotFound`.
pub(super) async fn found(site: &Site, registry: &Arc<dyn Registry>, name: &str) -> Result<Vec<String>, Finding> {
    match site.ends(&format!("get {name}"), registry.get_service(name, GetOptions::default())).await? {
        Ok(services) => Ok(node_ids(&services)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Finding::violated(format!("'get {name}' to answer"), format!("the error `{error}`"))),
    }
}

/// The ids of all nodes of `services`, in order.
pub(super) fn node_ids(services: &[Service]) -> Vec<String> {
    let mut ids: Vec<String> = services.iter().flat_map(|service| &service.nodes).map(|node| node.id.clone()).collect();
    ids.sort();
    ids
}
