//! Retries: how often a handler runs for one call. They are extra attempts, and none is made once a handler may have run
//! unless the request is marked idempotent.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::ErrorKind;
use shaketable_stack::client::{Backoff, RetryDecision};

use super::stage::BEGINS_WITHIN;
use super::stage::{Ask, Caller, Seen, dead_address, serve};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Host, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CLI-020",
        level: Must,
        sentence: "Without retries the handler runs exactly once, whether it succeeds or fails.",
        source: "go-micro/plugins v4 client/http/http.go: with Retries=0 it calls nobody and returns nil",
        needs: &[],
        check: check!(without_retries_the_handler_runs_once, "looked at {} later", LATER),
    },
    Requirement {
        id: "CLI-021",
        level: Must,
        sentence: "Retries are extra attempts: a call whose every attempt fails is tried that many times and once more.",
        source: "go-micro client/rpc_client.go: attempts 0 to Retries",
        needs: &[],
        check: check!(retries_are_extra_attempts),
    },
    Requirement {
        id: "CLI-022",
        level: Must,
        sentence: "A request that is not marked idempotent is not tried again by itself after a handler has failed.",
        source: "go-micro client/retry.go v1: RetryOnError repeats after code 500",
        needs: &[],
        check: check!(a_handlers_failure_is_not_repeated, "looked at {} later", LATER),
    },
    Requirement {
        id: "CLI-023",
        level: Must,
        sentence: "A request that is not marked idempotent is not tried again after its time has passed in a handler.",
        source: "go-micro issue 2702: a slow handler runs once for each retry; client/retry.go: RetryOnError repeats \
                 after code 408",
        needs: &[],
        check: check!(a_slow_handler_is_not_repeated, "looked at {} later", LATER),
    },
    Requirement {
        id: "CLI-024",
        level: Must,
        sentence: "A request that is not marked idempotent is not tried elsewhere after its server has gone away while the handler ran.",
        source: "decision of shaketable: a handler may have run, and only its author knows what a second run does",
        needs: &[],
        check: check!(a_lost_request_is_not_repeated, "looked at {} later", LATER),
    },
    Requirement {
        id: "CLI-025",
        level: Should,
        sentence: "A request that is marked idempotent is tried at another node after its server has gone away.",
        source: "decision of shaketable: the mark says that a second run does no harm, so that the caller need not see \
                 the failure",
        needs: &[],
        check: check!(an_idempotent_request_is_repeated),
    },
    Requirement {
        id: "CLI-026",
        level: Must,
        sentence: "A retry decision that a call brings decides instead of the client's own.",
        source: "go-micro client/options.go: WithRetry",
        needs: &[],
        check: check!(a_calls_retry_decision_decides),
    },
    Requirement {
        id: "CLI-027",
        level: Must,
        sentence: "Before an attempt the client waits as long as the call's backoff says.",
        source: "go-micro client/options.go: WithBackoff",
        needs: &[],
        check: check!(
            a_calls_backoff_is_waited_for,
            "a backoff of {}, shorter by {} and longer by {}",
            BACKOFF,
            EARLY,
            LATER
        ),
    },
    Requirement {
        id: "CLI-028",
        level: Must,
        sentence: "A call that succeeds is not made again, whatever retries it has left.",
        source: "go-micro client/rpc_client.go: the first success is returned; issue 277: with five retries every call of a \
                 service that was there ran out of time",
        needs: &[],
        check: check!(a_success_is_not_repeated, "looked at {} later", LATER),
    },
];

/// How long a surplus attempt has to show itself.
const LATER: Duration = Duration::from_millis(1_500);
/// A backoff, and how much sooner a handler may see the next attempt when the one before was on its way for long.
const BACKOFF: Duration = Duration::from_millis(900);
const EARLY: Duration = Duration::from_millis(300);

async fn without_retries_the_handler_runs_once(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.ask(Ask::of("Probe.Echo", "x").retries(0)).await?;
    caller.refused(Ask::of("Probe.Fail", "500 broken").retries(0).idempotent(), &[ErrorKind::Remote]).await?;
    site.quiet_for(LATER).await;
    expect_equal("the executions of Echo and Fail", &(seen.count("Echo"), seen.count("Fail")), &(1, 1))
}

async fn retries_are_extra_attempts(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    for retries in [0, 1, 3] {
        let before = seen.count("Fail");
        let ask = Ask::of("Probe.Fail", "500 broken").retries(retries).idempotent().with(|options| {
            options.backoff = Some(Backoff::new(|_| Duration::ZERO));
            options.retry = Some(RetryDecision::new(|_, _, _| true));
        });
        caller.refused(ask, &[ErrorKind::Remote]).await?;
        let runs = seen.count("Fail") - before;
        expect_equal(&format!("the executions with {retries} retries"), &runs, &(retries as usize + 1))?;
    }
    Ok(())
}

