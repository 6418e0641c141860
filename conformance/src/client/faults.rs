//! Faults: servers that go away, links that are cut and healed, servers that are replaced.

use std::sync::Arc;
use std::time::Duration;

use shaketable_sim::world::Capability;
use shaketable_stack::ErrorKind;

use super::stage::BEGINS_WITHIN;
use super::stage::{Ask, Caller, Seen, serve};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Host, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CLI-041",
        level: Should,
        sentence: "A call whose connection ends before the answer fails within five seconds, and does not wait for its deadline.",
        source: "go-micro issue 111: no sign of a peer's end; transport/transport.go: Recv fails",
        needs: &[],
        check: check!(a_broken_connection_is_told_soon, "within {} of the end of the server", TOLD_WITHIN),
    },
    Requirement {
        id: "CLI-042",
        level: Must,
        sentence: "After a link was cut and has healed, calls succeed again.",
        source: "go-micro internal/util/pool/default.go: Release closes a connection whose call has failed, so that \
                 the next call dials",
        needs: &[Need::Network, Need::World(Capability::Cut)],
        check: check!(calls_succeed_after_a_cut, "within {}", HEALED_WITHIN),
    },
    Requirement {
        id: "CLI-043",
        level: Must,
        sentence: "After the only server of a service was stopped and another one started, calls reach the new one.",
        source: "go-micro issues 244 and 2805: calls go to stopped nodes",
        needs: &[],
        check: check!(calls_reach_the_successor, "within {}", REPLACED_WITHIN),
    },
    Requirement {
        id: "CLI-044",
        level: Should,
        sentence: "A connection that is kept, and that the server has closed meanwhile, costs no call an error.",
        source: "go-micro internal/util/pool/default.go: Get does not look at a connection before it is used",
        needs: &[],
        check: check!(a_stale_connection_costs_nothing),
    },
];

/// How soon a caller is told that its connection has ended.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// How soon calls succeed again after a cut, and after another server has taken the place of the first.
const HEALED_WITHIN: Duration = Duration::from_secs(15);
const REPLACED_WITHIN: Duration = Duration::from_secs(10);

async fn a_broken_connection_is_told_soon(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    let kinds = [ErrorKind::Disconnected, ErrorKind::Unreachable, ErrorKind::Timeout, ErrorKind::Remote];
    let leave = async {
        let begun = || async { if seen.count("Wait") > 0 { Ok(()) } else { Err("it has not".to_owned()) } };
        site.eventually("the handler to begin", BEGINS_WITHIN, begun).await?;
        served.stop().await.map(|()| site.env().now())
    };
    let call = async {
        let refused = caller.refused(Ask::of("Probe.Wait", "14000 slow").retries(0), &kinds).await;
        refused.map(|_| site.env().now())
    };
    let (ended, left) = futures_util::future::join(call, leave).await;
    let took = ended? - left?;
    expect(took < TOLD_WITHIN, format!("the error within {TOLD_WITHIN:?} of the server's end"), || {
        format!("it after {took:?}")
    })
}

async fn calls_succeed_after_a_cut(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("before").await?;
    site.cut(Host::Home, Host::Second, true).await?;
    let kinds = [ErrorKind::Timeout, ErrorKind::Unreachable, ErrorKind::Disconnected];
    // Past the selector, which may take a node out of use that does not answer.
    let ask = |text| Ask::of("Probe.Echo", text).with(|options| options.addresses = vec![served.address()]);
    for _ in 0..3 {
        let ask = ask("into the void").timeout(Duration::from_millis(700)).retries(0);
        caller.refused(ask, &kinds).await?;
    }
    site.let_pass(Duration::from_secs(4)).await;
    site.cut(Host::Home, Host::Second, false).await?;
    let again = || async {
        let ask = ask("after").timeout(Duration::from_secs(2)).retries(0);
        let ended = caller.call(ask).await.map_err(|finding| finding.to_string())?;
        ended.map(drop).map_err(|error| error.to_string())
    };
    site.eventually("a call to succeed", HEALED_WITHIN, again).await?;
    for text in ["again", "and again"] {
        caller.ask(ask(text)).await?;
    }
    Ok(())
}

async fn calls_reach_the_successor(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let first = serve(&site, Host::Second, &service, "first", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    first.stop().await?;
    let _served = serve(&site, Host::Third, &service, "second", &seen).await?;
    let again = || async {
        let ask = Ask::of("Probe.Where", "x").timeout(Duration::from_secs(3));
        let ended = caller.call(ask).await.map_err(|finding| finding.to_string())?;
        ended.map_err(|error| error.to_string())
    };
    let answer = site.eventually("a call to succeed", REPLACED_WITHIN, again).await?;
    expect_equal("the server that answered", &answer.as_str(), &"second")
}

async fn a_stale_connection_costs_nothing(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    let (server, address) = (served.server.clone(), served.address());
    served.stop().await?;
    super::stage::server_options(&server, |options| options.address.clone_from(&address))?;
    let start = server.clone();
    let started = site.on(Host::Second, |_| async move { start.start().await }).await?;
    site.ask("start the server at the same address", std::future::ready(started)).await?;
    site.let_pass(Duration::from_secs(1)).await;
    let ask = Ask::of("Probe.Where", "x").retries(0).with(|options| options.addresses = vec![address]);
    caller.ask(ask).await.map(drop)
}
