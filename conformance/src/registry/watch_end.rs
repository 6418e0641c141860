//! How watches end, and what a watcher that does not listen may cost others.

use std::time::Duration;

use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::{Ability, SlowConsumer};
use shaketable_stack::registry::Action;

use super::ear::{listen, open};
use super::tools::{all_or, finds, put, revised, service, settling};
use crate::Level::Must;
use crate::requirement::check;
use crate::site::SLACK;
use crate::{Finding, Need, Outcome, Requirement, Site, expect};

/// Far more than any registry keeps for a watcher, where it says how much that is.
const BEYOND: usize = 40;
/// How long a registration may take while a watcher does not listen.
const HELD_UP: Duration = Duration::from_secs(5);

const CUTS_OFF: Need = Need::Promises(
    "cuts off watchers that fall behind",
    |promises| matches!(promises.slow_consumer, Some(SlowConsumer::Disconnects { buffered }) if buffered <= 4_096),
);

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-080",
        level: Must,
        sentence: "Stopping a watcher releases whoever waits for its next event with WatcherStopped.",
        source: "go-micro pull request 506: ErrWatcherStopped; etcd answers \"could not get next\"",
        needs: &[Need::Has(Ability::Watch)],
        check: check!(stopping_releases_who_waits, "within {}", SLACK),
    },
    Requirement {
        id: "REG-081",
        level: Must,
        sentence: "A stopped watcher answers every further call with WatcherStopped, whatever happens meanwhile.",
        source: "go-micro registry/watcher.go: Next after Stop; memory answers another value of the same text",
        needs: &[Need::Has(Ability::Watch)],
        check: check!(a_stopped_watcher_stays_stopped),
    },
    Requirement {
        id: "REG-082",
        level: Must,
        sentence: "Stopping a watcher a second time does nothing.",
        source: "go-micro registry/memory_watcher.go: Stop looks whether the channel was closed before",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-080", "REG-068"])],
        check: check!(stopping_twice_does_nothing),
    },
    Requirement {
        id: "REG-083",
        level: Must,
        sentence: "Stopping or dropping one watcher leaves the others watching.",
        source: "go-micro registry/memory.go: watchers are kept by id",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-058", "REG-068"])],
        check: check!(the_other_watchers_go_on),
    },
    Requirement {
        id: "REG-084",
        level: Must,
        sentence: "Closing a registry releases whoever waits for an event of its watchers.",
        source: "decision of shaketable: closing releases what the registry holds, watchers among it",
        needs: &[Need::Has(Ability::Watch)],
        check: check!(closing_releases_who_waits),
    },
    Requirement {
        id: "REG-085",
        level: Must,
        sentence: "A watcher that nobody reads delays neither registrations nor lookups nor other watchers.",
        source: "go-micro registry/consul/watcher.go: a channel of ten events, then it blocks",
        needs: &[Need::Has(Ability::Watch), Need::Upheld(&["REG-010"])],
        check: check!(
            who_does_not_listen_delays_nobody,
            "each registration within {}, while {} changes are not read",
            HELD_UP,
            BEYOND
        ),
    },
    Requirement {
        id: "REG-086",
        level: Must,
        sentence: "A watcher that fell behind beyond what is kept is told so by an error, not left with a gap.",
        source: "go-micro registry/mdns_registry.go: 32 events, then they are dropped in silence",
        needs: &[Need::Has(Ability::Watch), CUTS_OFF, Need::VirtualTime],
        check: check!(who_fell_behind_is_told, "{} changes more than are promised to be kept", BEYOND),
    },
];

async fn stopping_releases_who_waits(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    // That a service can be watched before it exists is another requirement.
    put(&site, &registry, &service(&name, "user-1")).await?;
    for service in [Some(name.as_str()), all_or(&site, &name)] {
        let ear = listen(&site, &registry, service).await?;
        site.take_effect(site.slack()).await;
        ear.watcher.stop();
        let probe = || async {
            match ear.end() {
                Some((ErrorKind::WatcherStopped, _)) => Ok(()),
                Some((kind, end)) => Err(format!("{kind:?}: {end}")),
                None => Err("it goes on waiting".to_owned()),
            }
        };
        site.eventually("who waits to be released with WatcherStopped", site.slack(), probe).await?;
    }
    Ok(())
}

