//! Renewal: who registers again in time is never gone, and what the backend lost is back with the next registration.

use std::sync::Arc;
use std::time::Duration;

use shaketable_sim::world::{Capability, Fault};
use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::{Action, Event, Registry, Service};

use super::ear::{listen, shown};
use super::tools::{
    RECOVERY, TIMELY, deregister, finds, finds_nodes_within, found, lingers, of_nodes, register, register_again,
    renewed_ttl, revised, service, short_ttl,
};
use crate::Level::{May, Must};
use crate::backend::{Act, Verb};
use crate::requirement::check;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-049",
        level: Must,
        sentence: "A node that is registered again three times within each TTL is found all the time.",
        source: "go-micro server/server.go: DefaultRegisterInterval of 30 s, DefaultRegisterTTL of 90 s",
        needs: &[Need::Has(Ability::Ttl)],
        check: check!(what_is_registered_again_stays),
    },
    Requirement {
        id: "REG-050",
        level: Must,
        sentence: "A node that is registered again in time is never told to watchers as gone, nor as new.",
        source: "decision of shaketable: a lease that is renewed when it is over leaves a gap that only watchers see",
        needs: &[Need::Has(Ability::Ttl), Need::Has(Ability::Watch), Need::Upheld(&["REG-058"])],
        check: check!(renewal_leaves_no_gap),
    },
    Requirement {
        id: "REG-051",
        level: Must,
        sentence: "Of several services that one client renews, none runs out.",
        source: "go-micro registry/etcd/etcd.go: leases are kept by name and id with nothing between them, so that two \
                 nodes can share one",
        needs: &[Need::Has(Ability::Ttl)],
        check: check!(every_service_of_a_client_is_renewed),
    },
    Requirement {
        id: "REG-052",
        level: Must,
        sentence: "A registration does not depend on the task that made it first.",
        source: "https://pkg.go.dev/go.etcd.io/etcd/client/v3: KeepAlive ends with the context of who asked for it",
        needs: &[Need::Has(Ability::Ttl)],
        check: check!(the_first_registrant_may_end),
    },
    Requirement {
        id: "REG-053",
        level: Must,
        sentence: "A node that ran out while its owner was paused is back when that registers again.",
        source: "go-plugins issue 127; go-micro pull request 820: lease not found, and registering fails for ever",
        needs: &[Need::Has(Ability::Ttl), TIMELY, Need::World(Capability::Pause)],
        check: check!(what_ran_out_is_back, "registered again within {}", RECOVERY),
    },
    Requirement {
        id: "REG-054",
        level: Must,
        sentence: "A node whose lease the backend lost is back when it is registered again.",
        source: "go-micro pull request 2959: a lease that etcd no longer knows",
        needs: &[Need::Has(Ability::Ttl), Need::Backend(Verb::LoseLeases)],
        check: check!(a_lost_lease_is_replaced, "registered again within {}", RECOVERY),
    },
    Requirement {
        id: "REG-055",
        level: Must,
        sentence: "A node whose entry somebody deleted is back when it is registered again, although its lease lives.",
        source: "micro-in-cn questions issue 5: a key that is deleted from outside is never written again",
        needs: &[Need::Backend(Verb::DeleteEntries)],
        check: check!(a_deleted_entry_is_replaced, "registered again within {}", RECOVERY),
    },
    Requirement {
        id: "REG-056",
        level: Must,
        sentence: "Fifty nodes that lose their leases at once are all back after each has registered again.",
        source: "go-micro issue 2821: mass expiry empties what callers know",
        needs: &[Need::Has(Ability::Ttl), Need::Backend(Verb::LoseLeases)],
        check: check!(a_mass_loss_is_made_good, "found within {}", RECOVERY),
    },
    Requirement {
        id: "REG-057",
        level: Must,
        sentence: "A node can still be deregistered after its lease was lost.",
        source: "decision of shaketable: a lease that is gone is no reason to keep a node",
        needs: &[Need::Has(Ability::Ttl), Need::Backend(Verb::LoseLeases)],
        check: check!(what_was_lost_can_be_deregistered),
    },
    Requirement {
        id: "REG-127",
        level: May,
        sentence: "A node that the backend lost, by its lease or its entry, is back within two TTLs before anybody \
                   registers it again.",
        source: "decision of shaketable: an owner that renews by itself knows of the loss before its caller does",
        needs: &[
            Need::Network,
            Need::Has(Ability::Ttl),
            Need::Backend(Verb::LoseLeases),
            Need::Backend(Verb::DeleteEntries),
        ],
        check: check!(what_was_lost_comes_back_by_itself),
    },
    Requirement {
        id: "REG-128",
        level: May,
        sentence: "A registry tells which registrations were lost, and whether they are back.",
        source: "decision of shaketable: a node that vanished for a while is a riddle to whoever looks for it later",
        needs: &[
            Need::Has(Ability::Ttl),
            Need::Has(Ability::Watch),
            Need::Backend(Verb::LoseLeases),
            Need::Backend(Verb::DeleteEntries),
            Need::InProcess("what was lost"),
            Need::Upheld(&["REG-061", "REG-068"]),
        ],
        check: check!(losses_are_told),
    },
];

