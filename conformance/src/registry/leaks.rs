//! Leaks: what comes and goes a thousand times leaves nothing behind, and nobody asks the backend more than is needed.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::{RegisterOptions, Registry, Service};

use super::ear::{listen, open};
use super::tools::{
    all_or, deregister, finds, finds_nodes, found, has, lasting, look, of_nodes, put, register, service, short_ttl,
};
use crate::Level::{May, Must, Should};
use crate::backend::Verb;
use crate::requirement::check;
use crate::site::{CYCLES, LANES, Spare, Usage};
use crate::{Finding, Need, Outcome, Requirement, Site, expect};

/// Tasks of connections, and connections, which may come and go.
const SPARE: Spare = Spare::each(12);
/// Three calls a round are a thousand and two.
const ROUNDS: usize = CYCLES / 3 + 1;

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-115",
        level: Must,
        sentence: "A thousand watches of a service that does not exist, each stopped, leave at most 12 tasks behind and, where \
                   they are counted, 12 connections (100 of each in an adapter's process).",
        source: "go-micro issue 631, pull request 634: watching a service that does not exist leaks",
        needs: &[Need::Has(Ability::Watch), Need::Tasks, Need::Upheld(&["REG-068"])],
        check: check!(stopped_watches_leave_nothing),
    },
    Requirement {
        id: "REG-116",
        level: Must,
        sentence: "A thousand watchers that are dropped without being stopped leave at most 12 tasks behind and, where they \
                   are counted, 12 connections (100 of each in an adapter's process).",
        source: "go-plugins issue 383: goroutines of stopped watchers stay; decision of shaketable: in Rust what is \
                 dropped is gone",
        needs: &[Need::Has(Ability::Watch), Need::Tasks, Need::Upheld(&["REG-068"])],
        check: check!(dropped_watchers_leave_nothing),
    },
    Requirement {
        id: "REG-117",
        level: Must,
        sentence: "A thousand registrations, each deregistered, leave at most 12 tasks behind and, where they are counted, 12 \
                   connections (100 of each in an adapter's process).",
        source: "go-micro registry/memory.go (v6): a goroutine that never ends; registry/etcd: one keep-alive each",
        needs: &[Need::Tasks],
        check: check!(registrations_leave_nothing),
    },
    Requirement {
        id: "REG-118",
        level: Must,
        sentence: "A thousand lookups of services that do not exist leave at most 12 tasks behind and, where they are counted, \
                   12 connections (100 of each in an adapter's process).",
        source: "go-micro issue 631: each lookup through the cache starts a watcher",
        needs: &[Need::Tasks],
        check: check!(missed_lookups_leave_nothing),
    },
    Requirement {
        id: "REG-119",
        level: Must,
        sentence: "A thousand calls that are given up halfway leave at most 12 tasks behind and, where they are counted, 12 \
                   connections (100 of each in an adapter's process).",
        source: "go-plugins issue 314: the goroutine of a call that timed out is stuck on a channel that nobody reads",
        needs: &[Need::Tasks, Need::Upheld(&["REG-117"])],
        check: check!(calls_that_were_given_up_leave_nothing),
    },
    Requirement {
        id: "REG-120",
        level: Must,
        sentence: "A registry that was closed leaves no task behind.",
        source: "go-micro registry/memory.go (v6): the prune goroutine of each instance never ends",
        needs: &[Need::Tasks, Need::InProcess("which tasks are the plugin's")],
        check: check!(a_closed_registry_leaves_nothing, "within {}", GONE_WITHIN),
    },
    Requirement {
        id: "REG-121",
        level: Should,
        sentence: "A registry that was dropped without being closed leaves no task behind.",
        source: "decision of shaketable: in Rust a value that is dropped has let go of what it held",
        needs: &[Need::Tasks, Need::InProcess("that a value is dropped")],
        check: check!(a_dropped_registry_leaves_nothing, "within {}", GONE_WITHIN),
    },
    Requirement {
        id: "REG-122",
        level: Should,
        sentence: "Keeping registrations alive takes at most four requests, or messages of a stream, for each node and \
                   third of a TTL.",
        source: "go-micro issue 2821: a keep-alive request per node and interval overloads etcd; pull request 2822: a \
                 stream instead",
        needs: &[Need::Has(Ability::Ttl), Need::Backend(Verb::CountRequests), Need::VirtualTime],
        check: check!(renewal_takes_few_requests),
    },
    Requirement {
        id: "REG-149",
        level: May,
        sentence: "Keeping six hundred nodes of one service alive may take hardly more requests, or messages of a stream, than \
                   keeping one.",
        source: "https://etcd.io/docs/v3.6/learning/api/: any number of keys may be attached to one lease, which one message \
                 keeps alive, and LeaseTimeToLive tells all of them",
        needs: &[Need::Has(Ability::Ttl), Need::Backend(Verb::CountRequests), Need::VirtualTime],
        check: check!(many_nodes_are_renewed_as_one, "{} times as many at most", SAME),
    },
    Requirement {
        id: "REG-123",
        level: Should,
        sentence: "A lookup takes at most two requests, however many nodes the service has.",
        source: "go-micro registry/etcd/etcd.go: GetService is one range request, whatever the number of nodes; \
                 decision of shaketable: two, where a backend keeps names and nodes apart",
        needs: &[Need::Backend(Verb::CountRequests)],
        check: check!(a_lookup_takes_few_requests),
    },
    Requirement {
        id: "REG-146",
        level: Should,
        sentence: "Of a thousand times that a watch was stopped and a node deregistered, the second five hundred leave less \
                   than 1 KiB of memory each in use.",
        source: "go-micro issue 631, pull request 634: watching a service that does not exist leaks; decision of shaketable: \
                 what has ended is forgotten, and 1 KiB is less than a watcher, a connection or a buffer takes",
        needs: &[Need::Memory, Need::Upheld(&["REG-068", "REG-117"])],
        check: check!(what_has_ended_takes_no_memory),
    },
];

