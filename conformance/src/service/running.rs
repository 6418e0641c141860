//! Running until somebody says stop; what is under way then, and what is left.

use std::time::Duration;

use futures_util::future::join;
use tokio::sync::oneshot;

use super::lifecycle::busy;
use super::tools::{HOOKS, Setup};
use crate::Level::{Must, Should};
use crate::client::stage::Caller;
use crate::requirement::check;
use crate::server::leaks::nothing_is_left;
use crate::server::tools::Stage;
use crate::site::ANSWER_WITHIN;
use crate::{Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SVC-016",
        level: Must,
        sentence: "A run starts the service, serves until its shutdown completes, stops it with all hooks, and ends.",
        source: "go-micro service/service.go: Run",
        needs: &[],
        check: check!(a_run_ends_with_its_shutdown, "within {}", RUN_WITHIN),
    },
    Requirement {
        id: "SVC-017",
        level: Must,
        sentence: "A run whose start fails ends at once with an error, and does not wait for its shutdown.",
        source: "go-micro service/service.go: Run returns the error of Start",
        needs: &[],
        check: check!(a_run_that_cannot_start_ends, "within {}", ANSWER_WITHIN),
    },
    Requirement {
        id: "SVC-018",
        level: Must,
        sentence: "A request under way is answered before the stop ends and the hooks after it run.",
        source: "go-micro issues 2137 and 1597: a stop does not wait",
        needs: &[],
        check: check!(a_stop_waits_for_requests),
    },
    Requirement {
        id: "SVC-019",
        level: Must,
        sentence: "A service that was stopped leaves no tasks and no connections of its client behind.",
        source: "decision of shaketable: the client belongs to the service, and what was stopped runs no more",
        needs: &[],
        check: check!(a_stopped_service_leaves_no_tasks, "within {}, but for one task", RELEASED_WITHIN),
    },
    Requirement {
        id: "SVC-022",
        level: Should,
        sentence: "A started service that is dropped without being stopped answers nobody any more, and leaves no tasks and no \
                   connections of its client behind.",
        source: "decision of shaketable: in Rust a value that is dropped has let go of what it held",
        needs: &[Need::InProcess("that a value is dropped")],
        check: check!(a_dropped_service_leaves_nothing),
    },
    Requirement {
        id: "SVC-020",
        level: Must,
        sentence: "Two services in one program run and stop each by itself.",
        source: "go-micro v2 to v6 client/client.go, server/server.go: the defaults are shared by all services of a process",
        needs: &[],
        check: check!(two_services_are_two),
    },
];

/// How long a run may take that is shut down after two seconds.
const RUN_WITHIN: Duration = Duration::from_secs(25);
/// How soon nothing is left of a service that was stopped.
const RELEASED_WITHIN: Duration = Duration::from_secs(5);

async fn a_run_ends_with_its_shutdown(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    let (shut, shutdown) = oneshot::channel::<()>();
    let run = setup.service.run(Box::pin(async move {
        // That nobody can say it any more is a shutdown too.
        let _ = shutdown.await;
    }));
    let meanwhile = async {
        setup.until_nodes(1).await?;
        setup.caller().await?.echo("while it runs").await?;
        site.let_pass(Duration::from_secs(2)).await;
        expect_equal("the hooks that ran", &setup.ran(), &HOOKS[..4].to_vec())?;
        expect_equal("the nodes in the registry", &setup.stage.nodes().await?.len(), &1)?;
        let _ = shut.send(());
        Outcome::Ok(())
    };
    let (ran, meanwhile) = join(site.within("run the service", RUN_WITHIN, run), meanwhile).await;
    meanwhile?;
    expect(ran?.is_ok(), "the run to end without an error", || "one".to_owned())?;
    expect_equal("the hooks that ran", &setup.ran(), &HOOKS.to_vec())?;
    expect_equal("the nodes in the registry", &setup.stage.nodes().await?.len(), &0)
}

async fn a_run_that_cannot_start_ends(site: Site) -> Outcome {
    let setup = Setup::failing(&site, HOOKS[1]).await?;
    let run = setup.service.run(Box::pin(std::future::pending()));
    let ran = site.ends("run the service whose hook fails", run).await?;
    expect(ran.is_err(), "the run to fail", || "a success".to_owned())
}

async fn a_stop_waits_for_requests(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    setup.stage.set(|options| options.drain_timeout = Duration::from_secs(8))?;
    setup.start().await?;
    let caller = setup.caller().await?;
    let stop = async {
        setup.stop().await?;
        expect_equal("the handlers that have ended when the stop has", &setup.stage.seen.ended().len(), &1)?;
        expect_equal("the hooks that ran", &setup.ran(), &HOOKS.to_vec())
    };
    let answer = busy(&setup, &caller, "2000 under way", stop).await?;
    expect_equal("the answer", &answer.as_str(), &"2000 under way")
}

async fn a_stopped_service_leaves_no_tasks(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    let before = site.env().live_tasks().total();
    for _ in 0..2 {
        setup.start().await?;
        setup.caller().await?.echo("from outside").await?;
        // A service may call itself.
        let own = Caller::of_client(&site, setup.service.client(), &setup.stage.service);
        own.echo("from inside").await?;
        setup.stop().await?;
    }
    // The selector may have begun to watch the service.
    site.eventually("tasks to end", RELEASED_WITHIN, || async {
        let tasks = site.env().live_tasks();
        if tasks.total() <= before + 1 { Ok(()) } else { Err(format!("{:?} (before: {before})", tasks.counts())) }
    })
    .await
}

async fn a_dropped_service_leaves_nothing(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    let before = site.env().live_tasks().total();
    setup.start().await?;
    let caller = setup.caller().await?;
    caller.echo("from outside").await?;
    // A service may call itself.
    Caller::of_client(&site, setup.service.client(), &setup.stage.service).echo("from inside").await?;
    let address = setup.stage.address()?;
    site.step("drop the service and its server");
    let Setup { stage: Stage { parts, server, .. }, service, .. } = setup;
    drop((service, server));
    // The selector may have begun to watch the service.
    nothing_is_left(&site, &parts, caller, &address, before + 1).await
}

async fn two_services_are_two(site: Site) -> Outcome {
    let (one, two) = (Setup::new(&site).await?, Setup::new(&site).await?);
    two.stage.set(|options| options.name = site.name("second"))?;
    one.start().await?;
    two.start().await?;
    let caller = one.caller().await?;
    let other = caller.of_service(&site.name("second"));
    caller.echo("to the first").await?;
    other.echo("to the second").await?;
    one.stop().await?;
    expect_equal("the hooks of the second that ran", &two.ran(), &HOOKS[..4].to_vec())?;
    other.echo("to the second, after the first was stopped").await?;
    expect_equal("the executions of the second", &two.stage.seen.count("Echo"), &2)?;
    two.stop().await
}
