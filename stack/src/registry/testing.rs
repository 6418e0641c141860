//! What the tests of all registries share: services to register, and the contract that each registry keeps.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Action, DeregisterOptions, Endpoint, Event, GetOptions, ListOptions, Node, RegisterOptions, Registry, Service,
    Services, WatchOptions, Watcher,
};
use crate::{ErrorKind, Result};

/// A service with nodes of these ids.
pub(super) fn service(name: &str, version: &str, nodes: &[&str]) -> Service {
    Service {
        name: name.to_owned(),
        version: version.to_owned(),
        nodes: nodes
            .iter()
            .map(|id| Node { id: (*id).to_owned(), address: "10.0.0.1:80".to_owned(), ..Node::default() })
            .collect(),
        ..Service::default()
    }
}

/// The event of a first registration.
pub(super) fn created(service: Service) -> Event {
    Event { action: Action::Create, service }
}

/// The event of a change.
pub(super) fn updated(service: Service) -> Event {
    Event { action: Action::Update, service }
}

/// The event of a removal.
pub(super) fn deleted(service: Service) -> Event {
    Event { action: Action::Delete, service }
}

pub(super) fn ttl(seconds: u64) -> RegisterOptions {
    RegisterOptions { ttl: Some(Duration::from_secs(seconds)) }
}

pub(super) async fn get(registry: &dyn Registry, name: &str) -> Result<Services> {
    registry.get_service(name, GetOptions::default()).await
}

pub(super) async fn watch(registry: &dyn Registry, service: Option<&str>) -> Arc<dyn Watcher> {
    registry.watch(WatchOptions { service: service.map(str::to_owned) }).await.unwrap()
}

/// What every registry does; it begins and ends without registrations.
pub(super) async fn check(registry: &dyn Registry) {
    unknown_and_wrong(registry).await;
    lifecycle(registry).await;
    versions(registry).await;
    watching(registry).await;
    assert!(registry.list_services(ListOptions::default()).await.unwrap().is_empty());
}

async fn unknown_and_wrong(registry: &dyn Registry) {
    assert_eq!(get(registry, "user").await.unwrap_err().kind(), ErrorKind::NotFound);
    for wrong in [service("", "1", &["a"]), service("user", "1", &[])] {
        let error = registry.register(&wrong, ttl(60)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    registry.deregister(&service("user", "1", &["a"]), DeregisterOptions::default()).await.unwrap();
}

/// Every event of one node's life, and what lookups say in between.
async fn lifecycle(registry: &dyn Registry) {
    let watcher = watch(registry, None).await;
    let first = service("user", "1", &["a"]);
    registry.register(&first, ttl(60)).await.unwrap();
    registry.register(&first, ttl(60)).await.unwrap();
    assert_eq!(&*get(registry, "user").await.unwrap(), std::slice::from_ref(&first));
    let mut current = first.clone();
    let mut changes = vec![created(first)];
    for change in [
        |service: &mut Service| service.version = "2".to_owned(),
        |service: &mut Service| drop(service.metadata.insert("zone".to_owned(), "eu".to_owned())),
        |service: &mut Service| drop(service.nodes[0].metadata.insert("load".to_owned(), "1".to_owned())),
        |service: &mut Service| service.nodes[0].address = "10.0.0.2:80".to_owned(),
        |service: &mut Service| service.endpoints.push(Endpoint { name: "User.Get".to_owned(), ..Endpoint::default() }),
    ] {
        change(&mut current);
        registry.register(&current, ttl(60)).await.unwrap();
        assert_eq!(&*get(registry, "user").await.unwrap(), std::slice::from_ref(&current));
        changes.push(updated(current.clone()));
    }
    registry.deregister(&current, DeregisterOptions::default()).await.unwrap();
    assert_eq!(get(registry, "user").await.unwrap_err().kind(), ErrorKind::NotFound);
    changes.push(deleted(current));
    for change in changes {
        assert_eq!(watcher.next().await.unwrap(), change);
    }
}

async fn versions(registry: &dyn Registry) {
    let (old, new) = (service("user", "1", &["c", "a"]), service("user", "2", &["b"]));
    registry.register(&new, ttl(60)).await.unwrap();
    registry.register(&old, ttl(60)).await.unwrap();
    registry.register(&service("book", "1", &["x"]), RegisterOptions::default()).await.unwrap();
    let sorted = service("user", "1", &["a", "c"]);
    assert_eq!(&*get(registry, "user").await.unwrap(), &[sorted.clone(), new.clone()]);
    assert_eq!(
        &*registry.list_services(ListOptions::default()).await.unwrap(),
        &[service("book", "1", &["x"]), sorted, new.clone()]
    );
    for gone in [old, new, service("book", "1", &["x"])] {
        registry.deregister(&gone, DeregisterOptions::default()).await.unwrap();
    }
}

async fn watching(registry: &dyn Registry) {
    let (users, books) = (watch(registry, Some("user")).await, watch(registry, Some("book")).await);
    let (user, book) = (service("user", "1", &["a"]), service("book", "1", &["x"]));
    for service in [&user, &book] {
        registry.register(service, ttl(60)).await.unwrap();
        registry.deregister(service, DeregisterOptions::default()).await.unwrap();
    }
    for (watcher, service) in [(&users, user), (&books, book)] {
        assert_eq!(watcher.next().await.unwrap(), created(service.clone()));
        assert_eq!(watcher.next().await.unwrap(), deleted(service));
    }
    let (waiting, ()) = tokio::join!(users.next(), async { users.stop() });
    assert_eq!(waiting.unwrap_err().kind(), ErrorKind::WatcherStopped);
    users.stop();
    assert_eq!(users.next().await.unwrap_err().kind(), ErrorKind::WatcherStopped);
}
