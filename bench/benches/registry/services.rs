//! The services that all contenders register and find.

use std::time::Duration;

use futures_util::future::join_all;
use shaketable_stack::registry::{Node, Service};

/// Longer than any contest: nobody renews while another has his turn.
pub(crate) const TTL: Duration = Duration::from_secs(600);

/// So many registrations of a storm are under way at once.
const LANES: usize = 64;

/// A service with one node.
pub(crate) fn service(name: &str, node: &str, round: u64) -> Service {
    let metadata = [("round".to_owned(), round.to_string())].into();
    let node = Node { id: node.to_owned(), address: "10.0.0.1:8080".to_owned(), metadata };
    Service { name: name.to_owned(), version: "1".to_owned(), nodes: vec![node], ..Service::default() }
}

/// Nodes of one service that were never registered before.
#[derive(Debug)]
pub(crate) struct Fresh {
    name: String,
    made: usize,
}

impl Fresh {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), made: 0 }
    }

    pub(crate) fn take(&mut self, count: usize) -> Vec<Service> {
        let numbers = self.made..self.made + count;
        self.made = numbers.end;
        numbers.map(|number| service(&self.name, &format!("{}-{number}", self.name), 0)).collect()
    }
}

/// Services of one node each, which a list has.
pub(crate) fn listed(name: &str, count: usize) -> Vec<Service> {
    (0..count).map(|number| service(&format!("{name}-{number}"), &format!("{name}-{number}-node"), 0)).collect()
}

/// Does `once` with each: one after the other where there are few, else many at once.
pub(crate) async fn with_each(services: &[Service], storms: bool, once: impl AsyncFn(&Service)) {
    let lanes = if storms { LANES } else { 1 };
    join_all((0..lanes).map(async |lane| {
        for service in services.iter().skip(lane).step_by(lanes) {
            once(service).await;
        }
    }))
    .await;
}

/// The key of its node, as go-micro writes it.
pub(crate) fn key(service: &Service) -> String {
    format!("{}{}", prefix(&service.name), service.nodes[0].id)
}

/// Where the keys of a service begin.
pub(crate) fn prefix(name: &str) -> String {
    format!("/micro/registry/{name}/")
}

/// What its node says of the round.
pub(crate) fn round(service: &Service) -> Option<u64> {
    service.nodes.first()?.metadata.get("round")?.parse().ok()
}
