//! Many at once: tasks that register, deregister, look up, list and watch, and calls that are given up halfway.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::{ListOptions, RegisterOptions, Registry, Service};

use super::tools::{
    deregister, finds, finds_nodes, finds_nodes_within, found, has, lasting, look, of_nodes, put, revised, service,
    settling, told,
};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-092",
        level: Must,
        sentence: "Nodes that many tasks and clients register at the same time are all found.",
        source: "go-micro registry/etcd/etcd.go: Register puts each node under a key of its own",
        needs: &[],
        check: check!(registrations_at_the_same_time_are_all_found),
    },
    Requirement {
        id: "REG-093",
        level: Must,
        sentence: "Registering, deregistering, looking up, listing and watching from many tasks all end, and leave \
            what they should.",
        source: "go-micro pull request 2794, issue 2743: concurrent map writes",
        needs: &[Need::Upheld(&["REG-092"])],
        check: check!(everything_at_once_ends),
    },
    Requirement {
        id: "REG-094",
        level: Must,
        sentence: "While a node is changed every lookup finds it, as it was or as it is.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: operations are atomic",
        needs: &[Need::Upheld(&["REG-010"])],
        check: check!(a_change_is_one_step),
    },
    Requirement {
        id: "REG-095",
        level: Must,
        sentence: "A registration that was given up halfway keeps no later call from working.",
        source: "decision of shaketable: callers have deadlines; what a dropped future held must be let go",
        needs: &[Need::Upheld(&["REG-010", "REG-092"])],
        check: check!(giving_up_blocks_nobody),
    },
];

/// How many tasks register and deregister as fast as they can on real machines, how often each, and for how long at most.
const STORMS: usize = 16;
const STORM_ROUNDS: usize = 2_000;
const STORM: Duration = Duration::from_secs(5);

/// Runs `jobs` as tasks, and waits for all.
async fn all_of<Job>(site: &Site, jobs: Vec<Job>) -> Outcome
where
    Job: Future<Output = Outcome> + Send + 'static,
{
    let mut tasks = Vec::new();
    for job in jobs {
        let (done, outcome) = tokio::sync::oneshot::channel();
        let task = site.env().spawn("check-job", async move {
            // Nobody waits any more when the check has ended meanwhile.
            let _ = done.send(job.await);
        });
        tasks.push((task, outcome));
    }
    for (task, outcome) in tasks {
        outcome.await.map_err(|_| Finding::Broke("a task of the check has vanished".to_owned()))??;
        task.join().await;
    }
    Ok(())
}

async fn registrations_at_the_same_time_are_all_found(site: Site) -> Outcome {
    let clients = [site.registry().await?, site.registry_on(Host::Second).await?];
    let name = site.name("user");
    let ids: Vec<String> = (0..24).map(|number| format!("user-{number:02}")).collect();
    let jobs = ids.iter().enumerate().map(|(number, id)| {
        let (site, client, user) = (site.clone(), clients[number % 2].clone(), service(&name, id));
        async move { put(&site, &client, &user).await }
    });
    all_of(&site, jobs.collect()).await?;
    for client in &clients {
        finds_nodes(&site, client, &name, &ids).await?;
    }
    Ok(())
}

/// What one of many tasks does: its own node comes and goes, and in the end stays where `stays` says so.
async fn bustle(site: Site, registry: Arc<dyn Registry>, user: Service, pauses: Vec<u64>, stays: bool) -> Outcome {
    for (round, pause) in pauses.into_iter().enumerate() {
        put(&site, &registry, &revised(&user, round)).await?;
        site.let_pass(Duration::from_millis(pause)).await;
        match round % 4 {
            0 => drop(found(&site, &registry, &user.name).await?),
            1 if !has(&site, Ability::List) => {}
            1 => drop(site.ask("list", registry.list_services(ListOptions::default())).await?),
            2 if has(&site, Ability::Watch) => super::ear::open(&site, &registry, Some(&user.name)).await?.stop(),
            _ => deregister(&site, &registry, &user).await?,
        }
    }
    if stays { put(&site, &registry, &user).await } else { deregister(&site, &registry, &user).await }
}

