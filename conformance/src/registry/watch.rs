//! Watching: which change is told as what, of which service, and from when on.

use rand::Rng;
use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::{Action, Service, WatchOptions};

use super::ear::{is, listen, names, shown};
use super::tools::{
    TIMELY, deregister, finds, in_order, lingers, of_nodes, put, register, revised, revision, service, settling,
    short_ttl,
};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Host, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-058",
        level: Must,
        sentence: "A node that was not there before is told as a create, with its service as it was registered.",
        source: "https://etcd.io/docs/v3.6/learning/api/: Create_Revision; go-micro registry/etcd/watcher.go: \
                 IsCreate; registry/memory.go tells it as an update",
        needs: &[Need::Has(Ability::Watch)],
        check: check!(a_new_node_is_a_create),
    },
    Requirement {
        id: "REG-059",
        level: Must,
        sentence: "A registered node that is changed is told as an update, with what it is from then on.",
        source: "go-micro registry/etcd/watcher.go: a put of a known key is an update; memory tells nothing",
        needs: &[Need::Has(Ability::Watch)],
        check: check!(a_changed_node_is_an_update),
    },
    Requirement {
        id: "REG-060",
        level: Must,
        sentence: "A node that is deregistered is told as a delete, with the node as it was before.",
        source: "https://etcd.io/docs/v3.6/learning/api/: PrevKV; go-micro registry/etcd/watcher.go: WithPrevKV",
        needs: &[Need::Has(Ability::Watch)],
        check: check!(a_deregistered_node_is_a_delete),
    },
    Requirement {
        id: "REG-061",
        level: Must,
        sentence: "A node that ran out is told as a delete.",
        source: "go-micro registry/memory.go (v6): expiry removes the node without an event",
        needs: &[Need::Has(Ability::Watch), Need::Has(Ability::Ttl), TIMELY, Need::Upheld(&["REG-068"])],
        check: check!(expiry_is_a_delete),
    },
    Requirement {
        id: "REG-147",
        level: Must,
        sentence: "A node that is renewed with a shorter TTL, and not again, is told as a delete when that is over.",
        source: "https://etcd.io/docs/v3.6/learning/api/: a lease that expires deletes its keys, and a watch tells every delete; \
                 decision of shaketable: whoever waits for the first deadline hears of an earlier one",
        needs: &[Need::Has(Ability::Watch), Need::Has(Ability::Ttl), TIMELY, Need::Upheld(&["REG-068", "REG-043"])],
        check: check!(a_shorter_ttl_is_told),
    },
    Requirement {
        id: "REG-062",
        level: Must,
        sentence: "Of several nodes that are deregistered at once each is told.",
        source: "go-micro registry/watcher.go: Result names the nodes that it happened to",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-058", "REG-068"])],
        check: check!(every_node_of_a_call_is_told),
    },
    Requirement {
        id: "REG-063",
        level: Must,
        sentence: "A node that comes back after it was deregistered is told as a create again.",
        source: "https://etcd.io/docs/v3.6/learning/data_model/: each creation of a key begins a generation; go-micro \
                 registry/etcd/watcher.go: IsCreate",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-058", "REG-068"])],
        check: check!(a_node_that_comes_back_is_a_create),
    },
    Requirement {
        id: "REG-064",
        level: Must,
        sentence: "Changes that happened before the watch began are not told.",
        source: "go-micro registry/registry.go: Watch tells changes; a replay would pass for new nodes",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-058"])],
        check: check!(the_past_is_not_told),
    },
    Requirement {
        id: "REG-065",
        level: Must,
        sentence: "Updates and deletes of nodes that were there before the watch began are told.",
        source: "go-plugins issue 427: a zookeeper watcher misses nodes that exist already",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-059"])],
        check: check!(what_was_there_is_watched_too),
    },
    Requirement {
        id: "REG-066",
        level: Must,
        sentence: "A watcher of one service is told of that service alone, also where names begin alike.",
        source: "https://etcd.io/docs/v3.6/learning/api/: a watch has a range of keys; go-micro \
                 registry/etcd/watcher.go: newEtcdWatcher ends it with a slash",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-058", "REG-068", "REG-015"])],
        check: check!(only_the_watched_service_is_told),
    },
    Requirement {
        id: "REG-067",
        level: Must,
        sentence: "A watcher of all services is told of every service.",
        source: "go-micro registry/options.go: WatchOptions.Service, empty for all",
        needs: &[Need::Has(Ability::Watch), Need::Has(Ability::WatchAll), Need::Upheld(&["REG-058"])],
        check: check!(all_services_are_told),
    },
    Requirement {
        id: "REG-068",
        level: Must,
        sentence: "A service can be watched before anybody registers it.",
        source: "go-micro issue 631: watching a service that does not exist",
        needs: &[Need::Has(Ability::Watch)],
        check: check!(an_unknown_service_can_be_watched),
    },
    Requirement {
        id: "REG-069",
        level: Must,
        sentence: "A change that another client makes is told.",
        source: "go-micro registry/registry.go: Watch; a registry that tells only of its own writes is no registry",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-058", "REG-068"])],
        check: check!(changes_of_other_clients_are_told),
    },
    Requirement {
        id: "REG-070",
        level: Should,
        sentence: "A renewal that changes nothing is not told.",
        source: "decision of shaketable: every server renews every 30 s, and every watcher would hear of each",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-058"])],
        check: check!(a_renewal_is_not_told),
    },
    Requirement {
        id: "REG-071",
        level: Must,
        sentence: "A registry that cannot tell of changes refuses to watch with Unsupported.",
        source: "decision of shaketable: a watcher that never tells anything passes for a quiet world",
        needs: &[Need::Lacks(Ability::Watch)],
        check: check!(a_watch_that_does_not_exist_is_refused),
    },
    Requirement {
        id: "REG-125",
        level: Must,
        sentence: "A registry that cannot watch all services at once refuses to with Unsupported.",
        source: "decision of shaketable: a watcher that tells nothing passes for a quiet world; go-kratos's \
            registry.Discovery watches one service",
        needs: &[Need::Lacks(Ability::WatchAll)],
        check: check!(a_watch_of_all_that_does_not_exist_is_refused),
    },
];

