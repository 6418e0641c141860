//! Faults of the backend and of the links to it: what is answered meanwhile, and that all works again afterwards.

use std::time::Duration;

use shaketable_sim::world::{Capability, Fault};
use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::{
    DeregisterOptions, GetOptions, ListOptions, RegisterOptions, Registry, RegistryOptions, WatchOptions,
};
use std::sync::Arc;

use super::tools::{
    RECOVERY, all_or, deregister, finds, finds_nodes, finds_nodes_within, found, has, lasting, put, register,
    register_again, renewed_ttl, revised, service, summary,
};
use crate::Level::{Must, Should};
use crate::backend::{Act, Verb};
use crate::requirement::check;
use crate::site::ANSWER_WITHIN;
use crate::site::SLACK;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-096",
        level: Must,
        sentence: "A backend that cannot be reached is told as an error, never as a service that does not exist or an \
            empty list.",
        source: "go-micro registry/etcd/etcd.go: GetService returns the error of the backend, and ErrNotFound only \
                 where there are no keys",
        needs: &[Need::Backend(Verb::Cut), Need::Network],
        check: check!(unreachable_is_not_unknown),
    },
    Requirement {
        id: "REG-097",
        level: Must,
        sentence: "Every operation ends within twenty seconds while the backend does not answer.",
        source: "go-micro registry/etcd/etcd.go: each request has the time-out of the options; issue 2144: one that \
                 had none hangs",
        needs: &[Need::Backend(Verb::Pause)],
        check: check!(every_operation_ends_while_nobody_answers, "each of them within {}", ANSWER_WITHIN),
    },
    Requirement {
        id: "REG-098",
        level: Should,
        sentence: "A lookup that nobody answers ends about when the time-out of the options is over.",
        source: "go-micro registry/options.go: Timeout",
        needs: &[Need::Backend(Verb::Pause), Need::InProcess("options by init")],
        check: check!(the_timeout_holds, "{} for a time-out of {}", SLACK.after(TIMEOUT * 2), TIMEOUT),
    },
    Requirement {
        id: "REG-099",
        level: Must,
        sentence: "What was acknowledged while the backend was cut off is true once it can be reached again.",
        source: "decision of shaketable: an acknowledgement is a promise",
        needs: &[Need::Backend(Verb::Cut), Need::Network],
        check: check!(what_is_acknowledged_is_true, "within {} of its end", RECOVERY),
    },
    Requirement {
        id: "REG-100",
        level: Must,
        sentence: "A registry can be made, or refuses to be, within twenty seconds while its backend is down, and \
                   works later.",
        source: "go-micro issue 2144: the etcd constructor hangs",
        needs: &[Need::Backend(Verb::Restart)],
        check: check!(
            a_registry_can_be_made_while_the_backend_is_down,
            "each within {}, and works within {} of its start",
            ANSWER_WITHIN,
            RECOVERY
        ),
    },
    Requirement {
        id: "REG-101",
        level: Must,
        sentence: "A registry works again within half a minute after its backend was restarted, and what was \
                   registered is there after it is registered again.",
        source: "micro-in-cn questions issue 5: after a restart of etcd nothing is registered again; \
                 https://etcd.io/docs/v3.6/learning/api_guarantees/: durability",
        needs: &[Need::Backend(Verb::Restart)],
        check: check!(it_works_after_a_restart, "each operation, tried again and again, within {}", RECOVERY),
    },
    Requirement {
        id: "REG-142",
        level: Must,
        sentence: "A registry works again within half a minute after its backend ended in order, which tells its clients \
                   so, and was started again.",
        source: "etcd server/embed/etcd.go (3.6): Close stops the servers in order, so that streams end and requests are \
                 refused by a server that still answers; Kubernetes: a pod that is moved gets SIGTERM first",
        needs: &[Need::Backend(Verb::Terminate)],
        check: check!(it_works_after_an_end, "each operation, tried again and again, within {}", RECOVERY),
    },
    Requirement {
        id: "REG-102",
        level: Must,
        sentence: "A registry works again within half a minute after its backend paused.",
        source: "decision of shaketable: a stall of a virtual machine or of a disk is the most common fault of \
            backends",
        needs: &[Need::Backend(Verb::Pause), Need::Upheld(&["REG-097"])],
        check: check!(it_works_after_a_pause, "each operation, tried again and again, within {}", RECOVERY),
    },
    Requirement {
        id: "REG-103",
        level: Must,
        sentence: "A registry works again within half a minute after it was cut off from its backend, without a sign that \
                   connections died.",
        source: "https://etcd.io/docs/v3.6/op-guide/configuration/: keep-alive pings find connections that died \
            silently",
        needs: &[Need::Backend(Verb::Cut), Need::Upheld(&["REG-097"])],
        check: check!(it_works_after_a_cut, "each operation, tried again and again, within {}", RECOVERY),
    },
    Requirement {
        id: "REG-104",
        level: Must,
        sentence: "A registry works again within half a minute after the host that it runs on paused.",
        source: "decision of shaketable: laptops sleep and virtual machines move",
        needs: &[Need::World(Capability::Pause)],
        check: check!(it_works_after_a_pause_of_its_own, "each operation, tried again and again, within {}", RECOVERY),
    },
    Requirement {
        id: "REG-105",
        level: Must,
        sentence: "Where encryption is asked for nothing is written or read in the clear.",
        source: "go-micro registry/options.go: Secure; a backend that speaks in the clear cannot serve it",
        needs: &[Need::Network],
        check: check!(nothing_is_done_in_the_clear),
    },
    Requirement {
        id: "REG-134",
        level: Should,
        sentence: "A registry that is given other addresses no longer asks the backend at the old ones.",
        source: "go-micro registry/etcd/etcd.go: Init makes another client, for the addresses of its options; decision of \
                 shaketable: an option that is taken and has no effect is worse than one that is refused",
        needs: &[Need::Network, Need::InProcess("options by init")],
        check: check!(other_addresses_hold, "within {} at the old addresses again", RECOVERY),
    },
    Requirement {
        id: "REG-140",
        level: Must,
        sentence: "A registry whose backend answers three tenths of a second late still registers, finds and deregisters, \
            and a node that is renewed four times within each TTL stays.",
        source: "go-micro registry/etcd/etcd.go: a request may take five seconds; decision of shaketable: a backend on \
                 another continent, or one that waits for its disk, answers that late for hours",
        needs: &[Need::Has(Ability::Ttl), Need::Backend(Verb::Delay)],
        check: check!(it_works_with_a_backend_that_answers_late),
    },
    Requirement {
        id: "REG-148",
        level: Should,
        sentence: "What was deregistered, or failed to be registered, while the backend was cut off is gone two TTLs after it, \
                   though other nodes of the same process are renewed all the time.",
        source: "decision of shaketable: neighbours may share a lease, which keeps alive what nobody wants any more",
        needs: &[Need::Has(Ability::Ttl), Need::Backend(Verb::Cut), Need::Network, Need::VirtualTime],
        check: check!(what_nobody_wants_does_not_live_on, "with a TTL of {}", WANTED_TTL),
    },
];