/// Registers and deregisters a node of its own as fast as it can: what lacks a lock breaks only where two are in it at the same
/// instant, and does so once in thousands of calls.
async fn storm(site: Site, registry: Arc<dyn Registry>, user: Service, lasts: Duration) -> Outcome {
    let end = site.env().now() + lasts;
    for _ in 0..STORM_ROUNDS {
        if site.env().now() >= end {
            break;
        }
        // A plugin in memory never waits by itself.
        tokio::task::yield_now().await;
        put(&site, &registry, &user).await?;
        deregister(&site, &registry, &user).await?;
    }
    Ok(())
}

async fn everything_at_once_ends(site: Site) -> Outcome {
    let clients = [site.registry().await?, site.registry_on(Host::Second).await?];
    let name = site.name("user");
    let mut random = site.env().random("pauses");
    let mut jobs = Vec::new();
    for number in 0..10 {
        let pauses = (0..6).map(|_| random.random_range(0..15)).collect();
        let user = service(&name, &format!("user-{number}"));
        jobs.push(bustle(site.clone(), clients[number % 2].clone(), user, pauses, number % 3 != 0));
    }
    all_of(&site, jobs).await?;
    let staying: Vec<String> =
        (0..10).filter(|number| number % 3 != 0).map(|number: usize| format!("user-{number}")).collect();
    for client in &clients {
        finds_nodes(&site, client, &name, &staying).await?;
    }
    // Hosts of the simulator have one thread each.
    if !site.is_simulated() {
        let storms = (0..STORMS).map(|number| {
            let user = service(&site.name("storm"), &format!("storm-{number}"));
            storm(site.clone(), clients[0].clone(), user, STORM)
        });
        all_of(&site, storms.collect()).await?;
    }
    Ok(())
}

async fn a_change_is_one_step(site: Site) -> Outcome {
    let (registry, other) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let user = of_nodes(&site.name("user"), "1.0.0", &["user-1"]);
    put(&site, &other, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    let (there, writer, mine) = (site.clone(), other.clone(), user.clone());
    let writing = async move {
        for number in 1..=25 {
            put(&there, &writer, &revised(&mine, number)).await?;
        }
        Outcome::Ok(())
    };
    let (done, mut written) = tokio::sync::oneshot::channel();
    let task = site.env().spawn("check-writer", async move {
        // Nobody waits any more when the check has ended meanwhile.
        let _ = done.send(writing.await);
    });
    let mut looks = 0;
    while written.try_recv().is_err() && looks < 2_000 {
        let services = site.ask("get user while it changes", look(&registry, &user.name)).await?;
        let one = services.len() == 1 && services[0].nodes.len() == 1;
        expect(one, "exactly one node while it is changed", || super::tools::summary(&services))?;
        let state = services[0].nodes[0].metadata.get("revision").map_or(0, |text| text.parse().unwrap_or(99));
        let expected = if state == 0 { user.clone() } else { revised(&user, state) };
        expect(services[0] == expected, "one of the states that were registered", || format!("{:?}", services[0]))?;
        site.let_pass(Duration::from_millis(1)).await;
        looks += 1;
    }
    task.join().await;
    finds(&site, &registry, &user.name, &[revised(&user, 25)]).await
}

async fn giving_up_blocks_nobody(site: Site) -> Outcome {
    let (registry, other) = (site.registry().await?, site.registry().await?);
    let user = service(&site.name("user"), "user-1");
    for round in 0..8 {
        let wait = Duration::from_micros(site.env().random("patience").random_range(0..6_000));
        let changed = revised(&user, round);
        let options = RegisterOptions { ttl: lasting(&site) };
        // Whether it was done or not: nobody waits for it any more.
        let _ = site.env().timeout(wait, registry.register(&changed, options)).await;
        let _ = site.env().timeout(wait, look(&registry, &user.name)).await;
    }
    // Behind an adapter, or in a backend, a call that was given up may still be under way.
    site.take_effect(site.slack() * 2).await;
    let last = revised(&user, 100);
    put(&site, &registry, &last).await?;
    finds(&site, &other, &user.name, std::slice::from_ref(&last)).await?;
    deregister(&site, &registry, &user).await?;
    finds_nodes_within::<&str>(&site, &other, &user.name, &[], settling(&site)).await?;
    site.quiet_for(site.slack()).await;
    finds(&site, &other, &user.name, &[]).await?;
    if !has(&site, Ability::List) {
        return Ok(());
    }
    told(registry.list_services(ListOptions::default()).await)
        .map(drop)
        .map_err(|why| Finding::violated("the list to answer", why))
}