async fn a_new_node_is_a_create(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let mut user = revised(&service(&site.name("user"), "user-1"), 7);
    user.metadata.insert("owner".to_owned(), "accounts".to_owned());
    let older = Service { nodes: service(&user.name, "user-0").nodes, ..user.clone() };
    put(&site, &registry, &older).await?;
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    put(&site, &registry, &user).await?;
    ear.hears("something of user-1", |events| events.iter().any(|event| names(event, "user-1"))).await?;
    let events = ear.events();
    let Some(first) = events.iter().find(|event| names(event, "user-1")) else { return Ok(()) };
    expect(is(first, Action::Create, "user-1"), "a create of user-1", || shown(&events))?;
    expect_equal("the service in the event", &first.service, &user)
}

async fn a_changed_node_is_an_update(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = revised(&service(&site.name("user"), "user-1"), 1);
    // That a service can be watched before it exists is another requirement.
    put(&site, &registry, &service(&user.name, "user-0")).await?;
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    put(&site, &registry, &user).await?;
    ear.hears("something of user-1", |events| events.iter().any(|event| names(event, "user-1"))).await?;
    let before = ear.events().len();
    let changed = revised(&user, 2);
    put(&site, &registry, &changed).await?;
    ear.hears("the change", |events| events.len() > before).await?;
    let events = ear.events();
    expect(is(&events[before], Action::Update, "user-1"), "an update of user-1", || shown(&events))?;
    expect_equal("the service in the event", &events[before].service, &changed)
}

async fn a_deregistered_node_is_a_delete(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = revised(&service(&site.name("user"), "user-1"), 1);
    put(&site, &registry, &service(&user.name, "user-0")).await?;
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    put(&site, &registry, &user).await?;
    ear.hears("something of user-1", |events| events.iter().any(|event| names(event, "user-1"))).await?;
    let before = ear.events().len();
    // Who deregisters need not know what was registered.
    deregister(&site, &registry, &service(&user.name, "user-1")).await?;
    ear.hears("the deletion", |events| events.len() > before).await?;
    let events = ear.events();
    expect(is(&events[before], Action::Delete, "user-1"), "a delete of user-1", || shown(&events))?;
    expect_equal("the node in the event", &events[before].service.nodes, &user.nodes)?;
    expect_equal("the name in the event", &events[before].service.name, &user.name)
}

