//! Watches across faults: a watch goes on where it was, or says by an error that it cannot.

use std::time::Duration;

use shaketable_sim::world::{Capability, Fault};
use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::{Action, Event};

use super::ear::{Ear, is, listen, shown};
use super::tools::{RECOVERY, all_or, deregister, lasting, put, register_again, revised, service};
use crate::Level::Must;
use crate::backend::{Act, Verb};
use crate::requirement::check;
use crate::{Finding, Host, Need, Outcome, Requirement, Site};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-106",
        level: Must,
        sentence: "A watch tells what changes after a restart of the backend, or ends with an error.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: watch is Resumable",
        needs: &[Need::Has(Ability::Watch), Need::Backend(Verb::Restart)],
        check: check!(a_watch_outlives_a_restart, "within {} after the fault", RECOVERY),
    },
    Requirement {
        id: "REG-107",
        level: Must,
        sentence: "A watch tells what changes after a pause of the backend, or ends with an error.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: watch is Resumable",
        needs: &[Need::Has(Ability::Watch), Need::Backend(Verb::Pause)],
        check: check!(a_watch_outlives_a_pause, "within {} after the fault", RECOVERY),
    },
    Requirement {
        id: "REG-108",
        level: Must,
        sentence: "A watch tells what changed while its client was cut off from the backend, or ends with an error.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: watch is Resumable and Reliable",
        needs: &[
            Need::Has(Ability::Watch),
            Need::Backend(Verb::Cut),
            Need::Network,
            Need::World(Capability::Cut),
            Need::Upheld(&["REG-068"]),
        ],
        check: check!(a_watch_leaves_out_nothing_of_a_cut, "within {} after the fault", RECOVERY),
    },
    Requirement {
        id: "REG-109",
        level: Must,
        sentence: "A watch tells what changed while its own host paused, or ends with an error.",
        source: "https://etcd.io/docs/v3.6/learning/api_guarantees/: watch is Resumable and Reliable",
        needs: &[Need::Has(Ability::Watch), Need::World(Capability::Pause), Need::Upheld(&["REG-068"])],
        check: check!(a_watch_leaves_out_nothing_of_a_pause, "within {} after the fault", RECOVERY),
    },
];

/// Waits for `holds` of the events, or for an error that says that the watch cannot go on.
///
/// # Errors
/// A violation when neither comes within [`RECOVERY`].
pub(super) async fn hears_or_ends(site: &Site, ear: &Ear, what: &str, holds: impl Fn(&[Event]) -> bool) -> Outcome {
    let probe = || {
        let (events, end) = (ear.events(), ear.end());
        let answer = match end {
            _ if holds(&events) => Ok(()),
            Some((ErrorKind::WatcherStopped, _)) => Err("it ended as if it had been stopped".to_owned()),
            Some(_) => Ok(()),
            None => Err(shown(&events)),
        };
        async move { answer }
    };
    site.eventually(&format!("a watch to tell {what}, or to end with an error"), RECOVERY, probe).await
}

async fn outlives(site: &Site, fault: [Act; 2], lasts: Duration) -> Outcome {
    let (registry, other) = (site.registry().await?, site.registry_on(Host::Second).await?);
    let user = service(&site.name("user"), "user-1");
    // That a service can be watched before it exists is another requirement.
    put(site, &other, &service(&user.name, "user-first")).await?;
    let all = listen(site, &registry, all_or(site, &user.name)).await?;
    let ears = [listen(site, &registry, Some(&user.name)).await?, all];
    put(site, &other, &user).await?;
    for ear in &ears {
        ear.hears_of(Action::Create, "user-1").await?;
    }
    let [begin, end] = fault;
    site.backend(begin).await?;
    site.let_pass(lasts).await;
    site.backend(end).await?;
    register_again(site, &other, &service(&user.name, "user-2"), lasting(site)).await?;
    let gone = || async {
        let options = shaketable_stack::registry::DeregisterOptions::default();
        super::tools::told(other.deregister(&user, options).await)
    };
    site.eventually("to deregister user-1", RECOVERY, gone).await?;
    for ear in &ears {
        let created = |events: &[Event]| events.iter().any(|event| is(event, Action::Create, "user-2"));
        hears_or_ends(site, ear, "create of user-2", created).await?;
        let deleted = |events: &[Event]| events.iter().any(|event| is(event, Action::Delete, "user-1"));
        hears_or_ends(site, ear, "delete of user-1", deleted).await?;
    }
    Ok(())
}

async fn a_watch_outlives_a_restart(site: Site) -> Outcome {
    outlives(&site, [Act::Stop, Act::Start], Duration::from_secs(2)).await
}

async fn a_watch_outlives_a_pause(site: Site) -> Outcome {
    // Longer than the sessions of clients that are heard of every second or two.
    let lasts = if site.is_simulated() { Duration::from_secs(15) } else { Duration::from_secs(6) };
    outlives(&site, [Act::Pause, Act::Resume], lasts).await
}

/// What happens while a watcher cannot hear of it, and what it must tell then.
async fn tells_what_happened(site: &Site, ear: &Ear, [begin, end]: [Vec<Fault>; 2]) -> Outcome {
    let other = site.registry_on(Host::Third).await?;
    let name = site.name("user");
    for node in ["user-1", "user-2"] {
        put(site, &other, &service(&name, node)).await?;
        ear.hears_of(Action::Create, node).await?;
    }
    for fault in begin {
        site.inflict(fault).await?;
    }
    site.let_pass(Duration::from_secs(2)).await;
    deregister(site, &other, &service(&name, "user-1")).await?;
    put(site, &other, &revised(&service(&name, "user-2"), 2)).await?;
    put(site, &other, &service(&name, "user-3")).await?;
    site.let_pass(Duration::from_secs(15)).await;
    for fault in end {
        site.inflict(fault).await?;
    }
    for (action, node) in [(Action::Delete, "user-1"), (Action::Update, "user-2"), (Action::Create, "user-3")] {
        let told = |events: &[Event]| events.iter().any(|event| is(event, action, node));
        hears_or_ends(site, ear, &format!("{} of {node}, which happened meanwhile", action.as_str()), told).await?;
    }
    Ok(())
}

/// What cuts this host alone off from the backend, and what ends that.
///
/// # Errors
/// Where the plugin names no backend.
pub(super) fn cut_of_home(site: &Site) -> Result<[Vec<Fault>; 2], Finding> {
    let Some(backend) = site.promises().backend else {
        return Err(Finding::Broke("the plugin has no backend to be cut off from".to_owned()));
    };
    let (home, backend) = (vec![Host::Home.name().to_owned()], vec![backend.to_owned()]);
    let ways = [(home.clone(), backend.clone()), (backend, home)];
    let begin = ways.clone().map(|(from, to)| Fault::Cut { from, to });
    let end = ways.map(|(from, to)| Fault::Heal { from, to });
    Ok([begin.to_vec(), end.to_vec()])
}

async fn a_watch_leaves_out_nothing_of_a_cut(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let ear = listen(&site, &registry, Some(&site.name("user"))).await?;
    tells_what_happened(&site, &ear, cut_of_home(&site)?).await
}

async fn a_watch_leaves_out_nothing_of_a_pause(site: Site) -> Outcome {
    let registry = site.registry_on(Host::Second).await?;
    let ear = listen(&site, &registry, Some(&site.name("user"))).await?;
    let host = || Host::Second.name().to_owned();
    tells_what_happened(&site, &ear, [vec![Fault::Pause { host: host() }], vec![Fault::Resume { host: host() }]]).await
}