async fn what_is_registered_again_stays(site: Site) -> Outcome {
    let (owner, observer) = (site.registry_on(Host::Second).await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), renewed_ttl(&site));
    let order = service(&site.name("order"), "order-1");
    for first in [&user, &order] {
        register(&site, &owner, first, Some(ttl)).await?;
        finds(&site, &observer, &first.name, std::slice::from_ref(first)).await?;
    }
    // Longer than the sixteen answers that etcd's client keeps for who does not read them; a person waits for less.
    let rounds = if site.is_simulated() { 40 } else { 12 };
    for round in 0..rounds {
        site.let_pass(ttl / 3).await;
        for (name, id) in [(&user.name, "user-1"), (&order.name, "order-1")] {
            let ids = found(&site, &observer, name).await?;
            let expected = format!("{id}, which is renewed three times within each TTL, to be found");
            let is_there = ids.iter().any(|found| found == id);
            expect(is_there, expected, || format!("it was gone after {round} renewals"))?;
        }
        register(&site, &owner, &user, Some(ttl)).await?;
        // The labels of the other one change once, and nodes come up beside it: neither is a reason to let it run out.
        let mut again = revised(&order, usize::from(round > 1));
        again.nodes.extend(service(&order.name, &format!("newcomer-{round}")).nodes);
        register(&site, &owner, &again, Some(ttl)).await?;
    }
    Ok(())
}

async fn renewal_leaves_no_gap(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), renewed_ttl(&site));
    let ear = listen(&site, &observer, Some(&user.name)).await?;
    register(&site, &owner, &user, Some(ttl)).await?;
    ear.hears_of(Action::Create, "user-1").await?;
    for _ in 0..12 {
        site.let_pass(ttl / 3).await;
        register(&site, &owner, &user, Some(ttl)).await?;
    }
    site.quiet_for(site.slack()).await;
    let events = ear.events();
    let gap = events.iter().skip(1).any(|event| event.action != Action::Update);
    expect(!gap, "no deletion and no second creation of a node that is renewed in time", || shown(&events))
}

async fn every_service_of_a_client_is_renewed(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let ttl = renewed_ttl(&site);
    let mut services: Vec<Service> = ["user", "order", "stock"]
        .into_iter()
        .map(|base| of_nodes(&site.name(base), "1.0.0", &[format!("{base}-1"), format!("{base}-2")]))
        .collect();
    // Two whose names and ids are alike where they are joined; the one is registered once, for long.
    register(&site, &owner, &service(&site.name("pay"), "ment-1"), Some(ttl * 20)).await?;
    services.push(service(&site.name("payment"), "-1"));
    for _ in 0..8 {
        for service in &services {
            register(&site, &owner, service, Some(ttl)).await?;
        }
        site.let_pass(ttl / 3).await;
    }
    for service in &services {
        finds_nodes_within(
            &site,
            &observer,
            &service.name,
            &super::tools::node_ids(std::slice::from_ref(service)),
            site.slack(),
        )
        .await?;
    }
    Ok(())
}

