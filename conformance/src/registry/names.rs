//! Names: of any script and with any separator, told apart, and refused where they are missing.

use shaketable_stack::ErrorKind;
use shaketable_stack::registry::{GetOptions, RegisterOptions, Service};

use super::tools::{REFUSALS, deregister, finds, finds_nodes, look, of_nodes, put, service};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Finding, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-014",
        level: Must,
        sentence: "A service and a node may have names in any script.",
        source: "decision of shaketable: names are text, and nothing in go-micro's registry/registry.go narrows them",
        needs: &[],
        check: check!(names_may_be_in_any_script),
    },
    Requirement {
        id: "REG-015",
        level: Must,
        sentence: "Services whose names contain slashes, dots, colons, spaces or percent signs are each found by \
            their own name.",
        source: "go-micro registry/etcd/etcd.go: nodePath and servicePath replace slashes",
        needs: &[],
        check: check!(names_with_separators_stay_apart),
    },
    Requirement {
        id: "REG-016",
        level: Must,
        sentence: "A lookup does not find services whose names only begin, or end, with the name that is asked for.",
        source: "go-micro registry/etcd/etcd.go: GetService asks for the prefix with a slash at its end, so that no \
                 longer name matches",
        needs: &[],
        check: check!(a_name_is_no_prefix),
    },
    Requirement {
        id: "REG-017",
        level: Must,
        sentence: "Nodes of different services may have the same id.",
        source: "go-micro registry/registry.go: Node.Id belongs to a service; registry/etcd/etcd.go keys leases by \
            both",
        needs: &[],
        check: check!(services_may_share_node_ids),
    },
    Requirement {
        id: "REG-018",
        level: Must,
        sentence: "A name of a thousand characters is kept whole or refused, never shortened.",
        source: "RFC 6763 section 4.1.1: DNS-SD labels end at 63 bytes; go-micro registry/mdns_registry.go",
        needs: &[],
        check: check!(a_long_name_is_kept_whole_or_refused),
    },
    Requirement {
        id: "REG-019",
        level: Must,
        sentence: "A service without nodes is refused.",
        source: "go-micro registry/etcd/etcd.go: \"Require at least one node\"; memory, mdns and nats accept it \
            silently",
        needs: &[],
        check: check!(a_service_without_nodes_is_refused),
    },
    Requirement {
        id: "REG-020",
        level: Must,
        sentence: "A service without a name is refused.",
        source: "decision of shaketable: nobody could look it up",
        needs: &[],
        check: check!(a_service_without_name_is_refused),
    },
    Requirement {
        id: "REG-021",
        level: Should,
        sentence: "A service with a node without an id is refused.",
        source: "decision of shaketable: nobody could deregister it, and two of them would be one",
        needs: &[],
        check: check!(a_node_without_id_is_refused),
    },
];

async fn names_may_be_in_any_script(site: Site) -> Outcome {
    let registry = site.registry().await?;
    for base in ["χρήστης", "用户服务", "usuário", "👤"] {
        let user = service(&site.name(base), &format!("{base}-1"));
        put(&site, &registry, &user).await?;
        finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
        deregister(&site, &registry, &user).await?;
        finds(&site, &registry, &user.name, &[]).await?;
    }
    Ok(())
}

async fn names_with_separators_stay_apart(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let bases =
        ["go/micro/user", "go.micro.user", "go-micro-user", "go:micro:user", "go micro user", "go%2Fmicro%2Fuser"];
    let mut services: Vec<Service> =
        bases.iter().enumerate().map(|(number, base)| service(&site.name(base), &format!("node-{number}"))).collect();
    // With the first one's name and id in a row it reads the same.
    services.push(service(&site.name("go/micro"), "user/node-0"));
    for user in &services {
        put(&site, &registry, user).await?;
    }
    for user in &services {
        finds(&site, &registry, &user.name, std::slice::from_ref(user)).await?;
    }
    Ok(())
}

async fn a_name_is_no_prefix(site: Site) -> Outcome {
    let registry = site.registry().await?;
    for (number, base) in ["user-admin", "user/admin", "user.v2", "users", "superuser"].into_iter().enumerate() {
        let registered = put(&site, &registry, &service(&site.name(base), &format!("other-{number}"))).await;
        // That a name may have separators is another requirement.
        if !base.contains('/') {
            registered?;
        }
    }
    let name = site.name("user");
    let get = registry.get_service(&name, GetOptions::default());
    match site.ends("get user, which nobody registered", get).await? {
        Ok(services) if !services.is_empty() => {
            return Err(Finding::violated("nothing to be found of 'user'", super::tools::summary(&services)));
        }
        _ => {}
    }
    let user = service(&name, "user-1");
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &name, std::slice::from_ref(&user)).await
}

async fn services_may_share_node_ids(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "node-1");
    let mut order = of_nodes(&site.name("order"), "2.0.0", &["node-1"]);
    order.nodes[0].address = "10.5.5.5:5555".to_owned();
    put(&site, &registry, &user).await?;
    put(&site, &registry, &order).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    finds(&site, &registry, &order.name, std::slice::from_ref(&order)).await?;
    deregister(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, &[]).await?;
    finds_nodes(&site, &registry, &order.name, &["node-1"]).await
}

async fn a_long_name_is_kept_whole_or_refused(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = |end: &str| format!("{}{end}", site.name(&"long-name-".repeat(100)));
    let (one, other) = (service(&name("one"), "node-1"), service(&name("other"), "node-2"));
    for user in [&one, &other] {
        let what = "register a name of a thousand characters";
        let register = registry.register(user, RegisterOptions { ttl: super::tools::lasting(&site) });
        if let Err(error) = site.ends(what, register).await? {
            site.refused(what, REFUSALS, async { Err::<(), _>(error) }).await?;
        } else {
            finds(&site, &registry, &user.name, std::slice::from_ref(user)).await?;
        }
    }
    // What has to do with one of them is nothing to the others.
    let short = service(&site.name("short"), "node-3");
    put(&site, &registry, &short).await?;
    finds(&site, &registry, &short.name, std::slice::from_ref(&short)).await
}

async fn refuses(site: &Site, what: &str, service: &Service) -> Outcome {
    let registry = site.registry().await?;
    let register = registry.register(service, RegisterOptions::default());
    let kinds: Vec<ErrorKind> = REFUSALS.to_vec();
    site.refused(what, &kinds, register).await?;
    let services = match site.ends("look it up", look(&registry, &service.name)).await? {
        // What is no name may be refused by a lookup, too.
        Err(error) if service.name.is_empty() && kinds.contains(&error.kind()) => return Ok(()),
        looked => site.ask("look it up", async { looked }).await?,
    };
    expect(services.is_empty(), "nothing of what was refused to be found", || super::tools::summary(&services))
}

async fn a_service_without_nodes_is_refused(site: Site) -> Outcome {
    let user = Service { nodes: Vec::new(), ..service(&site.name("user"), "user-1") };
    refuses(&site, "register a service without nodes", &user).await
}

async fn a_service_without_name_is_refused(site: Site) -> Outcome {
    refuses(&site, "register a service without a name", &service("", "user-1")).await
}

async fn a_node_without_id_is_refused(site: Site) -> Outcome {
    refuses(&site, "register a node without an id", &service(&site.name("user"), "")).await
}
