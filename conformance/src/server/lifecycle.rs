//! Starting and stopping: in which order, how often, and what becomes of requests under way.

use std::time::Duration;

use futures_util::future::join;
use shaketable_stack::ErrorKind;

use super::tools::Stage;
use crate::Level::Must;
use crate::client::stage::Ask;
use crate::client::stage::BEGINS_WITHIN;
use crate::requirement::check;
use crate::site::SLACK;
use crate::tolerance::ByWorld;
use crate::{Finding, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-039",
        level: Must,
        sentence: "A server that was stopped is not in the registry any more.",
        source: "go-micro server/rpc_server.go: Stop deregisters; pull request 1911",
        needs: &[],
        check: check!(a_stopped_server_is_deregistered),
    },
    Requirement {
        id: "SRV-040",
        level: Must,
        sentence: "A stop deregisters first: while requests under way are waited for, the server is not in the registry.",
        source: "go-micro server/rpc_server.go: registrar deregisters before it waits; issue 2805",
        needs: &[],
        check: check!(a_stop_deregisters_first, "looked at {} after the stop has begun", LOOKED_AT),
    },
    Requirement {
        id: "SRV-041",
        level: Must,
        sentence: "A request under way is answered before a stop ends, if that takes no longer than the drain time-out.",
        source: "go-micro issues 2137 and 1597, go-micro/plugins pull requests 85 and 163: a stop does not wait, or a \
                 second only; server/grpc/util.go: wait reads a key that server/options.go does not set",
        needs: &[],
        check: check!(a_stop_waits_for_requests),
    },
    Requirement {
        id: "SRV-042",
        level: Must,
        sentence: "A stop ends within four seconds after the drain time-out, whatever handlers are still doing, and their \
                   callers are told.",
        source: "go-micro server/grpc/grpc.go: GracefulStop is bounded; pull request 2892",
        needs: &[],
        check: check!(
            a_stop_waits_no_longer_than_allowed,
            "within {}, and within {} of the call its caller is told",
            ENDS_WITHIN,
            TOLD_WITHIN
        ),
    },
    Requirement {
        id: "SRV-043",
        level: Must,
        sentence: "No handler is called after the stop has ended.",
        source: "go-micro server/rpc_server.go: registrar closes the listener",
        needs: &[],
        check: check!(no_handler_runs_after_the_stop),
    },
    Requirement {
        id: "SRV-044",
        level: Must,
        sentence: "Stopping twice, or before any start, is no error and changes nothing.",
        source: "go-micro server/rpc_server.go: Stop without Start; decision of shaketable: who shuts down cannot know \
                 who did so before",
        needs: &[],
        check: check!(stopping_is_idempotent),
    },
    Requirement {
        id: "SRV-045",
        level: Must,
        sentence: "A second start of a running server changes nothing: it stays one node, and one stop ends it.",
        source: "go-micro server/rpc_server.go: Start returns when started",
        needs: &[],
        check: check!(starting_is_idempotent),
    },
    Requirement {
        id: "SRV-046",
        level: Must,
        sentence: "A server can be started again after a stop, and serves.",
        source: "go-micro server/rpc_server.go: Start after Stop; go-plugins issue 218 shows the same for brokers",
        needs: &[],
        check: check!(a_server_starts_again),
    },
    Requirement {
        id: "SRV-047",
        level: Must,
        sentence: "Where nothing can be listened at, the start fails, and nothing is registered.",
        source: "go-micro server/rpc_server.go: Start returns the error of Listen",
        needs: &[],
        check: check!(a_start_without_a_place_fails),
    },
];

/// How much longer than the drain time-out a stop may take, and the call of a request that it ends.
const ENDS_WITHIN: ByWorld = SLACK.times(4);
const TOLD_WITHIN: Duration = Duration::from_secs(10);
/// When the registry is looked at after a stop has begun.
const LOOKED_AT: Duration = Duration::from_secs(1);

async fn a_stopped_server_is_deregistered(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    expect_equal("the nodes in the registry while it runs", &stage.nodes().await?.len(), &1)?;
    stage.stop().await?;
    expect_equal("the nodes in the registry after the stop", &stage.nodes().await?.len(), &0)?;
    site.quiet_for(site.slack()).await;
    expect_equal("the nodes in the registry some time after the stop", &stage.nodes().await?.len(), &0)
}

/// Waits until the handler `Wait` has begun.
async fn begun(stage: &Stage) -> Outcome {
    let begun = || async { if stage.seen.count("Wait") > 0 { Ok(()) } else { Err("it has not".to_owned()) } };
    stage.site.eventually("the handler to begin", BEGINS_WITHIN, begun).await
}

async fn a_stop_deregisters_first(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let caller = stage.caller().await?;
    let call = caller.ends(Ask::of("Probe.Wait", "3000 under way"));
    let stop = async {
        begun(&stage).await?;
        let look = async {
            site.let_pass(LOOKED_AT).await;
            Ok::<_, Finding>((stage.nodes().await?.len(), stage.seen.ended().len()))
        };
        let (stopped, looked) = join(stage.stop(), look).await;
        stopped.and(looked)
    };
    let (called, looked) = join(call, stop).await;
    let (nodes, ended) = looked?;
    called?.map_err(|error| Finding::violated("an answer of the request under way", format!("`{error}`")))?;
    expect_equal(
        "nodes in the registry, and handlers that have ended, a second after the stop began",
        &(nodes, ended),
        &(0, 0),
    )
}