async fn the_first_registrant_may_end(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), renewed_ttl(&site));
    let (there, first, mine) = (site.clone(), owner.clone(), user.clone());
    let (done, registered) = tokio::sync::oneshot::channel();
    let task = site.env().spawn("check-registrant", async move {
        let outcome = register(&there, &first, &mine, Some(ttl)).await;
        // Nobody waits any more when the check has ended meanwhile.
        let _ = done.send(outcome);
    });
    let outcome = site.ends("register in a task that ends", registered).await?;
    outcome.map_err(|_| Finding::Broke("the task that registers has vanished".to_owned()))??;
    task.join().await;
    for _ in 0..9 {
        site.let_pass(ttl / 3).await;
        let ids = found(&site, &observer, &user.name).await?;
        expect(ids == ["user-1"], "a node that others renew to outlive its first registrant", || format!("{ids:?}"))?;
        register(&site, &owner, &user, Some(ttl)).await?;
    }
    Ok(())
}

async fn what_ran_out_is_back(site: Site) -> Outcome {
    let (owner, observer) = (site.registry_on(Host::Second).await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), short_ttl(&site));
    register(&site, &owner, &user, Some(ttl)).await?;
    site.inflict(Fault::Pause { host: Host::Second.name().to_owned() }).await?;
    site.let_pass(ttl + lingers(&site)).await;
    finds_nodes_within::<&str>(&site, &observer, &user.name, &[], site.slack()).await?;
    site.inflict(Fault::Resume { host: Host::Second.name().to_owned() }).await?;
    register_again(&site, &owner, &user, Some(ttl)).await?;
    finds(&site, &observer, &user.name, std::slice::from_ref(&user)).await
}

/// Registers, lets the backend do `act` to the nodes, and registers again after a `pause`.
async fn is_back_after(
    site: &Site,
    act: impl Fn(Vec<String>) -> Act,
    ttl: Option<Duration>,
    pause: Duration,
) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let ids = [site.name("user-1"), site.name("user-2")];
    let user = of_nodes(&site.name("user"), "1.0.0", &ids);
    for _ in 0..2 {
        register(site, &owner, &user, ttl).await?;
        finds(site, &observer, &user.name, std::slice::from_ref(&user)).await?;
        site.backend(act(ids.to_vec())).await?;
        site.let_pass(pause).await;
        register_again(site, &owner, &user, ttl).await?;
        finds(site, &observer, &user.name, std::slice::from_ref(&user)).await?;
    }
    Ok(())
}

async fn a_lost_lease_is_replaced(site: Site) -> Outcome {
    let ttl = short_ttl(&site) * 5;
    // Who keeps leases alive learns of the loss when the next of three renewals within a TTL fails.
    is_back_after(&site, Act::LoseLeases, Some(ttl), ttl / 2).await
}

async fn a_deleted_entry_is_replaced(site: Site) -> Outcome {
    let ttl = short_ttl(&site) * 5;
    let ttl = (!site.promises().lacks.contains(&Ability::Ttl)).then_some(ttl);
    is_back_after(&site, Act::DeleteEntries, ttl, site.slack()).await
}

async fn a_mass_loss_is_made_good(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let (name, ttl) = (site.name("user"), short_ttl(&site) * 5);
    let ids: Vec<String> = (0..50).map(|number| site.name(&format!("user-{number:02}"))).collect();
    for id in &ids {
        register(&site, &owner, &service(&name, id), Some(ttl)).await?;
    }
    finds_nodes_within(&site, &observer, &name, &ids, RECOVERY).await?;
    site.backend(Act::LoseLeases(ids.clone())).await?;
    site.let_pass(ttl / 2).await;
    for id in &ids {
        register_again(&site, &owner, &service(&name, id), Some(ttl)).await?;
    }
    finds_nodes_within(&site, &observer, &name, &ids, RECOVERY).await
}

