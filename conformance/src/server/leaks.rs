//! Leaks: what is left of requests, streams and callers that are gone, and of a server that was stopped.

use std::time::Duration;

use futures_util::future::join_all;
use shaketable_sim::world::{Capability, Fault};

use super::tools::Stage;
use crate::Level::Must;
use crate::client::stage::Ask;
use crate::requirement::check;
use crate::{Host, Need, Outcome, Requirement, Site};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-048",
        level: Must,
        sentence: "A server that was stopped leaves no tasks behind.",
        source: "go-micro issue 483: goroutines outlive what they belong to",
        needs: &[],
        check: check!(a_stopped_server_leaves_no_tasks),
    },
    Requirement {
        id: "SRV-049",
        level: Must,
        sentence: "A thousand requests, answered or failed, leave no tasks behind while the server runs.",
        source: "go-micro issue 483: goroutines outlive handlers",
        needs: &[],
        check: check!(requests_leave_no_tasks),
    },
    Requirement {
        id: "SRV-050",
        level: Must,
        sentence: "Callers whose host dies leave no tasks behind once their requests have ended.",
        source: "go-micro issue 483; transport/transport.go: a peer's end is noticed",
        needs: &[Need::Network, Need::World(Capability::Crash)],
        check: check!(dead_callers_leave_no_tasks),
    },
];

/// Waits until no more tasks live on this host than `allowed`.
async fn tasks_end(site: &Site, allowed: usize, limit: Duration) -> Outcome {
    site.eventually(&format!("at most {allowed} tasks"), limit, || async {
        let tasks = site.env().live_tasks();
        if tasks.total() <= allowed { Ok(()) } else { Err(format!("{:?}", tasks.counts())) }
    })
    .await
}

async fn a_stopped_server_leaves_no_tasks(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let before = site.env().live_tasks().total();
    for _ in 0..3 {
        stage.start().await?;
        let caller = stage.caller().await?;
        let calls = (0..10).map(|number| caller.ends(Ask::of("Probe.Wait", format!("{} x", 10 * number))));
        for ended in join_all(calls).await {
            ended?.map_err(|error| crate::Finding::violated("answers", format!("`{error}`")))?;
        }
        stage.stop().await?;
    }
    tasks_end(&site, before, Duration::from_secs(5)).await
}

async fn requests_leave_no_tasks(site: Site) -> Outcome {
    const AT_ONCE: usize = 50;
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let caller = stage.caller().await?;
    caller.echo("first").await?;
    let before = site.env().live_tasks().total();
    for _ in 0..20 {
        let calls = (0..AT_ONCE).map(|number| {
            let (endpoint, text) = if number % 2 == 0 { ("Probe.Echo", "x") } else { ("Probe.Fail", "404 no") };
            caller.call(Ask::of(endpoint, text))
        });
        for ended in site.ends("fifty requests", join_all(calls)).await? {
            // Half of them fail, as they should.
            let _ = ended?;
        }
    }
    // A connection that the clients keep may have a task or two.
    tasks_end(&site, before + 3 * AT_ONCE, Duration::from_secs(5)).await?;
    stage.stop().await
}

async fn dead_callers_leave_no_tasks(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let before = site.env().live_tasks().total();
    let caller = stage.caller().await?;
    let work = site.env().spawn("calls that nobody waits for", {
        let (caller, site) = (caller.clone(), site.clone());
        async move {
            let calls = (0..10).map(|_| caller.call(Ask::of("Probe.Wait", "600 x")));
            // They fail with their host.
            let _ = site.env().timeout(Duration::from_secs(3), join_all(calls)).await;
        }
    });
    let begun = || async { if stage.seen.count("Wait") >= 10 { Ok(()) } else { Err("not all".to_owned()) } };
    site.eventually("the handlers to begin", Duration::from_secs(10), begun).await?;
    site.inflict(Fault::Crash { host: Host::Second.name().to_owned(), fin: true }).await?;
    work.abort();
    work.join().await;
    tasks_end(&site, before, Duration::from_secs(30)).await?;
    site.inflict(Fault::Restart { host: Host::Second.name().to_owned() }).await?;
    stage.caller().await?.echo("a new caller").await?;
    stage.stop().await
}