async fn a_stopped_watcher_stays_stopped(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    put(&site, &registry, &service(&name, "user-0")).await?;
    let watcher = open(&site, &registry, Some(&name)).await?;
    watcher.stop();
    for number in 0..3 {
        put(&site, &registry, &revised(&service(&name, "user-1"), number)).await?;
        site.refused("the next event of a stopped watcher", &[ErrorKind::WatcherStopped], watcher.next()).await?;
    }
    Ok(())
}

async fn stopping_twice_does_nothing(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    let other = listen(&site, &registry, Some(&user.name)).await?;
    let watcher = open(&site, &registry, Some(&user.name)).await?;
    for _ in 0..3 {
        watcher.stop();
        site.refused("the next event of a stopped watcher", &[ErrorKind::WatcherStopped], watcher.next()).await?;
    }
    put(&site, &registry, &user).await?;
    other.hears_of(Action::Create, "user-1").await
}

async fn the_other_watchers_go_on(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    let before = open(&site, &registry, Some(&name)).await?;
    let stays = listen(&site, &registry, Some(&name)).await?;
    let all = listen(&site, &registry, all_or(&site, &name)).await?;
    let after = open(&site, &registry, Some(&name)).await?;
    put(&site, &registry, &service(&name, "user-1")).await?;
    stays.hears_of(Action::Create, "user-1").await?;
    after.stop();
    drop(before);
    site.take_effect(site.slack()).await;
    put(&site, &registry, &service(&name, "user-2")).await?;
    stays.hears_of(Action::Create, "user-2").await?;
    all.hears_of(Action::Create, "user-2").await
}

async fn closing_releases_who_waits(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    put(&site, &registry, &service(&name, "user-1")).await?;
    let ear = listen(&site, &registry, Some(&name)).await?;
    site.take_effect(site.slack()).await;
    site.ask("close", registry.close()).await?;
    let probe = || async { if ear.end().is_some() { Ok(()) } else { Err("it goes on waiting".to_owned()) } };
    site.eventually("who waits for an event to be released", settling(&site), probe).await
}

async fn who_does_not_listen_delays_nobody(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    put(&site, &registry, &user).await?;
    let deaf = open(&site, &registry, Some(&user.name)).await?;
    let ear = listen(&site, &registry, Some(&user.name)).await?;
    for number in 1..=BEYOND {
        let changed = revised(&user, number);
        let change = put(&site, &registry, &changed);
        site.within("register while a watcher does not listen", HELD_UP, change).await??;
    }
    finds(&site, &registry, &user.name, &[revised(&user, BEYOND)]).await?;
    let last = |events: &[shaketable_stack::registry::Event]| {
        events.iter().any(|event| super::tools::revision(&event.service) == Some(BEYOND))
    };
    ear.hears("the last change", last).await?;
    deaf.stop();
    Ok(())
}

async fn who_fell_behind_is_told(site: Site) -> Outcome {
    let Some(SlowConsumer::Disconnects { buffered }) = site.promises().slow_consumer else {
        return Err(Finding::Broke("a promise has vanished".to_owned()));
    };
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    let watcher = open(&site, &registry, Some(&user.name)).await?;
    let changes = buffered + BEYOND;
    for number in 1..=changes {
        put(&site, &registry, &revised(&user, number)).await?;
    }
    site.take_effect(site.slack()).await;
    let mut last = 0;
    for _ in 0..=changes {
        match site.ends("the next of many events", watcher.next()).await? {
            Ok(event) => {
                let told = super::tools::revision(&event.service).unwrap_or_default();
                expect(told == last + 1, "the next change, or an error that says that some are lost", || {
                    format!("revision {told} after {last}")
                })?;
                last = told;
                if last == changes {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == ErrorKind::WatcherStopped => {
                return Err(Finding::violated("an error that says that events are lost", format!("{error}")));
            }
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}
