//! Expiry: a registration lives as long as its TTL says, neither less nor much more, whoever owns it and whatever the
//! date.

use std::time::Duration;

use rand::Rng;
use shaketable_sim::world::{Capability, Fault};
use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::{RegisterOptions, Registry, Service};

use super::tools::{
    TIMELY, finds, finds_nodes, finds_nodes_within, found, found_within, has, lingers, lists, of_nodes, put, register,
    revised, service, short_ttl,
};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect};
use std::sync::Arc;

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-037",
        level: Must,
        sentence: "A registration lives at least as long as its TTL.",
        source: "go-micro registry/options.go: RegisterTTL; registry/etcd/etcd.go leaves out what is below a second",
        needs: &[Need::Has(Ability::Ttl), TIMELY],
        check: check!(a_registration_lives_as_long_as_its_ttl, "looked at up to {} before its end", UNSURE),
    },
    Requirement {
        id: "REG-038",
        level: Must,
        sentence: "A TTL that is no whole number of seconds is not rounded down.",
        source: "go-micro registry/etcd/etcd.go: int64(TTL.Seconds()) makes a lease of 1 s of 1.9 s, and one of 0 s of \
                 0.9 s",
        needs: &[Need::Has(Ability::Ttl), TIMELY],
        check: check!(a_ttl_is_not_rounded_down, "looked at up to {} before its end", UNSURE),
    },
    Requirement {
        id: "REG-039",
        level: Must,
        sentence: "The registration of an owner that crashed is gone when its TTL, the granularity and the promised \
            slack are over.",
        source: "go-plugins registry/zookeeper: registrations are persistent nodes and outlive their owner for ever",
        needs: &[
            Need::Has(Ability::Ttl),
            TIMELY,
            Need::World(Capability::Crash),
            Need::World(Capability::CrashWithoutFin),
        ],
        check: check!(what_a_crashed_owner_left_runs_out),
    },
    Requirement {
        id: "REG-040",
        level: Must,
        sentence: "Registrations with a TTL run out after their registry was closed, and leave no service without nodes.",
        source: "decision of shaketable: closing ends renewal, so that a closed process does not seem alive",
        needs: &[Need::Has(Ability::Ttl), TIMELY],
        check: check!(what_a_closed_registry_left_runs_out),
    },
    Requirement {
        id: "REG-041",
        level: Must,
        sentence: "A node that is no longer renewed runs out although other nodes of its service are.",
        source: "go-micro pull requests 2736 and 2740: one live node keeps dead siblings",
        needs: &[Need::Has(Ability::Ttl), TIMELY],
        check: check!(a_live_node_does_not_keep_its_siblings),
    },
    Requirement {
        id: "REG-042",
        level: Must,
        sentence: "A registration that was changed while it lived still runs out.",
        source: "https://etcd.io/docs/v3.6/learning/api/: a put without the lease detaches the key from it",
        needs: &[Need::Has(Ability::Ttl), TIMELY, Need::Upheld(&["REG-010"])],
        check: check!(a_changed_registration_runs_out),
    },
    Requirement {
        id: "REG-043",
        level: Must,
        sentence: "A registration that is renewed with a shorter TTL, or with one where it had none, runs out by the \
            new one.",
        source: "decision of shaketable: the options of the last registration hold",
        needs: &[Need::Has(Ability::Ttl), TIMELY],
        check: check!(a_shorter_ttl_holds),
    },
    Requirement {
        id: "REG-044",
        level: Must,
        sentence: "A registration that is renewed with a longer TTL, or with none, lives by the new one.",
        source: "decision of shaketable: the options of the last registration hold",
        needs: &[Need::Has(Ability::Ttl), TIMELY],
        check: check!(a_longer_ttl_holds),
    },
    Requirement {
        id: "REG-045",
        level: Must,
        sentence: "A registration outlives a pause of its owner that is shorter than its TTL.",
        source: "go-micro registry/options.go: RegisterTTL, which a renewal in shorter leases does not keep",
        needs: &[Need::Has(Ability::Ttl), TIMELY, Need::World(Capability::Pause)],
        check: check!(a_short_pause_of_the_owner_is_outlived, "looked at up to {} before its end", UNSURE),
    },
    Requirement {
        id: "REG-046",
        level: Must,
        sentence: "A jump of the date moves no expiry, and hides no change.",
        source: "decision of shaketable: lifetimes are measured by clocks that do not jump, as etcd's leases are",
        needs: &[Need::Has(Ability::Ttl), TIMELY, Need::World(Capability::Skew)],
        check: check!(the_date_moves_no_expiry),
    },
    Requirement {
        id: "REG-047",
        level: Must,
        sentence: "A registration without TTL lives until it is deregistered.",
        source: "go-micro registry/etcd/etcd.go: a TTL of zero is a put without lease",
        needs: &[Need::VirtualTime],
        check: check!(without_ttl_a_registration_lives_on, "looked at for {}", BETWEEN_LOOKS * LOOKS),
    },
    Requirement {
        id: "REG-048",
        level: Must,
        sentence: "A registry that has no TTLs refuses one with Unsupported instead of ignoring it.",
        source: "decision of shaketable: who believes in a TTL does not deregister; go-micro's nats, mdns and \
            kubernetes ignore it",
        needs: &[Need::Lacks(Ability::Ttl)],
        check: check!(a_ttl_that_does_not_exist_is_refused),
    },
];

