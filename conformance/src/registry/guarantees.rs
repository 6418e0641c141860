//! What etcd guarantees of a watch, as far as it can be said of a registry: ordered, unique, reliable, atomic, resumable at
//! what a lookup has shown, and the same for everyone who watches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::{Action, Event, RegisterOptions, Registry, Service};

use super::ear::{Ear, is, listen, open, shown};
use super::tools::{
    all_or, answered, deregister, finds, found, found_within, lasting, of_nodes, put, revised, revision, service,
    settling, summary,
};
use crate::Level::{Must, Should};
use crate::backend::{Act, Verb};
use crate::requirement::check;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-072",
        level: Must,
        sentence: "Changes of a node are told in the order in which they happened.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: watch is Ordered",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-059", "REG-068"])],
        check: check!(changes_are_told_in_order),
    },
    Requirement {
        id: "REG-073",
        level: Must,
        sentence: "Each change is told once.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: watch is Unique",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-059", "REG-068"])],
        check: check!(each_change_is_told_once),
    },
    Requirement {
        id: "REG-074",
        level: Must,
        sentence: "No node that came and stays, and none that went, is left untold among many.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: watch is Reliable",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-058"])],
        check: check!(no_change_is_left_out),
    },
    Requirement {
        id: "REG-075",
        level: Must,
        sentence: "An event carries one state of the service, never a part of one and a part of another.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: watch is Atomic",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-068"])],
        check: check!(an_event_is_one_state),
    },
    Requirement {
        id: "REG-076",
        level: Must,
        sentence: "An event carries what was registered then, not what is registered when the event is read.",
        source: "go-micro issue 793: registry, cache and watchers share values",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-010", "REG-068"])],
        check: check!(an_event_is_of_its_time),
    },
    Requirement {
        id: "REG-077",
        level: Must,
        sentence: "What a lookup found after the watch began and what the watch tells add up to what later lookups \
            find.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: watch is Bookmarkable",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-058", "REG-068", "REG-031"])],
        check: check!(lookups_and_events_add_up),
    },
    Requirement {
        id: "REG-078",
        level: Must,
        sentence: "Each of several watchers is told of every change.",
        source: "go-micro registry/memory.go: Watch makes a watcher for each caller",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-059", "REG-068"])],
        check: check!(every_watcher_is_told),
    },
    Requirement {
        id: "REG-136",
        level: Must,
        sentence: "Of several nodes whose entries one transaction of the backend deletes, each that stays away is told as a \
            delete.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: watch is Atomic, what one revision changes comes in one \
                 list of events; go-micro registry/etcd/watcher.go (v5.30.0): Next tells the first event of a list and drops \
                 the others",
        needs: &[Need::Has(Ability::Watch), Need::Backend(Verb::DeleteEntries)],
        check: check!(each_node_of_a_transaction_is_told),
    },
    Requirement {
        id: "REG-079",
        level: Should,
        sentence: "Giving up to wait for the next event loses none.",
        source: "decision of shaketable: callers wait with deadlines, as go-micro's cache does with its own",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-059", "REG-068"])],
        check: check!(giving_up_loses_no_event),
    },
];

/// Registers `user` with the revisions `from..=to`, each a change.
async fn change(site: &Site, registry: &Arc<dyn Registry>, user: &Service, from: usize, to: usize) -> Outcome {
    for number in from..=to {
        put(site, registry, &revised(user, number)).await?;
    }
    Ok(())
}

/// Waits for the event that tells `revision`.
async fn hears_revision(ear: &Ear, number: usize) -> Outcome {
    let told = |events: &[Event]| events.iter().any(|event| revision(&event.service) == Some(number));
    ear.hears(&format!("revision {number}"), told).await
}

async fn changes_are_told_in_order(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let (user, last) = (service(&site.name("user"), "user-1"), site.env().random("changes").random_range(12..=30));
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    change(&site, &registry, &user, 1, last).await?;
    hears_revision(&ear, last).await?;
    let events = ear.events();
    let told: Vec<usize> = events.iter().filter_map(|event| revision(&event.service)).collect();
    expect(told.is_sorted(), "revisions in rising order", || format!("{told:?}"))?;
    deregister(&site, &registry, &user).await?;
    ear.hears_of(Action::Delete, "user-1").await?;
    change(&site, &registry, &user, last + 1, last + 1).await?;
    hears_revision(&ear, last + 1).await?;
    let actions: Vec<Action> = ear.events().iter().skip(events.len()).map(|event| event.action).collect();
    expect_equal("what is told of leaving and coming back", &actions, &[Action::Delete, Action::Create])
}