/// Longer than anybody waits for an answer.
const WANTED_TTL: Duration = Duration::from_secs(60);

/// The time-out of a lookup that nobody answers.
const TIMEOUT: Duration = Duration::from_secs(1);

async fn unreachable_is_not_unknown(site: Site) -> Outcome {
    let (registry, fresh) = (site.registry().await?, site.registry().await?);
    let user = service(&site.name("user"), "user-1");
    put(&site, &registry, &user).await?;
    site.backend(Act::Cut).await?;
    for registry in [&registry, &fresh] {
        match site
            .ends("get user from a backend that is cut off", registry.get_service(&user.name, GetOptions::default()))
            .await?
        {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Finding::violated(
                    "an error that says that the backend cannot be reached",
                    error.to_string(),
                ));
            }
            Err(_) => {}
            Ok(services) => {
                expect(!services.is_empty(), "an error, or what is known", || "an empty answer".to_owned())?
            }
        }
        let list = registry.list_services(ListOptions::default());
        if let Ok(list) = site.ends("list services of a backend that is cut off", list).await? {
            expect(!list.is_empty(), "an error, or what is known", || "an empty list".to_owned())?;
        }
    }
    site.backend(Act::Heal).await
}

async fn every_operation_ends_while_nobody_answers(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let (user, other) = (service(&site.name("user"), "user-1"), service(&site.name("order"), "order-1"));
    put(&site, &registry, &user).await?;
    site.backend(Act::Pause).await?;
    let ttl = lasting(&site);
    let _ = site.ends("register, unanswered", registry.register(&other, RegisterOptions { ttl })).await?;
    let _ = site.ends("register again, unanswered", registry.register(&user, RegisterOptions { ttl })).await?;
    let _ = site.ends("get, unanswered", registry.get_service(&user.name, GetOptions::default())).await?;
    let service = all_or(&site, &user.name).map(str::to_owned);
    let _ = site.ends("list, unanswered", registry.list_services(ListOptions::default())).await?;
    let _ = site.ends("watch, unanswered", registry.watch(WatchOptions { service })).await?;
    let _ = site.ends("deregister, unanswered", registry.deregister(&user, DeregisterOptions::default())).await?;
    let _ = site.ends("close, unanswered", registry.close()).await?;
    site.backend(Act::Resume).await
}

