//! Deregistering: what is named goes, at once and for good, and nothing else does.

use shaketable_stack::registry::Service;

use super::tools::{
    deregister, excused, finds, finds_nodes, found, of_nodes, put, register, renewed_ttl, revised, service,
};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Host, Need, Outcome, Requirement, Site, expect};
use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::GetOptions;

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-028",
        level: Must,
        sentence: "A node that was deregistered is not found any more.",
        source: "go-micro pull request 1911: etcd Deregister skipped",
        needs: &[],
        check: check!(a_deregistered_node_is_gone),
    },
    Requirement {
        id: "REG-029",
        level: Must,
        sentence: "Deregistering one node of a service leaves the others.",
        source: "go-micro registry/memory.go: Deregister removes the nodes that are given, by id",
        needs: &[],
        check: check!(the_other_nodes_stay),
    },
    Requirement {
        id: "REG-030",
        level: Must,
        sentence: "All nodes that are given to be deregistered go, not the first alone.",
        source: "go-micro registry/consul/consul.go: Deregister takes Nodes[0]",
        needs: &[],
        check: check!(every_node_that_is_given_goes),
    },
    Requirement {
        id: "REG-031",
        level: Must,
        sentence: "Deregistering what nobody registered is no error, and touches nothing.",
        source: "go-micro registry/memory.go: Deregister of an unknown service returns nil",
        needs: &[],
        check: check!(deregistering_the_unknown_is_no_error),
    },
    Requirement {
        id: "REG-032",
        level: Must,
        sentence: "Deregistering a node a second time is no error.",
        source: "go-micro pull request 1771: mdns Deregister panics on an index",
        needs: &[],
        check: check!(deregistering_twice_is_no_error),
    },
    Requirement {
        id: "REG-033",
        level: Must,
        sentence: "A node can be deregistered by another client than the one that registered it and is gone.",
        source: "go-micro issue 194: a deregistration sent to another consul agent does nothing; pull request 1911",
        needs: &[Need::Upheld(&["REG-031"])],
        check: check!(another_client_can_deregister),
    },
    Requirement {
        id: "REG-034",
        level: Must,
        sentence: "A node that was deregistered and is registered again, unchanged, is found again.",
        source: "micro-in-cn questions issue 5: a hash that still matches keeps a key from being written again",
        needs: &[],
        check: check!(a_deregistered_node_can_come_back),
    },
    Requirement {
        id: "REG-035",
        level: Must,
        sentence: "A node is deregistered by its id, whatever address, metadata and version are given with it.",
        source: "go-micro registry/etcd/etcd.go: Deregister deletes by name and id alone; registry/memory.go looks \
                 under the given version only",
        needs: &[],
        check: check!(the_id_decides_what_goes),
    },
    Requirement {
        id: "REG-036",
        level: Must,
        sentence: "A node that was deregistered stays away, although it had a TTL and was renewed.",
        source: "go-micro registry/etcd/etcd.go: Deregister stops the keep-alive of the lease, too",
        needs: &[Need::Has(Ability::Ttl)],
        check: check!(renewal_ends_with_the_registration),
    },
    Requirement {
        id: "REG-126",
        level: Must,
        sentence: "A service of which the last node was deregistered is answered with NotFound, as one that nobody \
            registered.",
        source: "go-micro registry/memory.go (v6): leaves a service with zero nodes behind; go-kratos's zookeeper an \
            empty list",
        needs: &[Need::Upheld(&["REG-002"])],
        check: check!(a_service_that_is_gone_is_not_found),
    },
];

async fn a_deregistered_node_is_gone(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    deregister(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, &[]).await
}

async fn the_other_nodes_stay(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    put(&site, &registry, &of_nodes(&name, "1.0.0", &["user-1", "user-2", "user-3"])).await?;
    put(&site, &registry, &of_nodes(&name, "2.0.0", &["user-4"])).await?;
    finds_nodes(&site, &registry, &name, &["user-1", "user-2", "user-3", "user-4"]).await?;
    deregister(&site, &registry, &of_nodes(&name, "1.0.0", &["user-2"])).await?;
    finds_nodes(&site, &registry, &name, &["user-1", "user-3", "user-4"]).await
}

