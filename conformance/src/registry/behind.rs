//! What stands behind a registry: what others write into its backend, what that forgets, and what is left in it.

use std::time::Duration;

use shaketable_sim::world::Capability;
use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::{Action, Event};

use super::ear::{is, listen, names, shown};
use super::resume::{cut_of_home, hears_or_ends};
use super::tools::{
    RECOVERY, all_or, deregister, finds, finds_nodes_within, lists, of_nodes, put, register, register_again, revised,
    service, short_ttl,
};
use crate::Level::{May, Must, Should};
use crate::backend::{Act, Verb};
use crate::requirement::check;
use crate::site::SLACK;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-129",
        level: Should,
        sentence: "What other programs write into the backend, beside a service's nodes or elsewhere, is neither found nor \
                   told.",
        source: "decision of shaketable: a backend is shared, and what another program writes must not hide or invent \
                 services; go-micro registry/etcd/etcd.go: GetService leaves out what is no JSON",
        needs: &[Need::Has(Ability::Watch), Need::Backend(Verb::Litter), Need::Backend(Verb::DeleteEntries)],
        check: check!(what_others_write_is_no_service),
    },
    Requirement {
        id: "REG-130",
        level: Must,
        sentence: "A watch tells what changed while its client was cut off although the backend has forgotten its \
                   history since, or ends with an error.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: watch is Resumable only so long as the revision is \
                 in the history; decision of shaketable: a gap that nobody tells is the worst answer",
        needs: &[
            Need::Has(Ability::Watch),
            Need::Backend(Verb::Cut),
            Need::Backend(Verb::Compact),
            Need::Network,
            Need::World(Capability::Cut),
            Need::Upheld(&["REG-068"]),
        ],
        check: check!(a_watch_survives_a_compaction, "within {} after the fault", RECOVERY),
    },
    Requirement {
        id: "REG-135",
        level: May,
        sentence: "A watch that begins anew after a compaction tells nothing of a node that stayed as it was.",
        source: "decision of shaketable: whoever compares what there is with what was told need tell the difference alone",
        needs: &[
            Need::Has(Ability::Watch),
            Need::Backend(Verb::Cut),
            Need::Backend(Verb::Compact),
            Need::Network,
            Need::World(Capability::Cut),
            Need::Upheld(&["REG-068"]),
        ],
        check: check!(a_watch_tells_nothing_of_what_stayed),
    },
    Requirement {
        id: "REG-131",
        level: May,
        sentence: "A watch that goes on after a restart of the backend tells nothing twice.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: watch is Unique, an event never appears on it twice",
        needs: &[Need::Has(Ability::Watch), Need::Backend(Verb::Restart), Need::Network, Need::Upheld(&["REG-068"])],
        check: check!(a_watch_tells_nothing_twice, "within {} after the fault", RECOVERY),
    },
    Requirement {
        id: "REG-132",
        level: May,
        sentence: "What was registered with one TTL and another, and deregistered, leaves nothing in the backend, neither \
                   an entry nor a lease.",
        source: "decision of shaketable: a lease without entries costs the backend until its time is over",
        needs: &[Need::Has(Ability::Ttl), Need::Backend(Verb::CountHeld)],
        check: check!(
            nothing_is_left_behind,
            "of two nodes {} with a TTL and {} without while they are registered, and none {} after they are not",
            HELD_WITH_TTL,
            HELD_WITHOUT,
            SLACK
        ),
    },
    Requirement {
        id: "REG-133",
        level: May,
        sentence: "A node whose owner lives is not told as gone when its backend is cut off for a quarter of its TTL.",
        source: "https://etcd.io/docs/v3.6/learning/api/: a lease expires if the cluster does not receive a keepAlive \
                 within its TTL; decision of shaketable: one that is not answered is repeated before that",
        needs: &[
            Need::Has(Ability::Ttl),
            Need::Has(Ability::Watch),
            Need::Backend(Verb::Cut),
            Need::Network,
            Need::VirtualTime,
        ],
        check: check!(renewal_outlives_a_short_cut, "within {} after the fault", RECOVERY),
    },
];

/// Two nodes: an entry each, and where they have a TTL a lease each at most, unless they share one.
const HELD_WITH_TTL: u64 = 4;
const HELD_WITHOUT: u64 = 2;

