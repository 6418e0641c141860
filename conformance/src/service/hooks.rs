//! Hooks: in which order they run, around what, and what their failure does.

use super::tools::{HOOKS, Setup};
use crate::Level::{Must, Should};
use crate::client::stage::lock;
use crate::requirement::check;
use crate::{Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SVC-001",
        level: Must,
        sentence: "The hooks before the start run before the server is registered, those after the start when it is.",
        source: "go-micro service/service.go: Start; options.go: BeforeStart, AfterStart",
        needs: &[],
        check: check!(hooks_run_around_the_start),
    },
    Requirement {
        id: "SVC-002",
        level: Must,
        sentence: "The hooks before the stop run while the server is registered, those after the stop when it is not any more.",
        source: "go-micro service/service.go: Stop; options.go: BeforeStop, AfterStop",
        needs: &[],
        check: check!(hooks_run_around_the_stop),
    },
    Requirement {
        id: "SVC-003",
        level: Must,
        sentence: "The hooks of one point run in the order in which they were given, each once.",
        source: "go-micro service/service.go: for _, fn := range s.opts.BeforeStart",
        needs: &[],
        check: check!(hooks_run_in_order),
    },
    Requirement {
        id: "SVC-004",
        level: Must,
        sentence: "A hook that fails before the start aborts it: no later hook runs, and the server does not start.",
        source: "go-micro service/service.go: Start returns the error of BeforeStart",
        needs: &[],
        check: check!(a_failure_before_the_start_aborts),
    },
    Requirement {
        id: "SVC-005",
        level: Must,
        sentence: "A hook that fails after the start fails the start, and the server is stopped again.",
        source: "go-micro service/service.go: Start returns the error of AfterStart and leaves the server running",
        needs: &[],
        check: check!(a_failure_after_the_start_stops),
    },
    Requirement {
        id: "SVC-006",
        level: Must,
        sentence: "A hook that fails before the stop keeps neither the other hooks from running nor the server from stopping.",
        source: "go-micro service/service.go: Stop goes on after BeforeStop",
        needs: &[],
        check: check!(a_failure_before_the_stop_stops_nothing),
    },
    Requirement {
        id: "SVC-007",
        level: Should,
        sentence: "The failure of a hook around the stop is the stop's error.",
        source: "go-micro service/service.go: gerr",
        needs: &[],
        check: check!(a_failure_around_the_stop_is_told),
    },
];

async fn hooks_run_around_the_start(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    setup.start().await?;
    let wanted: Vec<_> = HOOKS[..4].iter().copied().zip([0, 0, 1, 1]).collect();
    expect_equal("the hooks that ran, and the nodes in the registry then", &*lock(&setup.log), &wanted)?;
    setup.stop().await
}

async fn hooks_run_around_the_stop(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    setup.start().await?;
    lock(&setup.log).clear();
    setup.stop().await?;
    let wanted: Vec<_> = HOOKS[4..].iter().copied().zip([1, 1, 0, 0]).collect();
    expect_equal("the hooks that ran, and the nodes in the registry then", &*lock(&setup.log), &wanted)
}

async fn hooks_run_in_order(site: Site) -> Outcome {
    let setup = Setup::new(&site).await?;
    setup.start().await?;
    setup.stop().await?;
    expect_equal("the hooks that ran", &setup.ran(), &HOOKS.to_vec())
}

async fn a_failure_before_the_start_aborts(site: Site) -> Outcome {
    let setup = Setup::failing(&site, HOOKS[0]).await?;
    let started = site.ends("start the service", setup.service.start()).await?;
    expect(started.is_err(), "the start to fail", || "a success".to_owned())?;
    expect_equal("the hooks that ran", &setup.ran(), &vec![HOOKS[0]])?;
    expect_equal("the nodes in the registry", &setup.stage.nodes().await?.len(), &0)
}

async fn a_failure_after_the_start_stops(site: Site) -> Outcome {
    let setup = Setup::failing(&site, HOOKS[2]).await?;
    let started = site.ends("start the service", setup.service.start()).await?;
    expect(started.is_err(), "the start to fail", || "a success".to_owned())?;
    expect(setup.stage.server.record().is_none(), "a server that does not run", || "one that does".to_owned())?;
    expect_equal("the nodes in the registry", &setup.stage.nodes().await?.len(), &0)
}

async fn a_failure_before_the_stop_stops_nothing(site: Site) -> Outcome {
    let setup = Setup::failing(&site, HOOKS[4]).await?;
    setup.start().await?;
    // Whether the stop tells the failure is another requirement.
    let _ = site.ends("stop the service", setup.service.stop()).await?;
    expect_equal("the hooks that ran", &setup.ran(), &HOOKS.to_vec())?;
    expect(setup.stage.server.record().is_none(), "a server that does not run", || "one that does".to_owned())?;
    expect_equal("the nodes in the registry", &setup.stage.nodes().await?.len(), &0)
}

async fn a_failure_around_the_stop_is_told(site: Site) -> Outcome {
    for fails in [HOOKS[4], HOOKS[6]] {
        let setup = Setup::failing(&site, fails).await?;
        setup.start().await?;
        let stopped = site.ends("stop the service", setup.service.stop()).await?;
        let error = stopped.err().map(|error| error.to_string()).unwrap_or_default();
        expect(error.contains(fails), format!("the error of the hook {fails}"), || format!("`{error}`"))?;
    }
    Ok(())
}
