//! Requests: they reach the handler with what they carry, and each is answered by itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{join, join_all};
use rand::Rng;
use shaketable_stack::client::RequestOptions;
use shaketable_stack::server::{Endpoint, EndpointKind, Handler, HandlerWrapper, UnaryFunction};

use super::tools::Stage;
use crate::Level::Must;
use crate::client::stage::BEGINS_WITHIN;
use crate::client::stage::{Ask, Caller, Seen, Served, lock, serve};
use crate::requirement::check;
use crate::{Finding, Host, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-001",
        level: Must,
        sentence: "A request is given to the handler and the method that it names, once, and answered with what that returns.",
        source: "go-micro server/rpc_router.go: ServeRequest",
        needs: &[],
        check: check!(a_request_reaches_its_handler),
    },
    Requirement {
        id: "SRV-002",
        level: Must,
        sentence: "The handler's context has the headers of its own request, whatever becomes of the case of their names.",
        source: "go-micro server/rpc_server.go: metadata.NewContext",
        needs: &[],
        check: check!(the_handler_sees_headers),
    },
    Requirement {
        id: "SRV-003",
        level: Must,
        sentence: "The handler's context has the deadline that the caller sent, and never a later one.",
        source: "go-micro pull request 85; server/rpc_server.go: ServeConn makes a deadline of the header Timeout",
        needs: &[],
        check: check!(
            the_handler_sees_the_deadline,
            "less by {} for the way, or more by {} where it is rounded up",
            ON_ITS_WAY,
            GRAIN
        ),
    },
    Requirement {
        id: "SRV-004",
        level: Must,
        sentence: "Each of a hundred requests at the same time gets its own answer.",
        source: "go-micro pull request 2744: a response is paired with the wrong request; server/rpc_server.go: \
                 ServeConn",
        needs: &[],
        check: check!(concurrent_requests_get_their_own_answers),
    },
    Requirement {
        id: "SRV-005",
        level: Must,
        sentence: "A handler that takes long keeps no other request waiting.",
        source: "go-micro server/rpc_server.go: one goroutine for each request",
        needs: &[],
        check: check!(
            a_slow_handler_blocks_nobody,
            "{} answers within {} beside a handler that takes eight seconds",
            QUICK,
            QUICK_WITHIN
        ),
    },
    Requirement {
        id: "SRV-006",
        level: Must,
        sentence: "Requests that one client makes one after the other are each answered as themselves, also over one connection.",
        source: "go-micro v4.10 to v6 server/rpc_server.go: Micro-ID and Micro-Id differ, so that the first request's \
                 id is echoed for ever",
        needs: &[],
        check: check!(requests_in_a_row_are_answered_as_themselves),
    },
    Requirement {
        id: "SRV-007",
        level: Must,
        sentence: "A request is read, and answered, in the content type that it names.",
        source: "go-micro server/rpc_helper.go: newCodec, by Content-Type",
        needs: &[],
        check: check!(a_request_is_read_in_its_content_type),
    },
    Requirement {
        id: "SRV-008",
        level: Must,
        sentence: "Wrappers see every request before its handler, in the order in which they were given.",
        source: "go-micro server/wrapper.go: HandlerWrapper; server/options.go: WrapHandler",
        needs: &[],
        check: check!(wrappers_see_requests_in_order),
    },
];

/// How exact the remaining time is: units are rounded up on the wire.
const GRAIN: Duration = Duration::from_millis(50);
/// How long a request may be on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(1_500);
/// How long so many requests may take that are answered at once.
const QUICK_WITHIN: Duration = Duration::from_secs(5);
const QUICK: usize = 5;

/// A server on the second host, and a client on this one.
pub(super) async fn pair(site: &Site) -> Result<(Caller, Served, Arc<Seen>), Finding> {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(site, Host::Second, &service, "one", &seen).await?;
    Ok((Caller::new(site, Host::Home, &service).await?, served, seen))
}

async fn a_request_reaches_its_handler(site: Site) -> Outcome {
    let (caller, _served, seen) = pair(&site).await?;
    caller.echo("hello").await?;
    expect_equal("the answer of Probe.Where", &caller.ask(Ask::of("Probe.Where", "there")).await?.as_str(), &"one")?;
    site.quiet_for(site.slack()).await;
    let runs: Vec<_> = seen.runs().iter().map(|run| (run.method, run.text.clone())).collect();
    let wanted = vec![("Echo", "hello".to_owned()), ("Where", "there".to_owned())];
    expect_equal("the handlers that ran", &runs, &wanted)
}

async fn the_handler_sees_headers(site: Site) -> Outcome {
    let (caller, _served, seen) = pair(&site).await?;
    for (user, trace) in [("ada", Some("1")), ("bob", None)] {
        let mut headers = vec![("X-User-Id", user.to_owned())];
        headers.extend(trace.map(|trace| ("micro-trace-id", trace.to_owned())));
        caller.ask(Ask { headers, ..Ask::of("Probe.Echo", "x") }).await?;
        let run = seen.last("Echo").ok_or_else(|| Finding::violated("the handler to run", "it did not"))?;
        let seen = (run.header("x-user-id"), run.header("Micro-Trace-Id"));
        expect_equal("the handler's headers X-User-Id and Micro-Trace-Id", &seen, &(Some(user), trace))?;
    }
    Ok(())
}