async fn a_stop_waits_for_requests(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.set(|options| options.drain_timeout = Duration::from_secs(8))?;
    stage.start().await?;
    let caller = stage.caller().await?;
    let call = caller.ends(Ask::of("Probe.Wait", "2500 under way").retries(0));
    let stop = async {
        begun(&stage).await?;
        stage.stop().await?;
        expect_equal("the handlers that have ended when the stop has", &stage.seen.ended().len(), &1)
    };
    let (called, stopped) = join(call, stop).await;
    stopped?;
    let answer =
        called?.map_err(|error| Finding::violated("an answer of the request under way", format!("`{error}`")))?;
    expect_equal("the answer", &answer.as_str(), &"2500 under way")
}

async fn a_stop_waits_no_longer_than_allowed(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.set(|options| options.drain_timeout = Duration::from_millis(700))?;
    stage.start().await?;
    let caller = stage.caller().await?;
    let since = site.env().now();
    let call = async {
        let ended = caller.ends(Ask::of("Probe.Wait", "14000 long").retries(0)).await;
        ended.map(|ended| (ended, site.env().now() - since))
    };
    let stop = async {
        begun(&stage).await?;
        site.within("stop the server", Duration::from_millis(700) + site.by_world(ENDS_WITHIN), stage.server.stop())
            .await
    };
    let (called, stopped) = join(call, stop).await;
    // Whether what was given up is an error of the stop is left to the server.
    let _ = stopped?;
    let (ended, took) = called?;
    expect(ended.is_err() && took < TOLD_WITHIN, format!("an error for the caller within {TOLD_WITHIN:?}"), || {
        match ended {
            Ok(answer) => format!("the answer '{answer}' after {took:?}"),
            Err(error) => format!("`{error}` after {took:?}"),
        }
    })
}

async fn no_handler_runs_after_the_stop(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let (known, fresh) = (stage.caller().await?, stage.caller().await?);
    known.echo("before").await?;
    let address = stage.address()?;
    stage.stop().await?;
    for caller in [known, fresh] {
        let ask = Ask::of("Probe.Echo", "after").timeout(Duration::from_secs(2)).retries(0);
        let ask = ask.with(|options| options.addresses = vec![address.clone()]);
        let kinds =
            [ErrorKind::Unreachable, ErrorKind::Disconnected, ErrorKind::Timeout, ErrorKind::Remote, ErrorKind::Closed];
        caller.refused(ask, &kinds).await?;
    }
    expect_equal("the executions", &stage.seen.count("Echo"), &1)
}

async fn stopping_is_idempotent(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.stop().await?;
    stage.start().await?;
    stage.caller().await?.echo("x").await?;
    stage.stop().await?;
    stage.stop().await?;
    expect_equal("the nodes in the registry", &stage.nodes().await?.len(), &0)
}

async fn starting_is_idempotent(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let (caller, address) = (stage.caller().await?, stage.address()?);
    // It may say that it runs already.
    let _ = site.ends("start the server again", stage.server.start()).await?;
    let addresses: Vec<_> = stage.nodes().await?.into_iter().map(|node| node.address).collect();
    expect_equal("the addresses in the registry", &addresses, &vec![address.clone()])?;
    caller.echo("after the second start").await?;
    stage.stop().await?;
    expect_equal("the nodes in the registry after the stop", &stage.nodes().await?.len(), &0)?;
    let ask = Ask::of("Probe.Echo", "after").timeout(Duration::from_secs(2)).retries(0);
    let ask = ask.with(|options| options.addresses = vec![address]);
    let ended = caller.ends(ask).await?;
    expect(ended.is_err(), "nobody to answer after the stop", || format!("{ended:?}"))
}

async fn a_server_starts_again(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    for round in 0..3 {
        stage.start().await?;
        expect_equal("the nodes in the registry", &stage.nodes().await?.len(), &1)?;
        stage.caller().await?.echo(&format!("round {round}")).await?;
        stage.stop().await?;
        expect_equal("the nodes in the registry after the stop", &stage.nodes().await?.len(), &0)?;
    }
    Ok(())
}

async fn a_start_without_a_place_fails(site: Site) -> Outcome {
    let one = Stage::new(&site).await?;
    one.start().await?;
    let two = Stage::of(&site, site.parts().await?, "two").await?;
    let address = one.address()?;
    two.set(|options| options.address.clone_from(&address))?;
    let started = site.ends("start a server at an address that is taken", two.server.start()).await?;
    expect(started.is_err(), "the start to fail", || "it succeeded".to_owned())?;
    let addresses: Vec<_> = one.nodes().await?.into_iter().map(|node| node.address).collect();
    expect_equal("the addresses in the registry", &addresses, &vec![address])?;
    one.caller().await?.echo("the first one serves").await?;
    one.stop().await
}