/// So short a time before the end of a TTL nobody can say whether a lookup was answered before it.
const UNSURE: Duration = Duration::from_millis(300);
/// How often, and after how long each, a registration without TTL is looked at.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_secs(120);

/// Looks for `node` at each of `moments` after `since`; what is answered before the TTL is over must name it.
async fn lives_until(
    site: &Site,
    registry: &Arc<dyn Registry>,
    (name, node): (&str, &str),
    since: shaketable_stack::env::Instant,
    ttl: Duration,
) -> Outcome {
    for moment in [ttl / 2, ttl * 3 / 4, ttl.saturating_sub(UNSURE)] {
        site.let_pass(moment.saturating_sub(site.env().now() - since)).await;
        let ids = found(site, registry, name).await?;
        let age = site.env().now() - since;
        if age < ttl && !ids.iter().any(|id| id == node) {
            return Err(Finding::violated(format!("{node} to live for {ttl:?}"), format!("it was gone after {age:?}")));
        }
    }
    Ok(())
}

/// Waits until a registration must have run out that was last renewed, at the latest, just now.
async fn runs_out(site: &Site, registry: &Arc<dyn Registry>, name: &str, ttl: Duration, left: &[&str]) -> Outcome {
    let over = ttl + lingers(site);
    site.step(format!("wait for {over:?}"));
    // In virtual time nothing adds to what the plugin promised and what messages take, which `over` holds both.
    let early = if site.is_simulated() { site.slack() } else { Duration::ZERO };
    let over = over - early;
    site.let_pass(over).await;
    let what = format!("the nodes of {name} to be {left:?} {over:?} after nobody renews a TTL of {ttl:?} any more, or");
    let judge = |services: &[Service]| {
        let ids = super::tools::node_ids(services);
        if ids == left { Ok(()) } else { Err(format!("{ids:?}")) }
    };
    found_within(site, registry, name, (&what, site.slack()), judge).await
}

async fn a_registration_lives_as_long_as_its_ttl(site: Site) -> Outcome {
    let (owner, observer) = (site.registry_on(Host::Second).await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), short_ttl(&site));
    let since = site.env().now();
    register(&site, &owner, &user, Some(ttl)).await?;
    finds(&site, &observer, &user.name, std::slice::from_ref(&user)).await?;
    lives_until(&site, &observer, (&user.name, "user-1"), since, ttl).await
}

async fn a_ttl_is_not_rounded_down(site: Site) -> Outcome {
    let registry = site.registry().await?;
    for (number, millis) in [900, 1_900, 2_500].into_iter().enumerate() {
        let ttl = Duration::from_millis(millis);
        let user = service(&site.name(&format!("user-{number}")), "user-1");
        let since = site.env().now();
        let options = RegisterOptions { ttl: Some(ttl) };
        let registered = site.ends("register user-1", registry.register(&user, options)).await?;
        if site.is_disturbed() && registered.is_err() {
            // So short a TTL may be over before a bad network has carried all that belongs to the registration.
            continue;
        }
        site.ask("register user-1", async { registered }).await?;
        lives_until(&site, &registry, (&user.name, "user-1"), since, ttl).await?;
    }
    Ok(())
}

async fn what_a_crashed_owner_left_runs_out(site: Site) -> Outcome {
    let (owner, observer) = (site.registry_on(Host::Second).await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), short_ttl(&site));
    register(&site, &owner, &user, Some(ttl)).await?;
    finds(&site, &observer, &user.name, std::slice::from_ref(&user)).await?;
    let (fin, alive) = {
        let mut random = site.env().random("crash");
        (random.random(), ttl.mul_f64(random.random_range(0.0..0.9)))
    };
    site.let_pass(alive).await;
    site.inflict(Fault::Crash { host: Host::Second.name().to_owned(), fin }).await?;
    runs_out(&site, &observer, &user.name, ttl, &[]).await
}

async fn what_a_closed_registry_left_runs_out(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), short_ttl(&site));
    register(&site, &owner, &user, Some(ttl)).await?;
    finds(&site, &observer, &user.name, std::slice::from_ref(&user)).await?;
    site.ask("close the owner's registry", owner.close()).await?;
    runs_out(&site, &observer, &user.name, ttl, &[]).await?;
    finds(&site, &observer, &user.name, &[]).await?;
    if has(&site, Ability::List) { lists(&site, &observer, &[]).await } else { Ok(()) }
}