async fn the_timeout_holds(site: Site) -> Outcome {
    let registry = site.registry().await?;
    // Before that time-out holds, because a bad network may take longer.
    put(&site, &registry, &service(&site.name("user"), "user-1")).await?;
    let options = RegistryOptions { timeout: TIMEOUT, ..registry.options() };
    site.ask("set a time-out of a second", async { registry.init(options) }).await?;
    site.backend(Act::Pause).await?;
    let order = site.name("order");
    let get = registry.get_service(&order, GetOptions::default());
    let _ = site.within("a lookup that nobody answers", site.by_world(SLACK.after(TIMEOUT * 2)), get).await?;
    site.backend(Act::Resume).await
}

async fn what_is_acknowledged_is_true(site: Site) -> Outcome {
    let (registry, observer) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let (new, old) = (service(&site.name("order"), "order-1"), service(&site.name("user"), "user-1"));
    put(&site, &registry, &old).await?;
    finds(&site, &observer, &old.name, std::slice::from_ref(&old)).await?;
    site.backend(Act::Cut).await?;
    let ttl = lasting(&site);
    let registered = site.ends("register while cut off", registry.register(&new, RegisterOptions { ttl })).await?;
    let gone = site.ends("deregister while cut off", registry.deregister(&old, DeregisterOptions::default())).await?;
    site.backend(Act::Heal).await?;
    if registered.is_ok() {
        finds_nodes_within(&site, &observer, &new.name, &["order-1"], RECOVERY).await?;
    }
    if gone.is_ok() {
        finds_nodes_within::<&str>(&site, &observer, &old.name, &[], RECOVERY).await?;
    }
    Ok(())
}

async fn what_nobody_wants_does_not_live_on(site: Site) -> Outcome {
    let (registry, observer) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let named = |name: &str| service(&site.name(name), &format!("{name}-1"));
    let [kept, leaves, fails, again] = ["kept", "leaves", "fails", "again"].map(named);
    let ttl = Some(WANTED_TTL);
    for service in [&kept, &leaves, &again] {
        register(&site, &registry, service, ttl).await?;
    }
    finds_nodes(&site, &observer, &leaves.name, &["leaves-1"]).await?;
    // Before that time-out holds, because a bad network may take longer.
    let options = RegistryOptions { timeout: TIMEOUT, ..registry.options() };
    site.ask("set a time-out of a second", async { registry.init(options) }).await?;
    site.backend(Act::Cut).await?;
    let leave = |service| registry.deregister(service, DeregisterOptions::default());
    let _ = site.ends("deregister leaves while cut off", leave(&leaves)).await?;
    let _ = site.ends("deregister again while cut off", leave(&again)).await?;
    let failed = site.ends("register fails while cut off", registry.register(&fails, RegisterOptions { ttl })).await?;
    site.backend(Act::Heal).await?;
    for _ in 0..8 {
        register_again(&site, &registry, &kept, ttl).await?;
        register_again(&site, &registry, &again, ttl).await?;
        site.let_pass(WANTED_TTL / 4).await;
    }
    for (service, id) in [(&kept, "kept-1"), (&again, "again-1")] {
        finds_nodes(&site, &observer, &service.name, &[id]).await?;
    }
    finds_nodes::<&str>(&site, &observer, &leaves.name, &[]).await?;
    if failed.is_err() {
        finds_nodes::<&str>(&site, &observer, &fails.name, &[]).await?;
    }
    Ok(())
}