async fn the_handler_sees_the_deadline(site: Site) -> Outcome {
    let (caller, _served, seen) = pair(&site).await?;
    caller.echo("x").await?;
    for given in [Duration::from_millis(2_700), Duration::from_millis(7_100)] {
        caller.ask(Ask::of("Probe.Echo", "x").timeout(given)).await?;
        let run = seen.last("Echo").ok_or_else(|| Finding::violated("the handler to run", "it did not"))?;
        let expected = format!("the handler to have at most the {given:?} of its caller, less what the way took");
        let left = run.remaining.ok_or_else(|| Finding::violated(expected.clone(), "no deadline"))?;
        let fits = left <= given + GRAIN && left + ON_ITS_WAY >= given;
        expect(fits, expected, || format!("{left:?}"))?;
    }
    Ok(())
}

async fn concurrent_requests_get_their_own_answers(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    caller.echo("first").await?;
    let mut random = site.env().random("work");
    let texts: Vec<String> = (0..100).map(|number| format!("{} of {number}", random.random_range(0..60))).collect();
    let calls = texts.iter().map(|text| caller.call(Ask::of("Probe.Wait", text)));
    let answers = site.ends("a hundred requests at the same time", join_all(calls)).await?;
    for (text, answer) in texts.iter().zip(answers) {
        let answer =
            answer?.map_err(|error| Finding::violated(format!("an answer to '{text}'"), format!("`{error}`")))?;
        expect_equal(&format!("the answer to '{text}'"), &answer, text)?;
    }
    Ok(())
}

async fn a_slow_handler_blocks_nobody(site: Site) -> Outcome {
    let (caller, _served, seen) = pair(&site).await?;
    caller.echo("first").await?;
    let slow = caller.ends(Ask::of("Probe.Wait", "8000 slow"));
    let quick = async {
        let begun = || async { if seen.count("Wait") > 0 { Ok(()) } else { Err("it has not".to_owned()) } };
        site.eventually("the slow handler to begin", BEGINS_WITHIN, begun).await?;
        let since = site.env().now();
        for number in 0..5 {
            caller.echo(&format!("quick {number}")).await?;
        }
        Ok::<_, Finding>(site.env().now() - since)
    };
    let (slow, quick) = join(slow, quick).await;
    let quick = quick?;
    slow?.map_err(|error| Finding::violated("an answer of the slow handler", format!("`{error}`")))?;
    expect(
        quick < QUICK_WITHIN,
        format!("{QUICK} quick answers within {QUICK_WITHIN:?} beside a handler that takes 8 s"),
        || format!("they took {quick:?}"),
    )
}

async fn requests_in_a_row_are_answered_as_themselves(site: Site) -> Outcome {
    let (caller, _served, seen) = pair(&site).await?;
    for number in 0..10 {
        caller.echo(&format!("request {number}")).await?;
    }
    expect_equal("the executions", &seen.count("Echo"), &10)
}

async fn a_request_is_read_in_its_content_type(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    for content_type in ["application/json", "application/protobuf", "application/json"] {
        let request = RequestOptions { content_type: Some(content_type.to_owned()), ..RequestOptions::default() };
        let answer = caller.ask(Ask { request, ..Ask::of("Probe.Echo", content_type) }).await?;
        expect_equal("the answer", &answer.as_str(), &content_type)?;
    }
    Ok(())
}

/// Writes `name` down for each unary request.
fn wrapper(name: &'static str, log: &Arc<Mutex<Vec<&'static str>>>) -> HandlerWrapper {
    let log = log.clone();
    Arc::new(move |handler: Handler| {
        handler.map(|endpoint| match &endpoint.kind {
            EndpointKind::Unary(inner) => {
                let (inner, log) = (inner.clone(), log.clone());
                let function: UnaryFunction = Arc::new(move |context, decode| {
                    lock(&log).push(name);
                    inner(context, decode)
                });
                Endpoint { kind: EndpointKind::Unary(function), ..endpoint }
            }
            EndpointKind::Stream(_) => endpoint,
        })
    })
}

async fn wrappers_see_requests_in_order(site: Site) -> Outcome {
    let parts = site.parts().await?;
    let server = site.server(&parts).await?;
    let log = Arc::new(Mutex::new(Vec::new()));
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    crate::client::stage::server_options(&server, |options| {
        options.name.clone_from(&service);
        options.wrappers = vec![wrapper("first", &log), wrapper("second", &log)];
    })?;
    let handled = server.handle(crate::client::stage::probe(site.env(), &seen, "one"));
    handled.map_err(|error| Finding::violated("a handler to be taken", format!("`{error}`")))?;
    let stage = Stage { site: site.clone(), parts, server, service, seen };
    stage.start().await?;
    let caller = stage.caller().await?;
    caller.echo("x").await?;
    caller.refused(Ask::of("Probe.Fail", "404 no"), &[shaketable_stack::ErrorKind::Remote]).await?;
    let wanted = vec!["first", "second", "first", "second"];
    expect_equal("the wrappers that ran", &*lock(&log), &wanted)?;
    stage.stop().await
}
