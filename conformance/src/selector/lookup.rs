//! Looking services up: what is known is selected, and what is not known is neither made up nor remembered.

use std::time::Duration;

use shaketable_stack::ErrorKind;
use shaketable_stack::selector::{SelectOptions, Selection};

use super::directory::Mood;
use super::tools::{Bench, refused, service};
use crate::Level::{Must, Should};
use crate::requirement::{Need, check};
use crate::{Finding, Outcome, Requirement, Site, expect, expect_equal};

/// How long a registry that does not answer may hold up a caller.
const HELD_UP: Duration = Duration::from_secs(60);

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SEL-001",
        level: Must,
        sentence: "After a service was loaded its nodes are selected, with their address and metadata.",
        source: "go-micro selector/selector.go: Select, Next",
        needs: &[],
        check: check!(a_loaded_service_is_selected),
    },
    Requirement {
        id: "SEL-002",
        level: Must,
        sentence: "Loading a service that nobody registered is answered with NotFound.",
        source: "go-micro selector/selector.go: ErrNotFound",
        needs: &[],
        check: check!(an_unknown_service_is_not_found),
    },
    Requirement {
        id: "SEL-003",
        level: Must,
        sentence: "Of a service that nobody has looked up yet a selection answers a miss, upon which the caller looks it \
                   up, or NotFound, and neither a node nor another error.",
        source: "decision of shaketable: a selection does not wait for the registry, so that it can say no more than that \
                 it knows nothing; go-micro registry/cache/cache.go keeps nothing before a first lookup",
        needs: &[],
        check: check!(a_service_that_was_never_looked_up_is_a_miss),
    },
    Requirement {
        id: "SEL-004",
        level: Must,
        sentence: "No node of another service is selected, however similar the names are.",
        source: "go-micro selector/default.go: Select asks for one service, by its whole name",
        needs: &[],
        check: check!(similar_services_are_different),
    },
    Requirement {
        id: "SEL-005",
        level: Must,
        sentence: "A service that registers after it was not found is found by the next lookup.",
        source: "go-micro registry/cache/cache.go of v6 remembers a miss for five seconds",
        needs: &[],
        check: check!(a_miss_is_not_remembered),
    },
    Requirement {
        id: "SEL-006",
        level: Must,
        sentence: "A registry that fails is told as a failure, and not as a service that is not there.",
        source: "go-micro selector/default.go: errors of the registry but ErrNotFound are returned as they are",
        needs: &[],
        check: check!(a_registry_that_fails_is_told_as_a_failure),
    },
    Requirement {
        id: "SEL-007",
        level: Must,
        sentence: "A lookup that has failed is not remembered: when the registry works again the next one succeeds.",
        source: "go-micro registry/cache/cache.go of v6 (pull request 2823): the minimum retry interval follows failed \
                 lookups, too",
        needs: &[],
        check: check!(a_failed_lookup_is_not_remembered),
    },
    Requirement {
        id: "SEL-008",
        level: Must,
        sentence: "A service that the registry knows without any node is answered with NoneAvailable or NotFound.",
        source: "go-micro registry/memory.go of v6 answers a service with no nodes after its TTL",
        needs: &[],
        check: check!(a_service_without_nodes_is_refused),
    },
    Requirement {
        id: "SEL-009",
        level: Should,
        sentence: "An empty answer of the registry is a service that is not found.",
        source: "go-micro registry/mdns_registry.go, consul and nats answer an empty list for an unknown service",
        needs: &[],
        check: check!(an_empty_answer_is_not_found),
    },
    Requirement {
        id: "SEL-010",
        level: Should,
        sentence: "Loading ends within a minute though the registry does not answer.",
        source: "go-micro registry/options.go: Timeout, which bounds the lookup of a selection; pull request 2841: \
                 callers are stuck while etcd times out",
        needs: &[Need::VirtualTime],
        check: check!(a_registry_that_hangs_does_not_hold_up_callers, "within {}", HELD_UP),
    },
    Requirement {
        id: "SEL-011",
        level: Must,
        sentence: "The nodes of all versions of a service are selected.",
        source: "go-micro selector/strategy.go: strategies get the nodes of all services",
        needs: &[],
        check: check!(nodes_of_all_versions_are_selected),
    },
];

async fn a_loaded_service_is_selected(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["user-1"]).await?;
    bench.load(&bench.user).await?;
    let selected = bench.selector.select(&bench.user, &SelectOptions::default());
    let Ok(Selection::Ready(next)) = selected else {
        return Err(Finding::violated("a selection after the service was loaded", format!("{selected:?}")));
    };
    let node = next.node().map_err(|error| Finding::violated("a node", format!("the error `{error}`")))?;
    expect_equal("the node", &*node, &service(&bench.user, "1.0.0", &["user-1"]).nodes[0])
}