async fn a_registry_can_be_made_while_the_backend_is_down(site: Site) -> Outcome {
    site.backend(Act::Stop).await?;
    let began = site.env().now();
    let made = site.registry().await;
    if made.is_err() && site.env().now() - began >= ANSWER_WITHIN {
        return made.map(drop);
    }
    site.backend(Act::Start).await?;
    let registry = match made {
        Ok(registry) => registry,
        Err(_) => site.registry().await?,
    };
    works(&site, &registry).await
}

/// Waits until `registry` registers, finds and deregisters.
async fn works(site: &Site, registry: &Arc<dyn Registry>) -> Outcome {
    let user = service(&site.name("afterwards"), "afterwards-1");
    register_again(site, registry, &user, lasting(site)).await?;
    finds_nodes_within(site, registry, &user.name, &["afterwards-1"], RECOVERY).await?;
    let list = || async {
        let listed = super::tools::told(registry.list_services(ListOptions::default()).await)?;
        let there = listed.iter().any(|service| service.name == user.name);
        if there { Ok(()) } else { Err(summary(&listed)) }
    };
    if has(site, Ability::List) {
        site.eventually("the list to hold what was registered afterwards", RECOVERY, list).await?;
    }
    deregister(site, registry, &user).await?;
    finds_nodes_within::<&str>(site, registry, &user.name, &[], RECOVERY).await
}

/// Uses a registry, does `fault` for a while, and waits until it works again.
async fn works_after(site: &Site, fault: [Act; 2], lasts: Duration) -> Outcome {
    let (registry, idle) = (site.registry().await?, site.registry().await?);
    let user = service(&site.name("user"), "user-1");
    put(site, &registry, &user).await?;
    finds(site, &idle, &user.name, std::slice::from_ref(&user)).await?;
    let [begin, end] = fault;
    site.backend(begin).await?;
    site.let_pass(lasts).await;
    // Answered or not: somebody asks meanwhile.
    let _ = site.ends("get user meanwhile", registry.get_service(&user.name, GetOptions::default())).await?;
    site.backend(end).await?;
    let changed = revised(&user, 1);
    register_again(site, &registry, &changed, lasting(site)).await?;
    for registry in [&registry, &idle] {
        works(site, registry).await?;
        finds(site, registry, &user.name, std::slice::from_ref(&changed)).await?;
    }
    Ok(())
}

/// How long a fault lasts: longer than clients wait before they look for dead connections.
fn lasting_fault(site: &Site) -> Duration {
    if site.is_simulated() { Duration::from_secs(15) } else { Duration::from_secs(4) }
}

async fn it_works_after_a_restart(site: Site) -> Outcome {
    works_after(&site, [Act::Stop, Act::Start], Duration::from_secs(2)).await
}

async fn it_works_after_an_end(site: Site) -> Outcome {
    works_after(&site, [Act::Terminate, Act::Start], Duration::from_secs(2)).await
}

async fn it_works_after_a_pause(site: Site) -> Outcome {
    works_after(&site, [Act::Pause, Act::Resume], lasting_fault(&site)).await
}

async fn it_works_after_a_cut(site: Site) -> Outcome {
    works_after(&site, [Act::Cut, Act::Heal], lasting_fault(&site)).await
}

