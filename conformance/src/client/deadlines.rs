//! Deadlines: when a call ends although nobody answers, what is said then, and what the handler learns of it.

use std::sync::Arc;
use std::time::Duration;

use shaketable_sim::world::Capability;
use shaketable_stack::ErrorKind;

use super::stage::{Ask, Caller, Seen, serve};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::site::SLACK;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CLI-014",
        level: Must,
        sentence: "A call that is not answered ends with Timeout when its request time-out has passed, whatever the number of retries, and not before.",
        source: "go-plugins issue 311: three shapes of error for one time-out; go-micro client/options.go: RequestTimeout",
        needs: &[],
        check: check!(a_call_ends_at_its_time_out, "late by {}, and early by {}", SLACK, ROUNDED),
    },
    Requirement {
        id: "CLI-015",
        level: Must,
        sentence: "The earlier one of the context's deadline and the request time-out ends a call.",
        source: "go-micro client/rpc_client.go: the deadline of the context",
        needs: &[],
        check: check!(the_earlier_deadline_counts, "late by {}, and early by {}", SLACK, ROUNDED),
    },
    Requirement {
        id: "CLI-016",
        level: Should,
        sentence: "The error of a call that was not answered in time names the time that it had.",
        source: "go-micro issue 2694: 408 with the detail <nil>",
        needs: &[],
        check: check!(a_time_out_names_its_deadline),
    },
    Requirement {
        id: "CLI-017",
        level: Must,
        sentence: "A call whose deadline has passed before it begins fails with Timeout at once, and no handler runs.",
        source: "go-micro client/rpc_client.go: ctx.Done before the first attempt",
        needs: &[],
        check: check!(a_passed_deadline_runs_nothing, "late by {}, and early by {}", SLACK, ROUNDED),
    },
    Requirement {
        id: "CLI-018",
        level: Must,
        sentence: "The handler's deadline is that of the caller, as far as it is left, and never later.",
        source: "go-micro pull request 85: time-outs cascade; pull request 1058: the Timeout header does not follow \
                 the caller's",
        needs: &[],
        check: check!(
            the_remaining_time_travels,
            "less by {} for the way, or more by {} where it is rounded up",
            ON_ITS_WAY,
            GRAIN
        ),
    },
    Requirement {
        id: "CLI-019",
        level: Must,
        sentence: "The deadline holds for everything, also for reaching a host from which nothing comes back.",
        source: "go-micro client/rpc_client.go: the context bounds dialling and waiting alike",
        needs: &[Need::Network, Need::World(Capability::Cut)],
        check: check!(the_deadline_covers_a_host_that_is_cut_off, "late by {}", SLACK),
    },
];

/// How exact the remaining time is: units are rounded up on the wire.
const GRAIN: Duration = Duration::from_millis(50);
/// How much of a time-out may be lost where clocks are read in milliseconds.
const ROUNDED: Duration = Duration::from_millis(1);
/// How long a request may be on its way; a lossy network may take its time with it.
const ON_ITS_WAY: Duration = Duration::from_millis(1_500);

async fn a_call_ends_at_its_time_out(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    for (retries, millis) in [(0, 400), (2, 700)] {
        let timeout = Duration::from_millis(millis);
        let ask = Ask::of("Probe.Wait", "3000 slow").timeout(timeout).retries(retries);
        times_out(&site, &caller, ask, timeout).await?;
    }
    Ok(())
}

/// The call must end with `Timeout` after `limit`.
async fn times_out(site: &Site, caller: &Caller, ask: Ask, limit: Duration) -> Outcome {
    let since = site.env().now();
    caller.refused(ask, &[ErrorKind::Timeout]).await?;
    let took = site.env().now() - since;
    let latest = limit + site.slack();
    let expected = format!("the end of the call {limit:?} after its beginning");
    expect(took + ROUNDED >= limit && took <= latest, expected, || format!("it after {took:?}"))
}

async fn the_earlier_deadline_counts(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    let (short, long) = (Duration::from_millis(400), Duration::from_secs(6));
    let wait = Ask::of("Probe.Wait", "5000 slow").retries(0);
    times_out(&site, &caller, Ask { deadline: Some(short), ..wait.clone().timeout(long) }, short).await?;
    times_out(&site, &caller, Ask { deadline: Some(long), ..wait.timeout(short) }, short).await
}

async fn a_time_out_names_its_deadline(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    let ask = Ask::of("Probe.Wait", "3000 slow").timeout(Duration::from_millis(700)).retries(0);
    let text = caller.refused(ask, &[ErrorKind::Timeout]).await?.to_string();
    let names = ["700", "0.7", ".7s", "699"].iter().any(|time| text.contains(time));
    expect(names, "an error that names the 700 ms", || format!("`{text}`"))
}

async fn a_passed_deadline_runs_nothing(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    let ask = Ask { deadline: Some(Duration::ZERO), ..Ask::of("Probe.Wait", "0 late").idempotent() };
    times_out(&site, &caller, ask, Duration::ZERO).await?;
    site.quiet_for(site.slack()).await;
    expect_equal("the executions of the handler", &seen.count("Wait"), &0)
}

async fn the_remaining_time_travels(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    // The shorter one is neither a usual default nor the longer one.
    for (deadline, timeout) in [(Some(2_300), 9_000), (None, 3_700), (Some(9_000), 2_900)] {
        let millis = Duration::from_millis;
        let given = deadline.map_or(millis(timeout), |deadline| millis(deadline).min(millis(timeout)));
        let ask = Ask::of("Probe.Echo", "deadline").timeout(millis(timeout));
        caller.ask(Ask { deadline: deadline.map(millis), ..ask }).await?;
        let run = seen.last("Echo").ok_or_else(|| Finding::violated("the handler to run", "it did not"))?;
        let expected = format!("the handler to have at most the {given:?} of its caller, less what the way took");
        let remaining = run.remaining.ok_or_else(|| Finding::violated(expected.clone(), "no deadline"))?;
        let enough = remaining + ON_ITS_WAY >= given;
        expect(remaining <= given + GRAIN && enough, expected, || format!("{remaining:?}"))?;
    }
    Ok(())
}

async fn the_deadline_covers_a_host_that_is_cut_off(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let (known, fresh) =
        (Caller::new(&site, Host::Home, &service).await?, Caller::new(&site, Host::Home, &service).await?);
    known.echo("x").await?;
    site.cut(Host::Home, Host::Second, true).await?;
    let limit = Duration::from_millis(1_200);
    for caller in [&known, &fresh] {
        let since = site.env().now();
        let ask = Ask::of("Probe.Echo", "into the void").timeout(limit).retries(3);
        let ask = ask.with(|options| options.addresses = vec![served.address()]);
        let kinds = [ErrorKind::Timeout, ErrorKind::Unreachable, ErrorKind::Disconnected];
        caller.refused(ask, &kinds).await?;
        let took = site.env().now() - since;
        expect(took <= limit + site.slack(), format!("the end of the call within {limit:?}"), || {
            format!("it after {took:?}")
        })?;
    }
    Ok(())
}
