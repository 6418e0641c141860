//! Errors: of handlers, and of requests that reach none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shaketable_stack::ErrorKind;
use shaketable_stack::client::{Context, RequestOptions};
use shaketable_stack::codec::Frame;

use super::requests::pair;
use crate::Level::{Must, Should};
use crate::client::stage::{Ask, Caller};
use crate::requirement::check;
use crate::{Finding, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-013",
        level: Must,
        sentence: "The status that a handler fails with reaches the caller: its code, its detail and its id.",
        source: "go-micro server/rpc_server.go: serveReq sends the handler's error; errors/errors.go",
        needs: &[],
        check: check!(a_handlers_status_reaches_the_caller),
    },
    Requirement {
        id: "SRV-014",
        level: Should,
        sentence: "An error of a handler that is no status reaches the caller with its text and the code nearest to its kind.",
        source: "go-micro server/grpc/util.go: convertCode, the code nearest to an error of Go's",
        needs: &[],
        check: check!(another_error_gets_the_nearest_code),
    },
    Requirement {
        id: "SRV-015",
        level: Must,
        sentence: "A handler that panics is an error for its caller, told at once, and the server goes on.",
        source: "go-micro server/rpc_server.go: a panic is recovered and the caller is never answered",
        needs: &[],
        check: check!(a_panic_is_an_error, "within {}", SOON),
    },
    Requirement {
        id: "SRV-016",
        level: Must,
        sentence: "A body that cannot be decoded is an error for its caller, and the handler does not run.",
        source: "go-micro server/rpc_router.go: readRequest",
        needs: &[],
        check: check!(an_undecodable_body_is_an_error),
    },
    Requirement {
        id: "SRV-017",
        level: Must,
        sentence: "A request of a content type that the server has no codec for is answered with an error, and not with a text that looks like success.",
        source: "go-micro v1 to v6 server/rpc_server.go: unsupported Content-Type is answered as 200 text/plain \
                 without Micro-Error",
        needs: &[],
        check: check!(an_unknown_content_type_is_an_error),
    },
    Requirement {
        id: "SRV-018",
        level: Must,
        sentence: "A request to a handler or a method that is not there is answered with an error at once.",
        source: "go-micro server/rpc_router.go: readHeader, can't find service, can't find method",
        needs: &[],
        check: check!(an_unknown_endpoint_is_an_error, "within {}", SOON),
    },
    Requirement {
        id: "SRV-019",
        level: Must,
        sentence: "A request to an endpoint that is not of the form Type.Method is answered with an error at once, and the server goes on.",
        source: "go-micro server/rpc_router.go: readHeader, service/endpoint request ill-formed",
        needs: &[],
        check: check!(an_ill_formed_endpoint_is_an_error, "within {}", SOON),
    },
];

/// How soon an error must come: well before a caller's usual deadline.
const SOON: Duration = Duration::from_secs(5);

/// The call must fail with an answer of the other side, soon.
async fn answered(site: &Site, caller: &Caller, ask: Ask) -> Result<shaketable_stack::Error, Finding> {
    let kinds = [ErrorKind::Remote, ErrorKind::NotFound, ErrorKind::Unsupported, ErrorKind::InvalidInput];
    let since = site.env().now();
    let error = caller.refused(ask, &kinds).await?;
    let took = site.env().now() - since;
    expect(took < SOON, format!("the error within {SOON:?}"), || format!("it after {took:?}"))?;
    Ok(error)
}

async fn a_handlers_status_reaches_the_caller(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    for (code, detail) in
        [(400, "bad \"input\""), (401, "who?"), (404, "gone"), (409, "schon da: Übung"), (500, "broken")]
    {
        let error = caller.refused(Ask::of("Probe.Fail", format!("{code} {detail}")), &[ErrorKind::Remote]).await?;
        let status = error.status().ok_or_else(|| Finding::violated("a status", format!("`{error}` without one")))?;
        let told = (status.code, status.detail.as_str(), status.id.as_str());
        expect_equal("code, detail and id", &told, &(code, detail, "the-probe"))?;
    }
    Ok(())
}

async fn another_error_gets_the_nearest_code(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    let error = caller.refused(Ask::of("Probe.Kind", "x"), &[ErrorKind::Remote, ErrorKind::NotFound]).await?;
    let status = error.status().ok_or_else(|| Finding::violated("a status", format!("`{error}` without one")))?;
    expect(status.code == 404 && status.detail.contains("find it"), "code 404 and the handler's text", || {
        format!("{status:?}")
    })
}

async fn a_panic_is_an_error(site: Site) -> Outcome {
    let (caller, _served, seen) = pair(&site).await?;
    for _ in 0..3 {
        let kinds = [ErrorKind::Remote, ErrorKind::Internal, ErrorKind::Disconnected];
        let since = site.env().now();
        caller.refused(Ask::of("Probe.Panic", "now").retries(0), &kinds).await?;
        let took = site.env().now() - since;
        expect(took < SOON, format!("the error within {SOON:?}"), || format!("it after {took:?}"))?;
    }
    expect_equal("the executions", &seen.count("Panic"), &3)?;
    expect_equal("the answer", &caller.ask(Ask::of("Probe.Panic", "calm")).await?.as_str(), &"calm")
}

/// Sends `body` as it is, in `content_type`.
async fn send(site: &Site, caller: &Caller, content_type: &str, body: &'static [u8]) -> Outcome {
    let options = RequestOptions { content_type: Some(content_type.to_owned()), ..RequestOptions::default() };
    let body = Arc::new(Frame(Bytes::from_static(body)));
    let request = caller.client.new_request(&caller.service, "Probe.Echo", body, options);
    let (context, mut response) = (Context::new(), Frame::default());
    // A client may refuse by itself what it has no codec for.
    let kinds = [ErrorKind::Remote, ErrorKind::InvalidInput, ErrorKind::Unsupported, ErrorKind::InvalidMessage];
    let call = caller.client.call(&context, &request, &mut response, Ask::of("", "").options);
    site.refused(&format!("call in {content_type}"), &kinds, call).await.map(drop)
}

async fn an_undecodable_body_is_an_error(site: Site) -> Outcome {
    let (caller, _served, seen) = pair(&site).await?;
    send(&site, &caller, "application/protobuf", b"\xff\xff\xff no message").await?;
    send(&site, &caller, "application/json", b"{\"text\": ").await?;
    expect_equal("the executions", &seen.count("Echo"), &0)?;
    caller.echo("after the garbage").await
}

async fn an_unknown_content_type_is_an_error(site: Site) -> Outcome {
    let (caller, _served, seen) = pair(&site).await?;
    send(&site, &caller, "application/x-unheard-of", b"x").await?;
    expect_equal("the executions", &seen.count("Echo"), &0)?;
    caller.echo("after what nobody reads").await
}

async fn an_unknown_endpoint_is_an_error(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    for endpoint in ["Nobody.Echo", "Probe.Nothing", "probe.echo"] {
        answered(&site, &caller, Ask::of(endpoint, "x")).await?;
    }
    caller.echo("after the unknown").await
}

async fn an_ill_formed_endpoint_is_an_error(site: Site) -> Outcome {
    let (caller, _served, seen) = pair(&site).await?;
    for endpoint in ["Probe", "Probe.Echo.More", ".Echo", "Probe.", "."] {
        answered(&site, &caller, Ask::of(endpoint, "x")).await?;
    }
    expect_equal("the executions", &seen.runs().len(), &0)?;
    caller.echo("after the ill-formed").await
}