async fn it_works_after_a_pause_of_its_own(site: Site) -> Outcome {
    let (registry, paused) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let (user, order) = (service(&site.name("user"), "user-1"), service(&site.name("order"), "order-1"));
    put(&site, &paused, &user).await?;
    put(&site, &registry, &order).await?;
    finds(&site, &paused, &order.name, std::slice::from_ref(&order)).await?;
    site.inflict(Fault::Pause { host: Host::Second.name().to_owned() }).await?;
    site.let_pass(lasting_fault(&site)).await;
    let changed = revised(&order, 1);
    put(&site, &registry, &changed).await?;
    site.inflict(Fault::Resume { host: Host::Second.name().to_owned() }).await?;
    works(&site, &paused).await?;
    finds(&site, &paused, &order.name, std::slice::from_ref(&changed)).await
}

/// How much later what is sent to the backend arrives there, and what it answers here.
const LATE: Duration = Duration::from_millis(150);

async fn it_works_with_a_backend_that_answers_late(site: Site) -> Outcome {
    let (owner, observer) = (site.registry_on(Host::Second).await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), renewed_ttl(&site));
    // Both have found the backend while it was quick.
    register(&site, &owner, &user, Some(ttl)).await?;
    finds(&site, &observer, &user.name, std::slice::from_ref(&user)).await?;
    site.backend(Act::Delay(LATE)).await?;
    let mut renewed_at = site.env().now();
    register(&site, &owner, &user, Some(ttl)).await?;
    let end = renewed_at + ttl * 3;
    while site.env().now() < end {
        site.let_pass(renewed_at + ttl / 4 - site.env().now()).await;
        let asked_at = site.env().now();
        let ids = found(&site, &observer, &user.name).await?;
        // A machine that stood still meanwhile has let it run out.
        if asked_at - renewed_at < ttl / 2 {
            let expected = "user-1, which is renewed four times within each TTL, to be found";
            expect(ids == ["user-1"], expected, || format!("{ids:?}"))?;
        }
        renewed_at = site.env().now();
        register(&site, &owner, &user, Some(ttl)).await?;
    }
    let order = service(&site.name("order"), "order-1");
    register(&site, &owner, &order, Some(ttl * 5)).await?;
    finds_nodes_within(&site, &observer, &order.name, &["order-1"], RECOVERY).await?;
    deregister(&site, &owner, &order).await?;
    finds_nodes_within::<&str>(&site, &observer, &order.name, &[], RECOVERY).await?;
    site.backend(Act::Prompt).await?;
    works(&site, &observer).await
}

async fn nothing_is_done_in_the_clear(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    put(&site, &registry, &user).await?;
    let options = RegistryOptions { secure: true, ..registry.options() };
    if site.ends("ask for encryption", async { registry.init(options) }).await?.is_err() {
        return Ok(());
    }
    let expected = "an error, because the backend here speaks in the clear";
    let other = service(&site.name("order"), "order-1");
    let register = registry.register(&other, RegisterOptions { ttl: lasting(&site) });
    let done = site.ends("register encrypted", register).await?;
    expect(done.is_err(), expected, || "it was registered".to_owned())?;
    let answer = site.ends("get encrypted", registry.get_service(&site.name("stock"), GetOptions::default())).await?;
    let read = answer.as_ref().map_or_else(|error| error.kind() == ErrorKind::NotFound, |_| true);
    expect(!read, expected, || "the backend was asked".to_owned())
}

async fn other_addresses_hold(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    let options = registry.options();
    let addresses = vec![format!("{}:9", Host::Home.name())];
    let elsewhere = RegistryOptions { addresses, ..options.clone() };
    if site.ends("give it an address where nobody listens", async { registry.init(elsewhere) }).await?.is_err() {
        return Ok(());
    }
    let get = registry.get_service(&user.name, GetOptions::default());
    let answer = site.ends("get user from where nobody listens", get).await?;
    let answered = answer.as_ref().map_or_else(|error| error.kind() == ErrorKind::NotFound, |_| true);
    expect(!answered, "an error, because nobody listens at the new address", || format!("{answer:?}"))?;
    site.ask("give it the old address", async { registry.init(options) }).await?;
    finds_nodes_within(&site, &registry, &user.name, &["user-1"], RECOVERY).await
}
