//! Starting and stopping, in every order and number.

use futures_util::future::{join, join_all};
use shaketable_stack::ErrorKind;

use super::tools::{HOOKS, Log, Setup, options};
use crate::Level::Must;
use crate::client::stage::BEGINS_WITHIN;
use crate::client::stage::{Ask, Caller};
use crate::requirement::check;
use crate::server::tools::Stage;
use crate::{Finding, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SVC-008",
        level: Must,
        sentence: "Starting a service that runs changes nothing: no hook runs again, and it stays one node.",
        source: "decision of shaketable: who starts cannot know who did so before; go-micro service/service.go: Start",
        needs: &[],
        check: check!(a_second_start_changes_nothing),
    },
    Requirement {
        id: "SVC-009",
        level: Must,
        sentence: "Stopping a service twice is no error, and no hook runs again.",
        source: "decision of shaketable: who shuts down cannot know who did so before; go-micro service/service.go: Stop",
        needs: &[],
        check: check!(a_second_stop_changes_nothing),
    },
    Requirement {
        id: "SVC-010",
        level: Must,
        sentence: "Stopping a service that was never started is no error, and no hook runs.",
        source: "decision of shaketable: hooks around a stop give back what those around the start took",
        needs: &[],
        check: check!(a_stop_before_the_start_does_nothing),
    },
    Requirement {
        id: "SVC-011",
        level: Must,
        sentence: "Several starts at the same time start the service once.",
        source: "go-micro service/service.go: sync.Once guards Init only",
        needs: &[],
        check: check!(starts_at_once_start_once),
    },
    Requirement {
        id: "SVC-012",
        level: Must,
        sentence: "A service can be used again after a stop: hooks run and it serves as before.",
        source: "go-micro service/service.go: Start after Stop",
        needs: &[],
        check: check!(a_service_starts_again),
    },
    Requirement {
        id: "SVC-013",
        level: Must,
        sentence: "After a start that a hook aborted, the service can be started.",
        source: "decision of shaketable: a start that failed leaves nothing that is half started",
        needs: &[],
        check: check!(a_failed_start_can_be_repeated),
    },
    Requirement {
        id: "SVC-014",
        level: Must,
        sentence: "Options are replaced while the service does not run, and refused while it does.",
        source: "go-micro service/service.go: Init; decision of shaketable: hooks that were begun are ended",
        needs: &[],
        check: check!(options_are_replaced_between_runs),
    },
    Requirement {
        id: "SVC-015",
        level: Must,
        sentence: "The client and the server of a service are those that it was made of.",
        source: "go-micro service/service.go: Client, Server",
        needs: &[],
        check: check!(client_and_server_are_the_given_ones),
    },
];

async fn a_second_start_changes_nothing(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    setup.start().await?;
    setup.start().await?;
    expect_equal("the hooks that ran", &setup.ran(), &HOOKS[..4].to_vec())?;
    expect_equal("the nodes in the registry", &setup.stage.nodes().await?.len(), &1)?;
    setup.caller().await?.echo("after the second start").await?;
    setup.stop().await
}

async fn a_second_stop_changes_nothing(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    setup.start().await?;
    setup.stop().await?;
    setup.stop().await?;
    expect_equal("the hooks that ran", &setup.ran(), &HOOKS.to_vec())
}

async fn a_stop_before_the_start_does_nothing(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    setup.stop().await?;
    expect_equal("the hooks that ran", &setup.ran(), &Vec::<&str>::new())?;
    setup.start().await?;
    setup.stop().await
}

async fn starts_at_once_start_once(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    let starts = (0..5).map(|_| setup.service.start());
    for started in site.ends("start the service five times at once", join_all(starts)).await? {
        // One that is told that it runs already is as well.
        let _ = started;
    }
    expect_equal("the hooks that ran", &setup.ran(), &HOOKS[..4].to_vec())?;
    expect_equal("the nodes in the registry", &setup.stage.nodes().await?.len(), &1)?;
    let stops = (0..5).map(|_| setup.service.stop());
    site.ends("stop the service five times at once", join_all(stops)).await?;
    expect_equal("the hooks that ran", &setup.ran(), &HOOKS.to_vec())
}

async fn a_service_starts_again(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    for round in 0..3 {
        setup.start().await?;
        setup.caller().await?.echo(&format!("round {round}")).await?;
        setup.stop().await?;
    }
    expect_equal("the hooks that ran", &setup.ran(), &[HOOKS; 3].concat())
}

async fn a_failed_start_can_be_repeated(site: Site) -> Outcome {
    for fails in [HOOKS[1], HOOKS[3]] {
        let setup = Setup::failing(&site, fails).await?;
        let started = site.ends("start the service whose hook fails", setup.service.start()).await?;
        expect(started.is_err(), format!("the error of the hook {fails}"), || "a success".to_owned())?;
        let given = setup.service.options();
        let well = options(&setup.stage, given.client, given.server, &setup.log, "");
        site.ask("replace the hooks", std::future::ready(setup.service.init(well))).await?;
        setup.start().await?;
        setup.caller().await?.echo("after the second start").await?;
        setup.stop().await?;
    }
    Ok(())
}

async fn options_are_replaced_between_runs(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    let (given, other) = (setup.service.options(), Log::default());
    let replaced = options(&setup.stage, given.client, given.server, &other, "");
    setup.start().await?;
    let refused = setup.service.init(replaced.clone());
    let kinds = [ErrorKind::InvalidInput, ErrorKind::Unsupported];
    site.refused("replace the options while it runs", &kinds, std::future::ready(refused)).await?;
    setup.stop().await?;
    expect_equal("the hooks that ran", &setup.ran(), &HOOKS.to_vec())?;
    site.ask("replace the options", std::future::ready(setup.service.init(replaced))).await?;
    setup.start().await?;
    setup.stop().await?;
    expect_equal("the hooks of the first options", &setup.ran().len(), &HOOKS.len())?;
    let ran: Vec<&str> = crate::client::stage::lock(&other).iter().map(|(name, _)| *name).collect();
    expect_equal("the hooks of the second options", &ran, &HOOKS.to_vec())
}

async fn client_and_server_are_the_given_ones(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    let other = Stage::of(&site, site.parts().await?, "other").await?;
    other.set(|options| options.name = site.name("other"))?;
    other.start().await?;
    setup.start().await?;
    let id = setup.service.server().node_id();
    expect_equal("the node of the service's server", &id, &setup.stage.server.node_id())?;
    let caller = Caller::of_client(&site, setup.service.client(), &site.name("other"));
    expect_equal("what its client is answered", &caller.ask(Ask::of("Probe.Where", "x")).await?.as_str(), &"other")?;
    let given = setup.service.options();
    expect_equal("the server of its options", &given.server.node_id(), &setup.stage.server.node_id())?;
    setup.stop().await?;
    other.stop().await
}

/// Calls `Probe.Wait`, and does `stop` while the handler works.
pub(super) async fn busy(
    setup: &Setup,
    caller: &Caller,
    text: &str,
    stop: impl Future<Output = Outcome>,
) -> Result<String, Finding> {
    let call = caller.ends(Ask::of("Probe.Wait", text).retries(0));
    let stops = async {
        let begun = || async { if setup.stage.seen.count("Wait") > 0 { Ok(()) } else { Err("not yet".to_owned()) } };
        setup.stage.site.eventually("the handler to begin", BEGINS_WITHIN, begun).await?;
        stop.await
    };
    let (called, stopped) = join(call, stops).await;
    stopped?;
    called?.map_err(|error| Finding::violated("an answer of the request under way", format!("`{error}`")))
}