async fn what_others_write_is_no_service(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), &site.name("user-1"));
    let id = user.nodes[0].id.clone();
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    let ears =
        [listen(&site, &registry, Some(&user.name)).await?, listen(&site, &registry, all_or(&site, &user.name)).await?];
    let mut values: Vec<String> = ["litter", "", "null", "[]", "{}"].map(str::to_owned).to_vec();
    for nodes in ["[]", "null"] {
        values.push(format!(r#"{{"name":"{}","version":"1.0.0","nodes":{nodes}}}"#, user.name));
    }
    site.backend(Act::Litter { node: id.clone(), values }).await?;
    let changed = revised(&user, 1);
    put(&site, &registry, &changed).await?;
    for ear in &ears {
        ear.hears_of(Action::Update, &id).await?;
        let events = ear.events();
        let strange = events.iter().any(|event| !is(event, Action::Update, &id));
        expect(!strange, "the update of the one node, and nothing of what others wrote", || shown(&events))?;
    }
    finds(&site, &registry, &user.name, std::slice::from_ref(&changed)).await?;
    if super::tools::has(&site, Ability::List) {
        lists(&site, &registry, std::slice::from_ref(&user.name)).await?;
    }
    site.backend(Act::DeleteEntries(vec![id])).await
}

async fn a_watch_survives_a_compaction(site: Site) -> Outcome {
    told_across_a_compaction(&site).await.map(drop)
}

async fn a_watch_tells_nothing_of_what_stayed(site: Site) -> Outcome {
    let events = told_across_a_compaction(&site).await?;
    let of_the_same = events.iter().filter(|event| names(event, "user-0")).count();
    expect(of_the_same == 1, "nothing more of the node that stayed as it was", || shown(&events))
}

/// What a watch tells of a compaction of what it has missed: a node goes, one changes, one comes, and `user-0` stays.
async fn told_across_a_compaction(site: &Site) -> Result<Vec<Event>, Finding> {
    let (registry, other) = (site.registry().await?, site.registry_on(Host::Third).await?);
    let name = site.name("user");
    let ear = listen(site, &registry, Some(&name)).await?;
    for node in ["user-0", "user-1", "user-2"] {
        put(site, &other, &service(&name, node)).await?;
        ear.hears_of(Action::Create, node).await?;
    }
    let [begin, end] = cut_of_home(site)?;
    for fault in begin {
        site.inflict(fault).await?;
    }
    deregister(site, &other, &service(&name, "user-1")).await?;
    put(site, &other, &revised(&service(&name, "user-2"), 2)).await?;
    put(site, &other, &service(&name, "user-3")).await?;
    site.backend(Act::Compact).await?;
    site.let_pass(Duration::from_secs(15)).await;
    for fault in end {
        site.inflict(fault).await?;
    }
    for (action, node) in [(Action::Delete, "user-1"), (Action::Update, "user-2"), (Action::Create, "user-3")] {
        let told = |events: &[Event]| events.iter().any(|event| is(event, action, node));
        hears_or_ends(site, &ear, &format!("{} of {node}, which happened meanwhile", action.as_str()), told).await?;
    }
    Ok(ear.events())
}

async fn a_watch_tells_nothing_twice(site: Site) -> Outcome {
    let (registry, other) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let name = site.name("user");
    let ear = listen(&site, &registry, Some(&name)).await?;
    put(&site, &other, &service(&name, "user-1")).await?;
    ear.hears_of(Action::Create, "user-1").await?;
    site.backend(Act::Stop).await?;
    site.let_pass(Duration::from_secs(2)).await;
    site.backend(Act::Start).await?;
    register_again(&site, &other, &service(&name, "user-2"), super::tools::lasting(&site)).await?;
    let created = |events: &[Event]| events.iter().any(|event| is(event, Action::Create, "user-2"));
    hears_or_ends(&site, &ear, "create of user-2", created).await?;
    site.quiet_for(site.slack()).await;
    let events = ear.events();
    let once = ["user-1", "user-2"].iter().all(|node| events.iter().filter(|event| names(event, node)).count() <= 1);
    expect(once, "each creation to be told once", || shown(&events))
}

async fn nothing_is_left_behind(site: Site) -> Outcome {
    let (registry, ttl) = (site.registry().await?, short_ttl(&site) * 20);
    let user = of_nodes(&site.name("user"), "1.0.0", &[site.name("user-1"), site.name("user-2")]);
    // What a registry holds for itself is there from the first registration on.
    register(&site, &registry, &user, Some(ttl)).await?;
    deregister(&site, &registry, &user).await?;
    site.take_effect(site.slack()).await;
    let before = site.held().await?;
    let holds = async |at_most: u64, after: &str| -> Outcome {
        let probe = || async {
            let more = site.held().await.map_err(|finding| finding.to_string())?.saturating_sub(before);
            if more <= at_most { Ok(()) } else { Err(format!("{more} more")) }
        };
        let what = format!("the backend to hold at most {at_most} entries and leases more than before, after {after}");
        site.eventually(&what, site.slack(), probe).await
    };
    for (ttl, at_most) in
        [(Some(ttl), HELD_WITH_TTL), (Some(ttl * 2), HELD_WITH_TTL), (None, HELD_WITHOUT), (Some(ttl), HELD_WITH_TTL)]
    {
        register(&site, &registry, &user, ttl).await?;
        register(&site, &registry, &revised(&user, 1), ttl).await?;
        holds(at_most, &format!("two nodes were registered with {ttl:?}")).await?;
    }
    let losses = registry.losses();
    expect(losses.is_empty(), "no loss to be told where nothing was lost", || format!("{losses:?}"))?;
    deregister(&site, &registry, &user).await?;
    holds(0, "they were deregistered").await
}

async fn renewal_outlives_a_short_cut(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry_on(Host::Second).await?);
    // Whole seconds, of which a third is no multiple of a quarter: the cut lies around the first renewal.
    let (user, ttl) = (service(&site.name("user"), "user-1"), short_ttl(&site) + Duration::from_secs(1));
    let ear = listen(&site, &observer, Some(&user.name)).await?;
    register(&site, &owner, &user, Some(ttl)).await?;
    ear.hears_of(Action::Create, "user-1").await?;
    site.let_pass(ttl / 4).await;
    site.backend(Act::Cut).await?;
    site.let_pass(ttl / 4).await;
    site.backend(Act::Heal).await?;
    site.let_pass(ttl * 2).await;
    register_again(&site, &owner, &user, Some(ttl)).await?;
    finds_nodes_within(&site, &observer, &user.name, &["user-1"], RECOVERY).await?;
    let changed = revised(&user, 1);
    register_again(&site, &owner, &changed, Some(ttl)).await?;
    let updated = |events: &[Event]| events.iter().any(|event| is(event, Action::Update, "user-1"));
    hears_or_ends(&site, &ear, "update of user-1", updated).await?;
    let events = ear.events();
    let gap = events.iter().skip(1).any(|event| event.action != Action::Update);
    expect(!gap, "no deletion and no second creation of a node whose owner lives", || shown(&events))
}