/// How soon what has no more to do has gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Waits until about as much is held as `before`, a thousand cycles ago.
async fn back_to(site: &Site, before: &Usage, after: &str) -> Outcome {
    site.lets_go(after, before, (SPARE, CYCLES), GONE_WITHIN).await
}

async fn tasks(site: &Site) -> Result<usize, Finding> {
    Ok(site.tasks().await?.total)
}

/// Waits until no more tasks live than `before`.
async fn all_end(site: &Site, before: usize, after: &str) -> Outcome {
    site.few_tasks(&format!("after {after}"), before, Duration::from_secs(5)).await
}

async fn warm(site: &Site) -> Result<Arc<dyn Registry>, Finding> {
    let registry = site.registry().await?;
    let user = service(&site.name("warm"), "warm-1");
    put(site, &registry, &user).await?;
    finds(site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    Ok(registry)
}

async fn stopped_watches_leave_nothing(site: Site) -> Outcome {
    let site = site.counted();
    let registry = warm(&site).await?;
    let before = site.usage().await?;
    let name = site.name("nobody");
    // A race between a stop and what it stops leaves something behind once in a hundred times.
    let watch = |_: usize| async {
        open(&site, &registry, Some(&name)).await?.stop();
        Ok(())
    };
    site.repeat(CYCLES, watch).await?;
    back_to(&site, &before, "many watches").await
}

async fn dropped_watchers_leave_nothing(site: Site) -> Outcome {
    let site = site.counted();
    let registry = warm(&site).await?;
    let before = site.usage().await?;
    let watch = |round: usize| {
        let (site, registry) = (&site, &registry);
        async move {
            let name = site.name(&format!("service-{}", round % 3));
            let service = if round.is_multiple_of(2) { Some(name.as_str()) } else { all_or(site, &name) };
            let watcher = open(site, registry, service).await?;
            // Some were waited on and given up, some never.
            if round % 4 < 2 {
                let _ = site.env().timeout(Duration::from_millis(1), watcher.next()).await;
            }
            Ok(())
        }
    };
    site.repeat(CYCLES, watch).await?;
    back_to(&site, &before, "many watchers that were dropped").await
}

/// A service and a node of it; whoever works side by side works on services of their own.
fn nth_user(site: &Site, number: usize) -> Service {
    service(&site.name(&format!("user-{}", number % LANES)), &format!("user-{}", number % 100))
}

/// A TTL that does not run out meanwhile, where the plugin takes one.
fn long_ttl(site: &Site) -> Option<Duration> {
    has(site, Ability::Ttl).then(|| short_ttl(site) * 10)
}

async fn registrations_leave_nothing(site: Site) -> Outcome {
    let site = site.counted();
    let registry = warm(&site).await?;
    let before = site.usage().await?;
    let come_and_go = |number: usize| {
        let (site, registry) = (&site, &registry);
        async move {
            let (user, ttl) = (nth_user(site, number), long_ttl(site));
            register(site, registry, &user, ttl).await?;
            if number.is_multiple_of(4) {
                // What keeps it alive must not be there twice.
                register(site, registry, &user, ttl).await?;
            }
            deregister(site, registry, &user).await
        }
    };
    site.repeat(CYCLES, come_and_go).await?;
    back_to(&site, &before, "many registrations").await?;
    let is_gone = |lane: usize| {
        let (site, registry) = (&site, &registry);
        async move {
            let ids = found(site, registry, &nth_user(site, lane).name).await?;
            expect(ids.is_empty(), "nothing left of what was deregistered", || format!("{} nodes", ids.len()))
        }
    };
    site.repeat(LANES, is_gone).await
}

async fn missed_lookups_leave_nothing(site: Site) -> Outcome {
    let site = site.counted();
    let registry = warm(&site).await?;
    let before = site.usage().await?;
    let miss = |number: usize| {
        let (site, registry) = (&site, &registry);
        async move {
            let ids = found(site, registry, &site.name(&format!("nobody-{}", number % 100))).await?;
            expect(ids.is_empty(), "nothing to be found", || format!("{ids:?}"))
        }
    };
    site.repeat(CYCLES, miss).await?;
    back_to(&site, &before, "many lookups of services that do not exist").await
}

async fn calls_that_were_given_up_leave_nothing(site: Site) -> Outcome {
    let site = site.counted();
    let registry = warm(&site).await?;
    let before = site.usage().await?;
    for number in 0..ROUNDS {
        let user = service(&site.name("user"), &format!("user-{}", number % 5));
        let wait = Duration::from_micros(500 * (number as u64 % 6));
        let options = RegisterOptions { ttl: lasting(&site) };
        let _ = site.env().timeout(wait, registry.register(&user, options)).await;
        let _ = site.env().timeout(wait, look(&registry, &site.name(&format!("nobody-{}", number % 100)))).await;
        let _ = site.env().timeout(wait, registry.watch(Default::default())).await;
    }
    back_to(&site, &before, "many calls that were given up").await
}

async fn what_has_ended_takes_no_memory(site: Site) -> Outcome {
    let registry = warm(&site).await?;
    let watches = has(&site, Ability::Watch);
    let cycle = |number: usize| {
        let (site, registry) = (&site, &registry);
        async move {
            let user = nth_user(site, number);
            if watches {
                open(site, registry, Some(&user.name)).await?.stop();
            }
            register(site, registry, &user, long_ttl(site)).await?;
            deregister(site, registry, &user).await
        }
    };
    site.remembers_nothing("watches that were stopped and nodes that were deregistered", cycle).await
}

/// Uses `registry` for everything that may start a task.
async fn busy(site: &Site, registry: &Arc<dyn Registry>) -> Outcome {
    let (user, ttl) = (of_nodes(&site.name("user"), "1.0.0", &["user-1", "user-2"]), short_ttl(site));
    let ttl = (!site.promises().lacks.contains(&Ability::Ttl)).then_some(ttl);
    register(site, registry, &user, ttl).await?;
    finds_nodes(site, registry, &user.name, &["user-1", "user-2"]).await?;
    if !site.promises().lacks.contains(&Ability::Watch) {
        let _ear = listen(site, registry, all_or(site, &user.name)).await?;
        site.take_effect(site.slack()).await;
    }
    Ok(())
}

async fn a_closed_registry_leaves_nothing(site: Site) -> Outcome {
    let baseline = tasks(&site).await?;
    let mut registries = Vec::new();
    for _ in 0..3 {
        let registry = site.registry().await?;
        busy(&site, &registry).await?;
        site.ask("close", registry.close()).await?;
        registries.push(registry);
    }
    all_end(&site, baseline, "closing three registries").await
}

async fn a_dropped_registry_leaves_nothing(site: Site) -> Outcome {
    let baseline = tasks(&site).await?;
    for _ in 0..3 {
        let registry = site.registry().await?;
        busy(&site, &registry).await?;
        drop(registry);
    }
    all_end(&site, baseline, "dropping three registries").await
}

/// The requests that registering `count` nodes again takes, `rounds` times, thrice within each TTL.
async fn requests_of_renewal(site: &Site, count: usize, rounds: u64) -> Result<u64, Finding> {
    // go-micro's own TTL. A request that is repeated until it is answered is repeated often in so long a time.
    let (registry, ttl) = (site.registry().await?, Duration::from_secs(90));
    let ids: Vec<String> = (0..count).map(|number| format!("user-{number:03}")).collect();
    let user = of_nodes(&site.name(&format!("user-{count}")), "1.0.0", &ids);
    register(site, &registry, &user, Some(ttl)).await?;
    finds_nodes(site, &registry, &user.name, &ids).await?;
    let before = site.requests().await?;
    for _ in 0..rounds {
        site.let_pass(ttl / 3).await;
        register(site, &registry, &user, Some(ttl)).await?;
    }
    let requests = site.requests().await? - before;
    site.ask("close the registry", registry.close()).await?;
    Ok(requests)
}

async fn renewal_takes_few_requests(site: Site) -> Outcome {
    let rounds = 6;
    for count in [10, 1] {
        let requests = requests_of_renewal(&site, count, rounds).await?;
        let bound = rounds * count as u64 * 4;
        expect(requests <= bound, format!("at most {bound} requests for {count} nodes in {rounds} rounds"), || {
            requests.to_string()
        })?;
    }
    Ok(())
}

/// What takes so many times the requests of one takes hardly more: some are repeated.
const SAME: u64 = 2;

async fn many_nodes_are_renewed_as_one(site: Site) -> Outcome {
    let rounds = 6;
    let one = requests_of_renewal(&site, 1, rounds).await?;
    let many = requests_of_renewal(&site, 600, rounds).await?;
    expect(many <= SAME * one, "requests as for one node", || {
        format!("{many} in {rounds} rounds, and {one} for one node")
    })
}

async fn a_lookup_takes_few_requests(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let ids: Vec<String> = (0..40).map(|number| format!("user-{number:02}")).collect();
    let user = of_nodes(&site.name("user"), "1.0.0", &ids);
    put(&site, &registry, &user).await?;
    finds_nodes(&site, &registry, &user.name, &ids).await?;
    let before = site.requests().await?;
    for _ in 0..20 {
        found(&site, &registry, &user.name).await?;
    }
    let requests = site.requests().await? - before;
    expect(requests <= 40, "at most 40 requests for 20 lookups", || format!("{requests}"))
}
