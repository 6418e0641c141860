//! Leaks: what is left of requests, streams and callers that are gone, and of a server that was stopped.

use std::time::Duration;

use futures_util::future::join_all;

use super::tools::Stage;
use crate::Level::{Must, Should};
use crate::client::stage::{Ask, Caller};
use crate::requirement::check;
use crate::site::{CYCLES, Spare};
use crate::{Host, Need, Outcome, Parts, Requirement, Site};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-048",
        level: Must,
        sentence: "A server that was stopped leaves no tasks behind.",
        source: "decision of shaketable: what was stopped runs no more",
        needs: &[],
        check: check!(a_stopped_server_leaves_no_tasks, "within {}", STOPPED_WITHIN),
    },
    Requirement {
        id: "SRV-070",
        level: Should,
        sentence: "A running server that is dropped without being stopped answers nobody any more, and leaves no tasks behind.",
        source: "decision of shaketable: in Rust a value that is dropped has let go of what it held",
        needs: &[Need::InProcess("that a value is dropped")],
        check: check!(a_dropped_server_leaves_nothing),
    },
    Requirement {
        id: "SRV-049",
        level: Must,
        sentence: "A thousand requests, answered or failed, leave at most 150 tasks and 100 connections behind while the \
                   server runs.",
        source: "go-micro server/rpc_server.go: ServeConn drops the end of a stream that has ended, for which it once \
                 started a handler that never returned (pull request 995)",
        needs: &[],
        check: check!(requests_leave_no_tasks),
    },
    Requirement {
        id: "SRV-050",
        level: Must,
        sentence: "Two hundred clients that have closed their connections leave at most 2 tasks and 2 connections behind.",
        source: "go-micro server/rpc_server.go: ServeConn ends, and closes its sockets, when Recv fails",
        needs: &[],
        check: check!(callers_that_leave_leave_no_tasks),
    },
    Requirement {
        id: "SRV-080",
        level: Should,
        sentence: "Of a thousand requests, answered with 4 KiB or failed, the second five hundred leave less than 1 KiB \
                   of memory each in use.",
        source: "go-micro issue 821: memory grows with calls of which many fail with 408 or 500; decision of shaketable: 1 \
                 KiB is less than a body or a connection takes",
        needs: &[Need::Memory],
        check: check!(requests_take_no_memory),
    },
];

/// How many callers come and go.
const CALLERS: usize = 200;
/// How many requests are under way at once.
const AT_ONCE: usize = 50;

/// Waits until no more tasks live on this host than `allowed`.
async fn tasks_end(site: &Site, allowed: usize, limit: Duration) -> Outcome {
    site.eventually(&format!("at most {allowed} tasks"), limit, || async {
        let tasks = site.env().live_tasks();
        if tasks.total() <= allowed { Ok(()) } else { Err(format!("{:?}", tasks.counts())) }
    })
    .await
}

/// How soon the tasks of a server have ended that was stopped.
const STOPPED_WITHIN: Duration = Duration::from_secs(5);

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
    tasks_end(&site, before, STOPPED_WITHIN).await
}

async fn a_dropped_server_leaves_nothing(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let before = site.env().live_tasks().total();
    stage.start().await?;
    let caller = stage.caller().await?;
    caller.echo("while it runs").await?;
    let address = stage.address()?;
    site.step("drop the server");
    let Stage { parts, server, .. } = stage;
    drop(server);
    nothing_is_left(&site, &parts, caller, &address, before).await
}

/// Nobody answers at the `address` of a server of `parts` that nobody holds any more, and no more tasks than `before` are left.
pub(crate) async fn nothing_is_left(
    site: &Site,
    parts: &Parts,
    caller: Caller,
    address: &str,
    before: usize,
) -> Outcome {
    let limit = Duration::from_secs(10);
    let asked = || async {
        let ask = Ask::of("Probe.Echo", "afterwards").retries(0).timeout(Duration::from_secs(2));
        let ask = ask.with(|options| options.addresses = vec![address.to_owned()]);
        match caller.ends(ask).await.map_err(|finding| finding.to_string())? {
            Err(_) => Ok(()),
            Ok(_) => Err("it answers".to_owned()),
        }
    };
    site.eventually("calls to where nobody serves any more to fail", limit, asked).await?;
    drop(caller);
    // The broker is the caller's, who still has it; the server had connected it.
    site.ask("disconnect the broker", parts.broker.disconnect()).await?;
    tasks_end(site, before, limit).await
}

async fn requests_leave_no_tasks(site: Site) -> Outcome {
    let site = site.counted();
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let caller = stage.caller().await?;
    caller.echo("first").await?;
    let before = site.usage().await?;
    for _ in 0..CYCLES / AT_ONCE {
        let calls = (0..AT_ONCE).map(|number| {
            let (endpoint, text) = if number % 2 == 0 { ("Probe.Echo", "x") } else { ("Probe.Fail", "404 no") };
            caller.call(Ask::of(endpoint, text))
        });
        for ended in site.ends("fifty requests", join_all(calls)).await? {
            // Half of them fail, as they should.
            let _ = ended?;
        }
    }
    // A connection that the clients keep may have a task or two; where all hosts are one, both ends of it are there.
    let spare = Spare { tasks: 3 * AT_ONCE, connections: 2 * AT_ONCE };
    site.lets_go("the requests", &before, (spare, CYCLES), Duration::from_secs(5)).await?;
    stage.stop().await
}

async fn callers_that_leave_leave_no_tasks(site: Site) -> Outcome {
    let site = site.counted();
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let before = site.usage().await?;
    for round in 0..CALLERS {
        let caller = stage.caller().await?;
        caller.echo(&format!("round {round}")).await?;
        let client = caller.client.clone();
        let closed = site.on(Host::Second, |_| async move { client.close().await }).await?;
        site.ask("close the client", std::future::ready(closed)).await?;
    }
    site.lets_go("all have left", &before, (Spare::each(2), CALLERS), Duration::from_secs(30)).await?;
    stage.stop().await
}

async fn requests_take_no_memory(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let caller = stage.caller().await?;
    caller.echo("first").await?;
    let body = "m".repeat(4 << 10);
    let cycle = |number: usize| {
        let (caller, stage, body) = (&caller, &stage, &body);
        async move {
            let ask = match number % 4 {
                3 => Ask::of("Probe.Fail", "404 no"),
                _ => Ask::of("Probe.Echo", body),
            };
            // How it ends is judged by others.
            let _ = caller.ends(ask).await;
            stage.seen.forget();
            Ok(())
        }
    };
    site.remembers_nothing("requests", cycle).await?;
    stage.stop().await
}