async fn a_live_node_does_not_keep_its_siblings(site: Site) -> Outcome {
    let (living, dying) = (site.registry().await?, site.registry().await?);
    let (name, ttl) = (site.name("user"), short_ttl(&site));
    register(&site, &dying, &service(&name, "user-1"), Some(ttl)).await?;
    register(&site, &living, &service(&name, "user-2"), Some(ttl)).await?;
    finds_nodes(&site, &living, &name, &["user-1", "user-2"]).await?;
    site.ask("close the first owner's registry", dying.close()).await?;
    let over = site.env().now() + ttl + lingers(&site);
    while site.env().now() < over {
        site.let_pass((ttl / 3).min(over - site.env().now())).await;
        register(&site, &living, &service(&name, "user-2"), Some(ttl)).await?;
    }
    finds_nodes_within(&site, &living, &name, &["user-2"], site.slack()).await
}

async fn a_changed_registration_runs_out(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), short_ttl(&site));
    for revision in 0..3 {
        register(&site, &owner, &revised(&user, revision), Some(ttl)).await?;
        site.let_pass(ttl / 4).await;
    }
    finds(&site, &observer, &user.name, &[revised(&user, 2)]).await?;
    site.ask("close the owner's registry", owner.close()).await?;
    runs_out(&site, &observer, &user.name, ttl, &[]).await
}

async fn a_shorter_ttl_holds(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let (name, ttl) = (site.name("user"), short_ttl(&site));
    let long = ttl * 20 + lingers(&site) * 4;
    register(&site, &owner, &service(&name, "user-1"), Some(long)).await?;
    put(&site, &owner, &service(&name, "user-2")).await?;
    for node in ["user-1", "user-2"] {
        register(&site, &owner, &service(&name, node), Some(ttl)).await?;
    }
    finds_nodes(&site, &observer, &name, &["user-1", "user-2"]).await?;
    site.ask("close the owner's registry", owner.close()).await?;
    runs_out(&site, &observer, &name, ttl, &[]).await
}

async fn a_longer_ttl_holds(site: Site) -> Outcome {
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let (name, ttl) = (site.name("user"), short_ttl(&site));
    for node in ["user-1", "user-2"] {
        register(&site, &owner, &service(&name, node), Some(ttl)).await?;
    }
    register(&site, &owner, &service(&name, "user-1"), Some(ttl * 20 + lingers(&site) * 4)).await?;
    put(&site, &owner, &service(&name, "user-2")).await?;
    finds_nodes(&site, &observer, &name, &["user-1", "user-2"]).await?;
    site.ask("close the owner's registry", owner.close()).await?;
    runs_out(&site, &observer, &name, ttl, &["user-1", "user-2"]).await
}

async fn a_short_pause_of_the_owner_is_outlived(site: Site) -> Outcome {
    let (owner, observer) = (site.registry_on(Host::Second).await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), short_ttl(&site));
    let since = site.env().now();
    register(&site, &owner, &user, Some(ttl)).await?;
    site.inflict(Fault::Pause { host: Host::Second.name().to_owned() }).await?;
    lives_until(&site, &observer, (&user.name, "user-1"), since, ttl).await?;
    site.inflict(Fault::Resume { host: Host::Second.name().to_owned() }).await
}

async fn the_date_moves_no_expiry(site: Site) -> Outcome {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let (owner, observer) = (site.registry().await?, site.registry().await?);
    let (user, ttl) = (service(&site.name("user"), "user-1"), short_ttl(&site));
    register(&site, &owner, &user, Some(ttl)).await?;
    finds(&site, &observer, &user.name, std::slice::from_ref(&user)).await?;
    for by_ns in if site.env().random("skew").random() { [HOUR_NS, -HOUR_NS] } else { [-HOUR_NS, HOUR_NS] } {
        site.inflict(Fault::Skew { host: Host::Home.name().to_owned(), by_ns }).await?;
        site.let_pass(ttl / 2).await;
        let ids = found(&site, &observer, &user.name).await?;
        expect(ids == ["user-1"], "a registration to outlive a jump of the date", || format!("{ids:?}"))?;
        let changed = revised(&user, usize::from(by_ns > 0));
        register(&site, &owner, &changed, Some(ttl)).await?;
        finds(&site, &observer, &user.name, &[changed]).await?;
    }
    site.ask("close the owner's registry", owner.close()).await?;
    runs_out(&site, &observer, &user.name, ttl, &[]).await
}

async fn without_ttl_a_registration_lives_on(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = of_nodes(&site.name("user"), "1.0.0", &["user-1", "user-2"]);
    register(&site, &registry, &user, None).await?;
    for _ in 0..LOOKS {
        site.let_pass(BETWEEN_LOOKS).await;
        finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    }
    Ok(())
}

async fn a_ttl_that_does_not_exist_is_refused(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    let options = RegisterOptions { ttl: Some(Duration::from_secs(30)) };
    site.refused("register with a TTL", &[ErrorKind::Unsupported], registry.register(&user, options)).await?;
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await
}
