//! Leaks: what is left of calls and streams that came to nothing, after many of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::Ability;

use super::stage::{Ask, Caller, Seen, Text, serve};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::site::{CYCLES, Spare, Usage};
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CLI-038",
        level: Must,
        sentence: "A thousand calls that were not answered in time leave at most 50 tasks and 50 connections behind.",
        source: "go-plugins issue 314: a goroutine is stuck for each time-out; go-micro issue 821: memory grows with calls \
                 of which many fail with 408 or 500",
        needs: &[Need::Network],
        check: check!(time_outs_leave_nothing),
    },
    Requirement {
        id: "CLI-039",
        level: Must,
        sentence: "A thousand calls whose callers have lost interest leave at most 50 tasks and 50 connections behind, and \
                   those that follow get their own answers.",
        source: "go-micro client/rpc_client.go: the call of a cancelled context; decision of shaketable: dropping a \
                 future cancels it",
        needs: &[Need::Network],
        check: check!(dropped_calls_leave_nothing),
    },
    Requirement {
        id: "CLI-040",
        level: Must,
        sentence: "A thousand streams whose handler fails leave at most 50 tasks and 50 connections behind, also when nobody \
                   closes them.",
        source: "go-micro issue 940, pull requests 980 and 1199: failed streams keep their connections",
        needs: &[Need::Network, Need::Has(Ability::Streams)],
        check: check!(failed_streams_leave_nothing),
    },
    Requirement {
        id: "CLI-075",
        level: Should,
        sentence: "Of a thousand calls, answered with 4 KiB or failed, the second five hundred leave less than 1 KiB of \
                   memory each in use.",
        source: "go-micro issue 821: memory grows with calls of which many fail with 408 or 500; decision of shaketable: 1 \
                 KiB is less than a body or a connection takes",
        needs: &[Need::Memory],
        check: check!(calls_take_no_memory),
    },
];

/// How many at once.
const BATCH: usize = 50;
/// How many batches; together a thousand.
const BATCHES: usize = CYCLES / BATCH;
/// How many calls are given up at once: not so many that a server takes it for an attack (CVE-2023-44487).
const DROPPED: usize = 15;

/// Waits until no more is held than `before`, and one batch's connections that are kept for the next calls.
async fn released(site: &Site, before: &Usage) -> Outcome {
    site.lets_go("many of them", before, (Spare::each(BATCH), CYCLES), Duration::from_secs(10)).await
}

async fn time_outs_leave_nothing(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let site = site.counted();
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    let before = site.usage().await?;
    for _ in 0..BATCHES {
        let ask = Ask::of("Probe.Wait", "400 slow").timeout(Duration::from_millis(60)).retries(0);
        // Past the selector, which may take a node out of use that does not answer.
        let ask = ask.with(|options| options.addresses = vec![served.address()]);
        let calls = (0..BATCH).map(|_| caller.call(ask.clone()));
        for ended in site.ends("fifty calls that time out", join_all(calls)).await? {
            // A server may take so many cancelled requests for an attack, and hang up (CVE-2023-44487).
            expect(ended?.is_err(), "a call that ends before its handler does to fail", || "a success".to_owned())?;
        }
    }
    released(&site, &before).await?;
    let again = || async {
        let ask = Ask::of("Probe.Echo", "after").with(|options| options.addresses = vec![served.address()]);
        let ended = caller.call(ask).await.map_err(|finding| finding.to_string())?;
        ended.map(drop).map_err(|error| error.to_string())
    };
    site.eventually("a call to succeed", Duration::from_secs(5), again).await
}

async fn dropped_calls_leave_nothing(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let site = site.counted();
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    let before = site.usage().await?;
    for round in 0..CYCLES.div_ceil(DROPPED) as u64 {
        let calls = (0..DROPPED).map(|number| caller.call(Ask::of("Probe.Wait", format!("150 dropped {number}"))));
        // The calls are dropped at various points of their lives.
        let lived = Duration::from_millis(1 + 8 * (round % 6));
        if site.env().timeout(lived, join_all(calls)).await.is_ok() {
            return Err(Finding::violated(format!("no answers within {lived:?}"), "all of them"));
        }
        let answer = caller.ask(Ask::of("Probe.Echo", format!("kept {round}"))).await?;
        expect_equal("the answer to a call that was not dropped", &answer, &format!("kept {round}"))?;
    }
    released(&site, &before).await
}

async fn failed_streams_leave_nothing(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let site = site.counted();
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    let before = site.usage().await?;
    for batch in 0..BATCHES {
        let streams = (0..BATCH).map(|_| fail(&site, &caller, batch % 2 == 0));
        for ended in join_all(streams).await {
            ended?;
        }
    }
    released(&site, &before).await?;
    caller.echo("after the streams").await
}

/// A stream whose handler fails.
async fn fail(site: &Site, caller: &Caller, closes: bool) -> Outcome {
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    site.ask("send", stream.send(&Text::new("fail"))).await?;
    let mut message = Text::default();
    site.refused("receive", &[ErrorKind::Remote], stream.recv(&mut message)).await?;
    if closes { site.ask("close the stream", stream.close()).await } else { Ok(()) }
}

async fn calls_take_no_memory(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    let body = "m".repeat(4 << 10);
    let cycle = |number: usize| {
        let (caller, seen, body) = (&caller, &seen, &body);
        async move {
            let ask = match number % 4 {
                3 => Ask::of("Probe.Fail", "404 no"),
                _ => Ask::of("Probe.Echo", body),
            };
            // How it ends is judged by others.
            let _ = caller.ends(ask).await;
            seen.forget();
            Ok(())
        }
    };
    site.remembers_nothing("calls", cycle).await
}