async fn every_node_that_is_given_goes(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    put(&site, &registry, &of_nodes(&name, "1.0.0", &["user-1", "user-2", "user-3", "user-4"])).await?;
    finds_nodes(&site, &registry, &name, &["user-1", "user-2", "user-3", "user-4"]).await?;
    deregister(&site, &registry, &of_nodes(&name, "1.0.0", &["user-1", "user-2", "user-4"])).await?;
    finds_nodes(&site, &registry, &name, &["user-3"]).await
}

async fn deregistering_the_unknown_is_no_error(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    deregister(&site, &registry, &user).await?;
    put(&site, &registry, &user).await?;
    deregister(&site, &registry, &service(&user.name, "user-2")).await?;
    deregister(&site, &registry, &service(&site.name("nobody"), "user-1")).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await
}

async fn deregistering_twice_is_no_error(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = of_nodes(&site.name("user"), "1.0.0", &["user-1", "user-2"]);
    put(&site, &registry, &user).await?;
    deregister(&site, &registry, &user).await?;
    deregister(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, &[]).await
}

async fn another_client_can_deregister(site: Site) -> Outcome {
    let (registry, other) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let user = of_nodes(&site.name("user"), "1.0.0", &["user-1", "user-2"]);
    put(&site, &other, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    // An owner that lives may restore what others remove; one that is closed leaves it to them.
    site.ask("close the owner's registry", other.close()).await?;
    let one = Service { nodes: user.nodes[..1].to_vec(), ..user.clone() };
    deregister(&site, &registry, &one).await?;
    let newcomer = site.registry().await?;
    deregister(&site, &newcomer, &user).await?;
    finds(&site, &newcomer, &user.name, &[]).await?;
    finds(&site, &registry, &user.name, &[]).await
}

async fn a_deregistered_node_can_come_back(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    for _ in 0..3 {
        put(&site, &registry, &user).await?;
        finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
        deregister(&site, &registry, &user).await?;
        finds(&site, &registry, &user.name, &[]).await?;
    }
    Ok(())
}

async fn the_id_decides_what_goes(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = revised(&of_nodes(&site.name("user"), "1.0.0", &["user-1", "user-2"]), 1);
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    let mut other = service(&user.name, "user-1");
    other.nodes[0].address = "10.8.8.8:88".to_owned();
    deregister(&site, &registry, &other).await?;
    finds_nodes(&site, &registry, &user.name, &["user-2"]).await?;
    let mut last = of_nodes(&user.name, "9.9.9", &["user-2"]);
    last.nodes[0].address = String::new();
    deregister(&site, &registry, &last).await?;
    finds(&site, &registry, &user.name, &[]).await
}

async fn renewal_ends_with_the_registration(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let (user, ttl) = (service(&site.name("user"), "user-1"), renewed_ttl(&site));
    for _ in 0..3 {
        register(&site, &registry, &user, Some(ttl)).await?;
        site.let_pass(ttl / 3).await;
    }
    deregister(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, &[]).await?;
    for _ in 0..9 {
        site.let_pass(ttl / 3).await;
        let ids = found(&site, &registry, &user.name).await?;
        expect(ids.is_empty(), "what was deregistered to stay away", || format!("{ids:?} came back"))?;
    }
    Ok(())
}

async fn a_service_that_is_gone_is_not_found(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    deregister(&site, &registry, &user).await?;
    let probe = || async {
        match registry.get_service(&user.name, GetOptions::default()).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Ok(())),
            Err(error) => excused(&site, "get user", Err(error)),
            Ok(services) => Err(format!("it succeeded: {services:?}")),
        }
    };
    let limit = super::tools::settling(&site);
    site.eventually("a lookup of a service that is gone to fail with NotFound", limit, probe).await?
}