async fn expiry_is_a_delete(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), short_ttl(&site));
    // One that lasts longer is no reason to look later.
    let order = service(&site.name("order"), "order-1");
    register(&site, &observer, &order, Some(ttl * 3)).await?;
    let ear = listen(&site, &observer, Some(&user.name)).await?;
    register(&site, &owner, &user, Some(ttl)).await?;
    finds(&site, &observer, &user.name, std::slice::from_ref(&user)).await?;
    site.ask("close the owner's registry", owner.close()).await?;
    let gone = |events: &[_]| events.iter().any(|event| is(event, Action::Delete, "user-1"));
    ear.hears_within("delete of user-1", ttl + lingers(&site) + site.slack(), gone).await?;
    deregister(&site, &observer, &order).await
}

async fn a_shorter_ttl_is_told(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), short_ttl(&site));
    let ear = listen(&site, &observer, Some(&user.name)).await?;
    register(&site, &owner, &user, Some(ttl * 3 + lingers(&site) * 2)).await?;
    // What it is told as is judged elsewhere.
    ear.hears("user-1", |events| events.iter().any(|event| names(event, "user-1"))).await?;
    register(&site, &owner, &user, Some(ttl)).await?;
    site.ask("close the owner's registry", owner.close()).await?;
    // Nobody looks it up meanwhile: that would be a reason to see what has run out.
    let gone = |events: &[_]| events.iter().any(|event| is(event, Action::Delete, "user-1"));
    ear.hears_within("delete of user-1", ttl + lingers(&site) + site.slack(), gone).await
}

async fn every_node_of_a_call_is_told(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let ids = ["user-1", "user-2", "user-3", "user-4"];
    let user = of_nodes(&site.name("user"), "1.0.0", &ids);
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    put(&site, &registry, &user).await?;
    for id in ids {
        ear.hears_of(Action::Create, id).await?;
    }
    let leaving = Service { nodes: user.nodes[1..].to_vec(), ..user };
    deregister(&site, &registry, &leaving).await?;
    for id in &ids[1..] {
        ear.hears_of(Action::Delete, id).await?;
    }
    let events = ear.events();
    expect(!events.iter().any(|event| is(event, Action::Delete, "user-1")), "no delete of user-1", || shown(&events))
}

async fn a_node_that_comes_back_is_a_create(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    for round in 1..=3 {
        put(&site, &registry, &user).await?;
        let creates = |events: &[_]| events.iter().filter(|event| is(event, Action::Create, "user-1")).count();
        ear.hears(&format!("create number {round} of user-1"), |events| creates(events) == round).await?;
        deregister(&site, &registry, &user).await?;
        let deletes = |events: &[_]| events.iter().filter(|event| is(event, Action::Delete, "user-1")).count();
        ear.hears(&format!("delete number {round} of user-1"), |events| deletes(events) == round).await?;
    }
    Ok(())
}

async fn the_past_is_not_told(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = of_nodes(&site.name("user"), "1.0.0", &["user-1", "user-2"]);
    let gone = service(&user.name, "user-0");
    put(&site, &registry, &gone).await?;
    put(&site, &registry, &user).await?;
    deregister(&site, &registry, &gone).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    // What is written may be told a moment later, and is the past only then.
    site.take_effect(settling(&site).min(std::time::Duration::from_secs(2))).await;
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    put(&site, &registry, &service(&user.name, "user-3")).await?;
    ear.hears_of(Action::Create, "user-3").await?;
    let events = ear.events();
    let past = events.iter().any(|event| !names(event, "user-3"));
    expect(!past, "nothing told but user-3, which came after the watch began", || shown(&events))
}