async fn each_change_is_told_once(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    change(&site, &registry, &user, 1, 10).await?;
    hears_revision(&ear, 10).await?;
    deregister(&site, &registry, &user).await?;
    ear.hears_of(Action::Delete, "user-1").await?;
    site.quiet_for(site.slack()).await;
    let events = ear.events();
    let mut times: BTreeMap<usize, usize> = BTreeMap::new();
    for event in events.iter().filter(|event| event.action != Action::Delete) {
        *times.entry(revision(&event.service).unwrap_or_default()).or_default() += 1;
    }
    let twice = times.into_iter().find(|(_, times)| *times > 1);
    expect(twice.is_none(), "each change told once", || format!("{twice:?}, of {}", shown(&events)))?;
    let deletes = events.iter().filter(|event| is(event, Action::Delete, "user-1")).count();
    expect_equal("the number of deletes of user-1", &deletes, &1)
}

async fn no_change_is_left_out(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    // That a service can be watched before it exists is another requirement.
    put(&site, &registry, &service(&name, "user-first")).await?;
    let ear = listen(&site, &registry, Some(&name)).await?;
    let ids: Vec<String> = (0..60).map(|number| format!("user-{number:03}")).collect();
    for id in &ids {
        put(&site, &registry, &service(&name, id)).await?;
    }
    for id in &ids {
        ear.hears_of(Action::Create, id).await?;
    }
    for id in &ids {
        deregister(&site, &registry, &service(&name, id)).await?;
    }
    for id in &ids {
        ear.hears_of(Action::Delete, id).await?;
    }
    Ok(())
}

async fn an_event_is_one_state(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    let state = |number: usize| {
        let mut state = revised(&user, number);
        state.version = format!("{number}.0.0");
        state.metadata.insert("state".to_owned(), number.to_string());
        state.nodes[0].address = format!("10.0.0.{number}:80");
        state
    };
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    for number in 1..=12 {
        put(&site, &registry, &state(number)).await?;
    }
    hears_revision(&ear, 12).await?;
    for event in ear.events() {
        let whole = (1..=12).any(|number| state(number) == event.service);
        // The node may be told to leave its version before it appears in the next; that, too, is one state.
        expect(whole, "each event to carry one of the states that were registered", || format!("{:?}", event.service))?;
    }
    Ok(())
}

async fn an_event_is_of_its_time(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    let watcher = open(&site, &registry, Some(&user.name)).await?;
    put(&site, &registry, &revised(&user, 1)).await?;
    site.take_effect(settling(&site).min(Duration::from_secs(2))).await;
    put(&site, &registry, &revised(&user, 2)).await?;
    finds(&site, &registry, &user.name, &[revised(&user, 2)]).await?;
    let event = site.ask("read the first event", watcher.next()).await?;
    expect_equal("the revision in the first event", &revision(&event.service), &Some(1))?;
    watcher.stop();
    Ok(())
}

async fn lookups_and_events_add_up(site: Site) -> Outcome {
    let (registry, other) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let name = site.name("user");
    let mut plan = Vec::new();
    let mut random = site.env().random("changes");
    for step in 0..40 {
        plan.push((random.random_range(0..6), random.random_range(0..3) > 0, step));
    }
    let changes = {
        let (site, other, name) = (site.clone(), other.clone(), name.clone());
        async move {
            for (node, stays, step) in plan {
                let user = revised(&service(&name, &format!("user-{node}")), step);
                if stays {
                    put(&site, &other, &user).await?
                } else {
                    deregister(&site, &other, &user).await?
                }
                site.let_pass(Duration::from_millis(60)).await;
            }
            put(&site, &other, &service(&name, "user-last")).await
        }
    };
    let (done, finished) = tokio::sync::oneshot::channel();
    let task = site.env().spawn("check-changes", async move {
        // Nobody waits any more when the check has ended meanwhile.
        let _ = done.send(changes.await);
    });
    site.let_pass(Duration::from_millis(20)).await;
    let ear = listen(&site, &registry, Some(&name)).await?;
    // A lookup may lag; one that shows what was registered after the watch began shows nothing older than the watch.
    let mark = service(&name, "user-mark");
    put(&site, &other, &mark).await?;
    let marked = |services: &[Service]| {
        if nodes_of(services).contains_key("user-mark") { Ok(()) } else { Err(summary(services)) }
    };
    found_within(&site, &registry, &name, ("a lookup to find user-mark", settling(&site)), marked).await?;
    let mut known = nodes_of(&answered(&site, &registry, &name).await?);
    let outcome = site.ends("make all changes", finished).await?;
    outcome.map_err(|_| Finding::Broke("the task that makes changes has vanished".to_owned()))??;
    task.join().await;
    ear.hears_of(Action::Create, "user-last").await?;
    for event in ear.events() {
        let told = nodes_of(std::slice::from_ref(&event.service));
        match event.action {
            Action::Create | Action::Update => known.extend(told),
            Action::Delete => known.retain(|id, _| !told.contains_key(id)),
        }
    }
    let what = "a lookup and the events after it to add up to a later lookup";
    let judge = |later: &[Service]| {
        if nodes_of(later) == known { Ok(()) } else { Err(format!("{}, and by events {known:?}", summary(later))) }
    };
    found_within(&site, &registry, &name, (what, settling(&site)), judge).await
}