async fn a_handlers_failure_is_not_repeated(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    for (number, code) in [500, 503, 404].into_iter().enumerate() {
        caller.refused(Ask::of("Probe.Fail", format!("{code} no")).retries(3), &[ErrorKind::Remote]).await?;
        site.quiet_for(LATER).await;
        expect_equal(
            &format!("the executions after failures, the last with {code}"),
            &seen.count("Fail"),
            &(number + 1),
        )?;
    }
    Ok(())
}

async fn a_slow_handler_is_not_repeated(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _one = serve(&site, Host::Second, &service, "one", &seen).await?;
    let _two = serve(&site, Host::Third, &service, "two", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    let ask = Ask::of("Probe.Wait", "4000 slow").timeout(Duration::from_millis(1_800)).retries(2);
    caller.refused(ask, &[ErrorKind::Timeout]).await?;
    site.quiet_for(LATER).await;
    let runs = seen.count("Wait");
    expect(runs <= 1, "the handler to run once", || format!("{runs} executions"))
}

/// A call whose server goes away while the handler works; how it ended, and how often the handler ran.
async fn lost(site: &Site, ask: Ask) -> Result<(bool, usize), crate::Finding> {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(site, Host::Second, &service, "one", &seen).await?;
    let other = serve(site, Host::Third, &service, "two", &seen).await?;
    let caller = Caller::new(site, Host::Home, &service).await?;
    let ask = ask.with(|options| options.addresses = vec![served.address(), other.address()]);
    let leave = async {
        let begun = || async { if seen.count("Wait") > 0 { Ok(()) } else { Err("it has not".to_owned()) } };
        site.eventually("the handler to begin", BEGINS_WITHIN, begun).await?;
        served.stop().await
    };
    let (ended, left) = futures_util::future::join(caller.ends(ask), leave).await;
    left?;
    let succeeded = ended?.is_ok();
    site.quiet_for(LATER).await;
    Ok((succeeded, seen.count("Wait")))
}

async fn a_lost_request_is_not_repeated(site: Site) -> Outcome {
    let (succeeded, runs) = lost(&site, Ask::of("Probe.Wait", "2000 slow").retries(3)).await?;
    expect(!succeeded && runs == 1, "an error and one execution", || {
        format!("{} and {runs} executions", if succeeded { "a success" } else { "an error" })
    })
}

async fn an_idempotent_request_is_repeated(site: Site) -> Outcome {
    let (succeeded, runs) = lost(&site, Ask::of("Probe.Wait", "2000 slow").retries(3).idempotent()).await?;
    expect(succeeded, "an answer of the other node", || format!("an error after {runs} executions"))
}

async fn a_calls_retry_decision_decides(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    let decided = |again: bool| Some(RetryDecision::new(move |_, _, _| again));
    // By itself a client does not repeat what a handler answered, and does repeat what never reached one.
    let always = Ask::of("Probe.Fail", "500 broken").retries(2).with(|options| {
        options.retry = decided(true);
        options.backoff = Some(Backoff::new(|_| Duration::ZERO));
    });
    caller.refused(always, &[ErrorKind::Remote]).await?;
    let runs = seen.count("Fail");
    expect(runs > 1, "further executions, because the call's decision says so", || format!("{runs}"))?;
    let dead = dead_address(&site).await?;
    let never = Ask::of("Probe.Echo", "x").retries(3).with(|options| {
        options.retry = decided(false);
        options.addresses = vec![dead, served.address()];
    });
    let kinds = [ErrorKind::Unreachable, ErrorKind::Disconnected, ErrorKind::Timeout];
    caller.refused(never, &kinds).await?;
    expect_equal("the executions where the decision says no", &seen.count("Echo"), &0)
}

async fn a_calls_backoff_is_waited_for(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    let wait = BACKOFF;
    let ask = Ask::of("Probe.Fail", "500 broken").retries(2).idempotent().with(|options| {
        options.retry = Some(RetryDecision::new(|_, _, _| true));
        options.backoff = Some(Backoff::new(move |attempt| if attempt == 0 { Duration::ZERO } else { wait }));
    });
    caller.refused(ask, &[ErrorKind::Remote]).await?;
    let times: Vec<_> = seen.runs().iter().filter(|run| run.method == "Fail").map(|run| run.at).collect();
    expect_equal("the executions", &times.len(), &3)?;
    for pair in times.windows(2) {
        let between = pair[1] - pair[0];
        let fits = between + EARLY >= wait && between <= wait + LATER;
        expect(fits, format!("about {wait:?} between two attempts"), || format!("{between:?}"))?;
    }
    Ok(())
}

async fn a_success_is_not_repeated(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    let ask = Ask::of("Probe.Echo", "x").retries(3).idempotent();
    caller.ask(ask.with(|options| options.retry = Some(RetryDecision::new(|_, _, _| true)))).await?;
    site.quiet_for(LATER).await;
    expect_equal("the executions", &seen.count("Echo"), &1)
}
