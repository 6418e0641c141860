//! Connections: they are used again, and given back.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::ErrorKind;
use shaketable_stack::env::split_host_port;

use super::stage::{Ask, Caller, Seen, counted, serve};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CLI-035",
        level: Should,
        sentence: "Calls to one node one after the other share a connection, whether the node is named by number or by name.",
        source: "go-micro internal/util/pool/default.go: Get looks up the dialled address and Release stores under the \
                 remote one, so that a host name is never found again; issue 275, micro/go-grpc issue 13",
        needs: &[Need::Network],
        check: check!(calls_share_a_connection, "{} connections for {} calls", CONNECTIONS, CALLS),
    },
    Requirement {
        id: "CLI-036",
        level: Must,
        sentence: "Closing the client releases its connections and its tasks.",
        source: "decision of shaketable: an interface that opens connections must be able to close them; go-micro \
                 internal/util/pool/default.go: Close",
        needs: &[Need::Network],
        check: check!(closing_releases_connections, "within {}, but for {} tasks", RELEASED_WITHIN, TASKS_SPARE),
    },
    Requirement {
        id: "CLI-068",
        level: Should,
        sentence: "A client that is dropped without being closed releases its connections and its tasks, too.",
        source: "decision of shaketable: in Rust a value that is dropped has let go of what it held",
        needs: &[Need::Network, Need::InProcess("that a value is dropped")],
        check: check!(dropping_releases_connections),
    },
    Requirement {
        id: "CLI-037",
        level: Must,
        sentence: "Closing twice is no error, and a call after that ends, well or with Closed.",
        source: "decision of shaketable: who shuts down cannot know who did so before",
        needs: &[],
        check: check!(closing_twice_is_no_error),
    },
];

/// How many connections so many calls one after the other may open.
const CONNECTIONS: usize = 3;
const CALLS: usize = 30;
/// How soon a client that was closed holds nothing any more, but for tasks that its selector may have begun.
const RELEASED_WITHIN: Duration = Duration::from_secs(5);
const TASKS_SPARE: usize = 2;

async fn calls_share_a_connection(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let (_, port) = split_host_port(&served.address())
        .map(|(host, port)| (host.to_owned(), port))
        .map_err(|error| Finding::violated("an address with a port", error.to_string()))?;
    let by_name = format!("{}:{port}", Host::Second.name());
    for address in [served.address(), by_name] {
        let (site, connections) = counted(&site);
        let caller = Caller::new(&site, Host::Home, &service).await?;
        for _ in 0..CALLS {
            let ask = Ask::of("Probe.Echo", "x").with(|options| options.addresses = vec![address.clone()]);
            caller.ask(ask).await?;
        }
        let opened = connections.opened();
        expect(
            opened <= CONNECTIONS,
            format!("{CONNECTIONS} connections at most for {CALLS} calls to {address}"),
            || format!("{opened}"),
        )?;
    }
    Ok(())
}

async fn closing_releases_connections(site: Site) -> Outcome {
    is_released(site, false).await
}

async fn dropping_releases_connections(site: Site) -> Outcome {
    is_released(site, true).await
}

/// Uses a client, closes or drops it, and waits until nothing of it is left.
async fn is_released(site: Site, drops: bool) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let (site, connections) = counted(&site);
    let caller = Caller::new(&site, Host::Home, &service).await?;
    // What registry and selector keep is not the client's.
    let kinds = [ErrorKind::NotFound, ErrorKind::NoneAvailable];
    caller.of_service(&site.name("nobody")).refused(Ask::of("Probe.Echo", "x").retries(0), &kinds).await?;
    let (tasks, open) = (site.env().live_tasks().total(), connections.open());
    let calls = (0..5).map(|number| caller.call(Ask::of("Probe.Wait", format!("50 {number}"))));
    for answer in site.ends("five calls at once", futures_util::future::join_all(calls)).await? {
        answer?.map_err(|error| Finding::violated("answers", format!("`{error}`")))?;
    }
    if drops {
        site.step("drop the client");
        drop(caller);
    } else {
        site.ask("close the client", caller.client.close()).await?;
    }
    // The selector may have begun to watch the service meanwhile.
    let allowed = tasks + TASKS_SPARE;
    site.eventually("connections and tasks to be released", RELEASED_WITHIN, || async {
        let (tasks_now, open_now) = (site.env().live_tasks(), connections.open());
        if open_now <= open && tasks_now.total() <= allowed {
            return Ok(());
        }
        Err(format!("{open_now} open connections (before: {open}) and the tasks {:?}", tasks_now.counts()))
    })
    .await
}

async fn closing_twice_is_no_error(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    for _ in 0..2 {
        site.ask("close the client", caller.client.close()).await?;
    }
    match caller.ends(Ask::of("Probe.Echo", "after")).await? {
        Err(error) if error.kind() != ErrorKind::Closed => {
            Err(Finding::violated("a call after the close to succeed or to fail with Closed", format!("`{error}`")))
        }
        _ => Ok(()),
    }
}