/// The nodes of `services` by id, with their revisions.
fn nodes_of(services: &[Service]) -> BTreeMap<String, Option<String>> {
    let nodes = services.iter().flat_map(|service| &service.nodes);
    nodes.map(|node| (node.id.clone(), node.metadata.get("revision").cloned())).collect()
}

async fn every_watcher_is_told(site: Site) -> Outcome {
    let (registry, other) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let user = of_nodes(&site.name("user"), "1.0.0", &["user-1"]);
    let ears = [
        listen(&site, &registry, Some(&user.name)).await?,
        listen(&site, &registry, Some(&user.name)).await?,
        listen(&site, &registry, all_or(&site, &user.name)).await?,
        listen(&site, &other, Some(&user.name)).await?,
    ];
    // One by one: of changes that overtake each other a watcher may tell what came of them.
    for number in 1..=5 {
        change(&site, &registry, &user, number, number).await?;
        for ear in &ears {
            hears_revision(ear, number).await?;
        }
    }
    deregister(&site, &registry, &user).await?;
    for ear in &ears {
        ear.hears_of(Action::Delete, "user-1").await?;
    }
    Ok(())
}

async fn each_node_of_a_transaction_is_told(site: Site) -> Outcome {
    let (registry, observer) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let ids = ["user-1", "user-2", "user-3"].map(|base| site.name(base));
    let user = of_nodes(&site.name("user"), "1.0.0", &ids);
    put(&site, &registry, &user).await?;
    finds(&site, &observer, &user.name, std::slice::from_ref(&user)).await?;
    let ear = listen(&site, &observer, Some(&user.name)).await?;
    site.backend(Act::DeleteEntries(ids.to_vec())).await?;
    for id in &ids {
        if let Err(untold) = ear.hears_of(Action::Delete, id).await {
            // An owner may put back what it has lost, and a watcher tells what comes of changes that overtake each other.
            if !found(&site, &observer, &user.name).await?.contains(id) {
                return Err(untold);
            }
        }
    }
    Ok(())
}

async fn giving_up_loses_no_event(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    let watcher = open(&site, &registry, Some(&name)).await?;
    let wait = Duration::from_millis(3);
    let ids: Vec<String> = (1..=8).map(|number| format!("user-{number}")).collect();
    let mut told: Vec<String> = Vec::new();
    for id in &ids {
        let user = service(&name, id);
        let mut registering = registry.register(&user, RegisterOptions { ttl: lasting(&site) });
        loop {
            // The wait for the event is given up while the change is under way, again and again.
            if let Ok(next) = site.env().timeout(wait, watcher.next()).await {
                told.extend(created(&site.ask("read an event", async move { next }).await?));
            }
            if let Ok(done) = site.env().timeout(wait, &mut registering).await {
                site.ask("register a node", async move { done }).await?;
                break;
            }
        }
    }
    let deadline = site.env().now() + settling(&site);
    while !ids.iter().all(|id| told.contains(id)) && site.env().now() < deadline {
        if let Ok(next) = site.env().timeout(wait * 4, watcher.next()).await {
            told.extend(created(&site.ask("read an event", async move { next }).await?));
        }
    }
    told.sort();
    expect_equal("the nodes whose creation was told", &told, &ids)
}

/// The nodes that `event` tells as new.
fn created(event: &Event) -> Vec<String> {
    if event.action == Action::Create {
        super::tools::node_ids(std::slice::from_ref(&event.service))
    } else {
        Vec::new()
    }
}
