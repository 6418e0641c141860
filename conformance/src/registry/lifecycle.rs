//! The life of a registry: its options, its end, and what it may leave to others.

use std::time::Duration;

use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::{
    DeregisterOptions, GetOptions, ListOptions, RegisterOptions, RegistryOptions, WatchOptions,
};

use super::ear::listen;
use super::tools::{finds, put, service};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-110",
        level: Must,
        sentence: "After a registry was closed every operation ends.",
        source: "decision of shaketable: shutting down takes place in any order, and nothing may hang it",
        needs: &[],
        check: check!(after_closing_every_operation_ends),
    },
    Requirement {
        id: "REG-111",
        level: Should,
        sentence: "A closed registry refuses lookups and registrations with Closed.",
        source: "decision of shaketable: an error that names the mistake is found faster",
        needs: &[],
        check: check!(a_closed_registry_refuses),
    },
    Requirement {
        id: "REG-112",
        level: Must,
        sentence: "A registry can be closed twice, and without ever having been used.",
        source: "decision of shaketable: who shuts down cannot know what was begun, nor who did so before",
        needs: &[],
        check: check!(a_registry_can_be_closed_twice),
    },
    Requirement {
        id: "REG-113",
        level: Must,
        sentence: "Closing, or dropping, one registry leaves another one of the same process working.",
        source: "decision of shaketable: registries of one process share nothing that an end of one could take from \
                 another",
        needs: &[Need::Upheld(&["REG-058", "REG-068"])],
        check: check!(registries_of_one_process_are_apart),
    },
    Requirement {
        id: "REG-114",
        level: Must,
        sentence: "The options that a registry was given by init are those that it says are in force.",
        source: "go-micro registry/registry.go: Init, Options",
        needs: &[Need::InProcess("options by init")],
        check: check!(options_are_replaced),
    },
    Requirement {
        id: "REG-137",
        level: Should,
        sentence: "A registry promises how finely it keeps a TTL, how late it ends what ran out, and what becomes of watchers \
                   that fall behind.",
        source: "decision of shaketable: what is not promised is not judged, and nobody who writes a service can build on it",
        needs: &[],
        check: check!(time_and_slow_watchers_are_promised),
    },
];

async fn after_closing_every_operation_ends(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    site.ask("close", registry.close()).await?;
    // Any answer will do.
    let ttl = super::tools::lasting(&site);
    let _ = site.ends("get after closing", registry.get_service(&user.name, GetOptions::default())).await?;
    let _ = site.ends("list after closing", registry.list_services(ListOptions::default())).await?;
    let _ = site.ends("deregister after closing", registry.deregister(&user, DeregisterOptions::default())).await?;
    let _ = site.ends("register after closing", registry.register(&user, RegisterOptions { ttl })).await?;
    if let Ok(watcher) = site.ends("watch after closing", registry.watch(WatchOptions::default())).await? {
        watcher.stop();
        let _ = site.ends("the next event of a watcher that was stopped", watcher.next()).await?;
    }
    let _ = registry.cached(&user.name);
    let _ = registry.losses();
    Ok(())
}

async fn a_closed_registry_refuses(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    put(&site, &registry, &user).await?;
    site.ask("close", registry.close()).await?;
    let kinds = [ErrorKind::Closed, ErrorKind::NotConnected];
    site.refused("get after closing", &kinds, registry.get_service(&user.name, GetOptions::default())).await?;
    let register = registry.register(&user, RegisterOptions::default());
    site.refused("register after closing", &kinds, register).await?;
    Ok(())
}

async fn a_registry_can_be_closed_twice(site: Site) -> Outcome {
    let (used, unused) = (site.registry().await?, site.registry().await?);
    put(&site, &used, &service(&site.name("user"), "user-1")).await?;
    for registry in [&used, &unused] {
        site.ask("close", registry.close()).await?;
        match site.ends("close again", registry.close()).await? {
            Err(error) if error.kind() != ErrorKind::Closed => {
                return Err(crate::Finding::violated(
                    "closing a second time to do nothing",
                    format!("the error `{error}`"),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

async fn registries_of_one_process_are_apart(site: Site) -> Outcome {
    let (closed, dropped, stays) = (site.registry().await?, site.registry().await?, site.registry().await?);
    let user = service(&site.name("user"), "user-1");
    put(&site, &closed, &service(&site.name("order"), "order-1")).await?;
    put(&site, &dropped, &service(&site.name("stock"), "stock-1")).await?;
    let watches = !site.promises().lacks.contains(&Ability::Watch);
    let ear = if watches { Some(listen(&site, &stays, Some(&user.name)).await?) } else { None };
    site.ask("close one registry", closed.close()).await?;
    drop(dropped);
    site.take_effect(site.slack()).await;
    put(&site, &stays, &user).await?;
    finds(&site, &stays, &user.name, std::slice::from_ref(&user)).await?;
    if let Some(ear) = ear {
        ear.hears_of(shaketable_stack::registry::Action::Create, "user-1").await?;
    }
    Ok(())
}

async fn options_are_replaced(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let before = registry.options();
    let after = RegistryOptions { timeout: before.timeout + Duration::from_secs(2), ..before };
    let wanted = after.clone();
    site.ask("init", async { registry.init(after) }).await?;
    expect_equal("the time-out in force", &registry.options().timeout, &wanted.timeout)?;
    let same = registry.options().addresses == wanted.addresses;
    expect(same, "the addresses to be those of init", || format!("{:?}", registry.options().addresses))?;
    let user = service(&site.name("user"), "user-1");
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await
}

async fn time_and_slow_watchers_are_promised(site: Site) -> Outcome {
    let promises = site.promises();
    let lacks = |ability| promises.lacks.contains(&ability);
    for (what, is_promised) in [
        ("how finely it keeps a TTL", promises.ttl_granularity.is_some() || lacks(Ability::Ttl)),
        ("how late it ends what ran out", promises.expiry_slack.is_some() || lacks(Ability::Ttl)),
        ("what becomes of watchers that fall behind", promises.slow_consumer.is_some() || lacks(Ability::Watch)),
    ] {
        expect(is_promised, format!("a promise of {what}"), || "none".to_owned())?;
    }
    Ok(())
}
