//! The list of all services.

use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::{ListOptions, Service};

use super::tools::{deregister, excused, finds, in_order, lists, of_nodes, patiently, put, service, settling, summary};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Need, Outcome, Requirement, Site};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-025",
        level: Must,
        sentence: "The list holds every service that is registered, however many there are.",
        source: "go-micro registry/registry.go: ListServices",
        needs: &[Need::Has(Ability::List)],
        check: check!(every_service_is_listed),
    },
    Requirement {
        id: "REG-026",
        level: Should,
        sentence: "The list holds one value per name and version, with its nodes.",
        source: "go-micro registry/etcd/etcd.go: ListServices keys by name and version; consul and mdns list names \
            only",
        needs: &[Need::Has(Ability::List)],
        check: check!(the_list_holds_versions_and_nodes),
    },
    Requirement {
        id: "REG-027",
        level: Must,
        sentence: "A service of which the last node was deregistered is listed no more.",
        source: "go-micro registry/memory.go: Deregister drops a service with its last node",
        needs: &[Need::Has(Ability::List)],
        check: check!(a_service_without_nodes_is_not_listed),
    },
    Requirement {
        id: "REG-124",
        level: Must,
        sentence: "A registry that cannot list its services refuses to with Unsupported.",
        source: "decision of shaketable: an empty list passes for a world without services; go-kratos's \
            registry.Discovery has none",
        needs: &[Need::Lacks(Ability::List)],
        check: check!(a_list_that_does_not_exist_is_refused),
    },
];

async fn every_service_is_listed(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let count = if site.is_simulated() { 150 } else { 60 };
    let names: Vec<String> = (0..count).map(|number| site.name(&format!("service-{number:03}"))).collect();
    for name in &names {
        put(&site, &registry, &service(name, &format!("{name}-1"))).await?;
    }
    lists(&site, &registry, &names).await
}

async fn the_list_holds_versions_and_nodes(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let services: Vec<Service> = vec![
        // Two whose names and versions are alike where they are joined.
        of_nodes(&site.name("mail"), "11.0.0", &["mail-1"]),
        of_nodes(&site.name("mail1"), "1.0.0", &["mail-2"]),
        of_nodes(&site.name("order"), "1.0.0", &["order-1"]),
        of_nodes(&site.name("user"), "1.0.0", &["user-1", "user-2"]),
        of_nodes(&site.name("user"), "2.0.0", &["user-3"]),
    ];
    for service in &services {
        put(&site, &registry, service).await?;
    }
    let probe = || async {
        let listed = patiently(&site, || registry.list_services(ListOptions::default())).await;
        let listed = match excused(&site, "list", listed)? {
            Ok(listed) => listed,
            Err(finding) => return Ok(Err(finding)),
        };
        let own: Vec<Service> = listed.iter().filter(|service| site.is_own(&service.name)).cloned().collect();
        let own = in_order(&own);
        if own == services { Ok(Ok(())) } else { Err(summary(&own)) }
    };
    site.eventually(&format!("the list to hold {}", summary(&services)), settling(&site), probe).await?
}

async fn a_service_without_nodes_is_not_listed(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let (stays, goes) = (service(&site.name("order"), "order-1"), service(&site.name("user"), "user-1"));
    put(&site, &registry, &stays).await?;
    put(&site, &registry, &goes).await?;
    lists(&site, &registry, &[stays.name.clone(), goes.name.clone()]).await?;
    deregister(&site, &registry, &goes).await?;
    lists(&site, &registry, std::slice::from_ref(&stays.name)).await?;
    finds(&site, &registry, &stays.name, std::slice::from_ref(&stays)).await
}

async fn a_list_that_does_not_exist_is_refused(site: Site) -> Outcome {
    let registry = site.registry().await?;
    put(&site, &registry, &service(&site.name("user"), "user-1")).await?;
    let list = registry.list_services(ListOptions::default());
    site.refused("list", &[ErrorKind::Unsupported], list).await.map(drop)
}
