//! Leaks: what is left of requests, streams and callers that are gone, and of a server that was stopped.

use std::time::Duration;

use futures_util::future::join_all;

use super::tools::Stage;
use crate::Level::Must;
use crate::client::stage::Ask;
use crate::requirement::check;
use crate::{Host, Outcome, Requirement, Site};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-048",
        level: Must,
        sentence: "A server that was stopped leaves no tasks behind.",
        source: "decision of shaketable: what was stopped runs no more",
        needs: &[],
        check: check!(a_stopped_server_leaves_no_tasks),
    },
    Requirement {
        id: "SRV-049",
        level: Must,
        sentence: "A thousand requests, answered or failed, leave no tasks behind while the server runs.",
        source: "go-micro server/rpc_server.go: ServeConn drops the end of a stream that has ended, for which it once \
                 started a handler that never returned (pull request 995)",
        needs: &[],
        check: check!(requests_leave_no_tasks),
    },
    Requirement {
        id: "SRV-050",
        level: Must,
        sentence: "Clients that have closed their connections leave no tasks behind.",
        source: "go-micro server/rpc_server.go: ServeConn ends, and closes its sockets, when Recv fails",
        needs: &[],
        check: check!(callers_that_leave_leave_no_tasks),
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

async fn callers_that_leave_leave_no_tasks(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let before = site.env().live_tasks().total();
    for round in 0..20 {
        let caller = stage.caller().await?;
        caller.echo(&format!("round {round}")).await?;
        let client = caller.client.clone();
        let closed = site.on(Host::Second, |_| async move { client.close().await }).await?;
        site.ask("close the client", std::future::ready(closed)).await?;
    }
    tasks_end(&site, before + 2, Duration::from_secs(30)).await?;
    stage.stop().await
}
