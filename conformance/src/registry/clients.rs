//! Several clients of one backend: what one writes the others find, in a bounded time, and none keeps another's node.

use std::time::Duration;

use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::Service;

use super::tools::{
    deregister, excused, finds, finds_nodes_within, found, look, of_nodes, patiently, put, register, renewed_ttl,
    revised, service, settling, summary,
};
use crate::Level::Must;
use crate::requirement::check;
use crate::site::SLACK;
use crate::tolerance::ByWorld;
use crate::{Host, Need, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-087",
        level: Must,
        sentence: "Two clients of one backend come to find the same, whoever registers, changes and deregisters.",
        source: "go-micro issues 244 and 2805: callers go on with nodes that others took away",
        needs: &[Need::Upheld(&["REG-010"])],
        check: check!(two_clients_converge),
    },
    Requirement {
        id: "REG-088",
        level: Must,
        sentence: "Changes of every service that was looked up are found, not of the first one alone.",
        source: "go-micro pull requests 2517 and 2600: the cache watches the first service only; issue 1991: it looks \
                 up what it watches by the wrong key",
        needs: &[Need::Upheld(&["REG-010"])],
        check: check!(every_service_that_was_looked_up_is_followed),
    },
    Requirement {
        id: "REG-089",
        level: Must,
        sentence: "A service that registers right after a lookup missed it is found within a second.",
        source: "go-micro registry/cache/cache.go (v6): MinimumRetryInterval lets a miss be remembered for 5 s",
        needs: &[],
        check: check!(a_miss_is_not_remembered, "{}, with the slack", FOUND_WITHIN),
    },
    Requirement {
        id: "REG-090",
        level: Must,
        sentence: "What a registry answers without asking its backend comes to agree with what a lookup finds.",
        source: "go-micro issue 2805: stopped nodes are returned from the cache",
        needs: &[Need::Upheld(&["REG-010", "REG-031"])],
        check: check!(what_is_cached_agrees),
    },
    Requirement {
        id: "REG-091",
        level: Must,
        sentence: "A node that a second client registers before the first one's TTL is over does not run out with \
            that.",
        source: "decision of shaketable: a process that restarts registers its id again while its old lease still \
            lives",
        needs: &[Need::Has(Ability::Ttl)],
        check: check!(a_node_can_change_its_owner),
    },
];

/// How soon who has just registered is found.
const FOUND_WITHIN: ByWorld = SLACK.after(Duration::from_secs(1));

async fn two_clients_converge(site: Site) -> Outcome {
    let clients = [site.registry().await?, site.registry_on(Host::Second).await?, site.registry_on(Host::Third).await?];
    let name = site.name("user");
    let (one, other) = (service(&name, "user-1"), service(&name, "user-2"));
    put(&site, &clients[0], &one).await?;
    put(&site, &clients[1], &other).await?;
    let both = Service { nodes: [one.nodes.clone(), other.nodes.clone()].concat(), ..one.clone() };
    for client in &clients {
        finds(&site, client, &name, std::slice::from_ref(&both)).await?;
    }
    let changed = revised(&other, 2);
    put(&site, &clients[1], &changed).await?;
    let both = Service { nodes: [one.nodes.clone(), changed.nodes.clone()].concat(), ..one.clone() };
    for client in &clients {
        finds(&site, client, &name, std::slice::from_ref(&both)).await?;
    }
    deregister(&site, &clients[0], &one).await?;
    for client in &clients {
        finds(&site, client, &name, std::slice::from_ref(&changed)).await?;
    }
    Ok(())
}

async fn every_service_that_was_looked_up_is_followed(site: Site) -> Outcome {
    let (registry, other) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let services: Vec<Service> =
        ["user", "order", "stock"].into_iter().map(|base| service(&site.name(base), &format!("{base}-1"))).collect();
    for service in &services {
        put(&site, &other, service).await?;
        finds(&site, &registry, &service.name, std::slice::from_ref(service)).await?;
    }
    for (number, service) in services.iter().enumerate() {
        let changed = revised(service, number);
        put(&site, &other, &changed).await?;
        finds(&site, &registry, &service.name, &[changed]).await?;
    }
    for service in services.iter().rev() {
        deregister(&site, &other, service).await?;
        finds(&site, &registry, &service.name, &[]).await?;
    }
    Ok(())
}

async fn a_miss_is_not_remembered(site: Site) -> Outcome {
    let (registry, other) = (site.registry().await?, site.registry_on(Host::Second).await?);
    for round in 0..3 {
        let user = service(&site.name(&format!("user-{round}")), "user-1");
        for _ in 0..=round {
            let ids = found(&site, &registry, &user.name).await?;
            expect(ids.is_empty(), "nothing to be found before it is registered", || format!("{ids:?}"))?;
        }
        put(&site, &other, &user).await?;
        finds_nodes_within(&site, &registry, &user.name, &["user-1"], site.by_world(FOUND_WITHIN)).await?;
    }
    Ok(())
}

async fn what_is_cached_agrees(site: Site) -> Outcome {
    let (registry, other) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let user = of_nodes(&site.name("user"), "1.0.0", &["user-1", "user-2"]);
    let states = [vec![user.clone()], vec![revised(&user, 1)], vec![service(&user.name, "user-1")], Vec::new()];
    let agrees = async |state: &[Service]| -> Outcome {
        finds(&site, &registry, &user.name, state).await?;
        let probe = || async {
            let cached = registry.cached(&user.name);
            let asked = patiently(&site, || look(&registry, &user.name)).await;
            let asked = match excused(&site, "get user", asked)? {
                Ok(asked) => asked,
                Err(finding) => return Ok(Err(finding)),
            };
            match cached {
                None => Ok(Ok(())),
                Some(cached) if super::tools::in_order(&cached) == asked && asked == state => Ok(Ok(())),
                Some(cached) => Err(format!("{}, where a lookup finds {}", summary(&cached), summary(&asked))),
            }
        };
        let what = format!("what is cached to be unknown or {}", summary(state));
        site.eventually(&what, settling(&site), probe).await?
    };
    put(&site, &other, &user).await?;
    agrees(&states[0]).await?;
    put(&site, &other, &revised(&user, 1)).await?;
    agrees(&states[1]).await?;
    deregister(&site, &other, &service(&user.name, "user-2")).await?;
    put(&site, &other, &states[2][0]).await?;
    agrees(&states[2]).await?;
    deregister(&site, &other, &user).await?;
    agrees(&states[3]).await
}

async fn a_node_can_change_its_owner(site: Site) -> Outcome {
    let (old, new, observer) = (site.registry().await?, site.registry().await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), renewed_ttl(&site));
    register(&site, &old, &user, Some(ttl)).await?;
    finds(&site, &observer, &user.name, std::slice::from_ref(&user)).await?;
    site.ask("close the first owner's registry", old.close()).await?;
    for _ in 0..9 {
        register(&site, &new, &user, Some(ttl)).await?;
        site.let_pass(ttl / 3).await;
        let ids = found(&site, &observer, &user.name).await?;
        expect(ids == ["user-1"], "a node to live on with its new owner", || format!("{ids:?}"))?;
    }
    Ok(())
}