async fn what_was_there_is_watched_too(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = of_nodes(&site.name("user"), "1.0.0", &["user-1", "user-2"]);
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    put(&site, &registry, &revised(&service(&user.name, "user-1"), 2)).await?;
    ear.hears_of(Action::Update, "user-1").await?;
    deregister(&site, &registry, &service(&user.name, "user-2")).await?;
    ear.hears_of(Action::Delete, "user-2").await
}

async fn only_the_watched_service_is_told(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    let ear = listen(&site, &registry, Some(&name)).await?;
    let mut others = ["user-admin", "user/admin", "users", "order", "superuser"];
    let shift = site.env().random("order").random_range(0..others.len());
    others.rotate_left(shift);
    for base in others {
        let other = service(&site.name(base), &format!("{base}-1"));
        put(&site, &registry, &other).await?;
        put(&site, &registry, &revised(&other, 1)).await?;
        deregister(&site, &registry, &other).await?;
    }
    put(&site, &registry, &service(&name, "user-1")).await?;
    ear.hears_of(Action::Create, "user-1").await?;
    let events = ear.events();
    expect(events.iter().all(|event| event.service.name == name), "events of 'user' alone", || shown(&events))
}

async fn all_services_are_told(site: Site) -> Outcome {
    let registry = site.registry().await?;
    put(&site, &registry, &service(&site.name("user"), "user-1")).await?;
    let ear = listen(&site, &registry, None).await?;
    let bases = ["order", "stock", "user", "mail"];
    for base in bases {
        put(&site, &registry, &service(&site.name(base), &format!("{base}-2"))).await?;
    }
    for base in bases {
        ear.hears_of(Action::Create, &format!("{base}-2")).await?;
    }
    deregister(&site, &registry, &service(&site.name("user"), "user-1")).await?;
    ear.hears_of(Action::Delete, "user-1").await
}

async fn an_unknown_service_can_be_watched(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("later");
    let ear = listen(&site, &registry, Some(&name)).await?;
    site.quiet_for(site.slack()).await;
    expect(ear.end().is_none(), "the watch of an unknown service to go on", || format!("{:?}", ear.end()))?;
    put(&site, &registry, &service(&name, "later-1")).await?;
    // As what it is told is another requirement.
    ear.hears("something of later-1", |events| events.iter().any(|event| names(event, "later-1"))).await
}

async fn changes_of_other_clients_are_told(site: Site) -> Outcome {
    let (registry, other) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let user = service(&site.name("user"), "user-1");
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    put(&site, &other, &user).await?;
    ear.hears_of(Action::Create, "user-1").await?;
    put(&site, &other, &revised(&user, 2)).await?;
    let updated = |events: &[shaketable_stack::registry::Event]| {
        events.iter().any(|event| is(event, Action::Update, "user-1") && revision(&event.service) == Some(2))
    };
    ear.hears("the update", updated).await?;
    deregister(&site, &other, &user).await?;
    ear.hears_of(Action::Delete, "user-1").await
}

async fn a_renewal_is_not_told(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = of_nodes(&site.name("user"), "1.0.0", &["user-1", "user-2"]);
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, &in_order(std::slice::from_ref(&user))).await?;
    site.take_effect(site.slack()).await;
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    for _ in 0..3 {
        put(&site, &registry, &user).await?;
    }
    put(&site, &registry, &service(&user.name, "user-3")).await?;
    ear.hears_of(Action::Create, "user-3").await?;
    let events = ear.events();
    expect(events.len() == 1, "nothing told but user-3, which alone is new", || shown(&events))
}

async fn a_watch_that_does_not_exist_is_refused(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let watch = registry.watch(WatchOptions::default());
    site.refused("watch", &[ErrorKind::Unsupported], watch).await.map(drop)
}

async fn a_watch_of_all_that_does_not_exist_is_refused(site: Site) -> Outcome {
    let registry = site.registry().await?;
    put(&site, &registry, &service(&site.name("user"), "user-1")).await?;
    let watch = registry.watch(WatchOptions::default());
    site.refused("watch all services", &[ErrorKind::Unsupported], watch).await.map(drop)
}