/// Two nodes of one owner that lose their leases, their entries, and one its lease again, and are back each time.
async fn taken_from(site: &Site, owner: &Arc<dyn Registry>, observer: &Arc<dyn Registry>) -> Result<Service, Finding> {
    let ttl = short_ttl(site);
    let user = of_nodes(&site.name("user"), "1.0.0", &[site.name("user-1"), site.name("user-2")]);
    register(site, owner, &user, Some(ttl)).await?;
    let ids: Vec<String> = user.nodes.iter().map(|node| node.id.clone()).collect();
    for act in [Act::LoseLeases(ids.clone()), Act::DeleteEntries(ids.clone()), Act::LoseLeases(ids[..1].to_vec())] {
        finds_nodes_within(site, observer, &user.name, &ids, ttl * 2).await?;
        site.backend(act).await?;
        site.take_effect(site.slack()).await;
    }
    finds_nodes_within(site, observer, &user.name, &ids, ttl * 2).await?;
    Ok(user)
}

async fn what_was_lost_comes_back_by_itself(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let user = taken_from(&site, &owner, &observer).await?;
    // What is deregistered is not lost.
    deregister(&site, &owner, &user).await?;
    site.quiet_for(short_ttl(&site) * 2).await;
    finds(&site, &observer, &user.name, &[]).await
}

async fn losses_are_told(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let ttl = short_ttl(&site);
    let ids = [site.name("user-1"), site.name("user-2")];
    let mut user = of_nodes(&site.name("user"), "1.0.0", &ids);
    let ear = listen(&site, &observer, Some(&user.name)).await?;
    for _ in 0..2 {
        register(&site, &owner, &user, Some(ttl)).await?;
    }
    finds(&site, &observer, &user.name, std::slice::from_ref(&user)).await?;
    expect(owner.losses().is_empty(), "no loss before anything was lost", || format!("{:?}", owner.losses()))?;
    let [one, other] = &ids;
    // Who keeps leases alive by itself learns of the first two before it is asked to register again, and of the last, a change
    // of what was lost just now, with that.
    let taken = [
        (Act::LoseLeases(vec![one.clone()]), ttl / 2, one),
        (Act::DeleteEntries(vec![other.clone()]), ttl / 2, other),
        (Act::LoseLeases(vec![one.clone()]), Duration::ZERO, one),
    ];
    let mut known = 0;
    for (number, (act, pause, id)) in taken.into_iter().enumerate() {
        site.backend(act).await?;
        site.let_pass(pause).await;
        if pause.is_zero() {
            user = revised(&user, number);
        }
        register(&site, &owner, &user, Some(ttl)).await?;
        finds(&site, &observer, &user.name, std::slice::from_ref(&user)).await?;
        let losses = owner.losses();
        let told = |from: usize| losses.iter().skip(from).map(|loss| loss.node_id.clone()).collect::<Vec<_>>();
        expect(told(known).contains(id), format!("{id} to be told as lost"), || format!("told are {:?}", told(known)))?;
        known = losses.len();
        // Nodes that share a lease are lost together: what was deleted is what was lost.
        let mut all = told(0);
        all.sort();
        let what = format!("a deletion for each of the nodes that are told as lost, {all:?}, and for no other");
        ear.hears(&what, |events| deleted(events) == all).await?;
        let vague = losses.iter().find(|loss| !loss.restored || loss.reason.is_empty());
        expect(vague.is_none(), "each with its reason, and made good", || format!("{vague:?}"))?;
    }
    Ok(())
}

/// The ids of the nodes whose deletion is told, in order.
fn deleted(events: &[Event]) -> Vec<String> {
    let deletions = events.iter().filter(|event| event.action == Action::Delete);
    let mut ids: Vec<String> = deletions.flat_map(|event| &event.service.nodes).map(|node| node.id.clone()).collect();
    ids.sort();
    ids
}

async fn what_was_lost_can_be_deregistered(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), &site.name("user-1")), short_ttl(&site));
    register(&site, &owner, &user, Some(ttl)).await?;
    finds(&site, &observer, &user.name, std::slice::from_ref(&user)).await?;
    site.backend(Act::LoseLeases(vec![user.nodes[0].id.clone()])).await?;
    deregister(&site, &owner, &user).await?;
    site.quiet_for(ttl).await;
    finds(&site, &observer, &user.name, &[]).await
}