async fn an_unknown_service_is_not_found(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["user-1"]).await?;
    let load = bench.selector.load("nobody");
    site.refused("load a service that nobody registered", &[ErrorKind::NotFound], load).await?;
    bench.load(&bench.user).await?;
    let load = bench.selector.load("nobody");
    site.refused("load it again", &[ErrorKind::NotFound], load).await.map(drop)
}

async fn a_service_that_was_never_looked_up_is_a_miss(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["user-1"]).await?;
    let missed = |name: &str| match bench.selector.select(name, &SelectOptions::default()) {
        Ok(Selection::Miss) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => Err(Finding::violated(format!("a miss for {name}"), format!("{other:?}"))),
    };
    missed("nobody")?;
    bench.load(&bench.user).await?;
    missed("nobody")
}

async fn similar_services_are_different(site: Site) -> Outcome {
    let bench = Bench::empty(&site).await?;
    let names = ["user", "users", "user.admin", "user-admin", "use", "User", "user/1"].map(|name| site.name(name));
    for (index, name) in names.iter().enumerate() {
        bench.directory.put(&service(name, "1.0.0", &[&format!("node-{index}")]));
    }
    for _ in 0..3 {
        for (index, name) in names.iter().enumerate() {
            let node = bench.pick_of(name, &bench.random()).await?;
            expect_equal(&format!("the node of {name}"), &node.id, &format!("node-{index}"))?;
        }
    }
    Ok(())
}

async fn a_miss_is_not_remembered(site: Site) -> Outcome {
    let bench = Bench::empty(&site).await?;
    for round in 0..3 {
        let name = site.name(&format!("user-{round}"));
        let missed = bench.try_pick(&name, &SelectOptions::default()).await?;
        refused("to select a service before it registers", missed, &[ErrorKind::NotFound])?;
        bench.directory.put(&service(&name, "1.0.0", &["late"]));
        bench.load(&name).await?;
        bench.pick_of(&name, &SelectOptions::default()).await?;
    }
    Ok(())
}

async fn a_registry_that_fails_is_told_as_a_failure(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["user-1"]).await?;
    bench.directory.turn(Mood::Fails);
    let failed = site.ends("load while the registry fails", bench.selector.load(&bench.user)).await?;
    let kind = failed.as_ref().err().map(shaketable_stack::Error::kind);
    expect(kind.is_some_and(|kind| kind != ErrorKind::NotFound), "an error other than NotFound", || match kind {
        Some(kind) => format!("{kind:?}"),
        None => "loading succeeded".to_owned(),
    })
}

async fn a_failed_lookup_is_not_remembered(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["user-1"]).await?;
    bench.directory.turn(Mood::Fails);
    for _ in 0..3 {
        // That it fails is what another check looks at.
        let _ = site.ends("load while the registry fails", bench.selector.load(&bench.user)).await?;
    }
    bench.directory.turn(Mood::Works);
    bench.load(&bench.user).await?;
    bench.pick(&SelectOptions::default()).await.map(drop)
}

async fn a_service_without_nodes_is_refused(site: Site) -> Outcome {
    let bench = Bench::empty(&site).await?;
    bench.directory.put_empty(&service(&bench.user, "1.0.0", &[]));
    let picked = bench.try_pick(&bench.user, &SelectOptions::default()).await?;
    refused("to select a service without nodes", picked, &[ErrorKind::NoneAvailable, ErrorKind::NotFound])
}

async fn an_empty_answer_is_not_found(site: Site) -> Outcome {
    let bench = Bench::empty(&site).await?;
    bench.directory.turn(Mood::AnswersNothing);
    let load = bench.selector.load(&bench.user);
    site.refused("load what the registry answers with an empty list", &[ErrorKind::NotFound], load).await.map(drop)
}

async fn a_registry_that_hangs_does_not_hold_up_callers(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["user-1"]).await?;
    bench.directory.turn(Mood::Hangs);
    let load = bench.selector.load(&bench.user);
    let loaded = site.within("load while the registry does not answer", HELD_UP, load).await?;
    expect(loaded.is_err(), "loading to fail while the registry does not answer", || "it succeeded".to_owned())
}

async fn nodes_of_all_versions_are_selected(site: Site) -> Outcome {
    let bench = Bench::empty(&site).await?;
    bench.directory.put(&service(&bench.user, "1.0.0", &["a", "b"]));
    bench.directory.put(&service(&bench.user, "1.1.0", &["c"]));
    bench.directory.put(&service(&bench.user, "2.0.0", &["d", "e", "f"]));
    bench.reaches(&["a", "b", "c", "d", "e", "f"], &bench.random()).await
}
