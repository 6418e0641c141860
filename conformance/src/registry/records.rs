//! Records: what is registered is found, as it was registered, and nothing else is.

use shaketable_stack::ErrorKind;
use shaketable_stack::registry::GetOptions;

use super::tools::{deregister, found, register, service};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Outcome, Requirement, Site, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-001",
        level: Must,
        sentence: "A service that was registered is found by its name.",
        source: "go-micro registry/registry.go: Register, GetService",
        needs: &[],
        check: check!(a_registered_service_is_found),
    },
    Requirement {
        id: "REG-002",
        level: Must,
        sentence: "A service that nobody registered is answered with NotFound.",
        source: "go-micro registry/registry.go: ErrNotFound; mdns, consul and nats answer an empty list instead",
        needs: &[],
        check: check!(an_unknown_service_is_not_found),
    },
    Requirement {
        id: "REG-003",
        level: Must,
        sentence: "A node that was deregistered is not found any more.",
        source: "go-micro pull request 1911: etcd Deregister skipped",
        needs: &[],
        check: check!(a_deregistered_node_is_gone),
    },
];

async fn a_registered_service_is_found(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    register(&site, &registry, &user, None).await?;
    let found = site.ask("get user", registry.get_service(&user.name, GetOptions::default())).await?;
    expect_equal("what is found", &found.to_vec(), &vec![user])
}

async fn an_unknown_service_is_not_found(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("nobody");
    let get = registry.get_service(&name, GetOptions::default());
    site.refused("get a service that nobody registered", &[ErrorKind::NotFound], get).await.map(drop)
}

async fn a_deregistered_node_is_gone(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    register(&site, &registry, &user, None).await?;
    deregister(&site, &registry, &user).await?;
    expect_equal("the nodes that are found", &found(&site, &registry, &user.name).await?, &Vec::<String>::new())
}
