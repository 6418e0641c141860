//! Errors: what a handler, the server or the answer itself is to blame for, and services that nobody serves.

use std::sync::Arc;

use shaketable_stack::ErrorKind;

use super::stage::CALL_TIMEOUT;
use super::stage::{Ask, Caller, Seen, serve};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Finding, Host, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CLI-010",
        level: Must,
        sentence: "A handler's error comes back as Remote with its code, its detail and the id of who speaks.",
        source: "go-micro errors/errors.go: Parse; client/rpc_codec.go; go-micro/plugins v4 client/http/http.go: call reads \
                 the body of an answer and never its status",
        needs: &[],
        check: check!(a_handlers_error_comes_back),
    },
    Requirement {
        id: "CLI-011",
        level: Must,
        sentence: "An endpoint that the server does not have is answered with an error of the other side, which is told at once.",
        source: "go-micro server/rpc_router.go: can't find service, can't find method",
        needs: &[],
        check: check!(an_unknown_endpoint_is_told, "within {} of a deadline of {}", TOLD_WITHIN, CALL_TIMEOUT),
    },
    Requirement {
        id: "CLI-012",
        level: Must,
        sentence: "An answer that cannot be decoded is InvalidMessage, and the client goes on.",
        source: "go-micro client/rpc_codec.go: ReadBody tells it as an error of the codec; codec/codec.go: \
                 ErrInvalidMessage",
        needs: &[],
        check: check!(an_undecodable_answer_is_an_error),
    },
    Requirement {
        id: "CLI-013",
        level: Must,
        sentence: "A call to a service that nobody has registered fails with NotFound or NoneAvailable, before its deadline.",
        source: "go-micro client/rpc_client.go: next, service not found",
        needs: &[],
        check: check!(an_unknown_service_is_not_found, "within {} of a deadline of {}", TOLD_WITHIN, CALL_TIMEOUT),
    },
];

/// How soon an error is told that waits for nothing.
const TOLD_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

async fn a_handlers_error_comes_back(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    for (code, detail) in
        [(400, "a bad \"name\""), (404, "no such user"), (409, "zwölf sind vergeben"), (500, "broken")]
    {
        let error = caller.refused(Ask::of("Probe.Fail", format!("{code} {detail}")), &[ErrorKind::Remote]).await?;
        let status = error
            .status()
            .ok_or_else(|| Finding::violated("the handler's status", format!("`{error}` without one")))?;
        let told = (status.code, status.detail.as_str(), status.id.as_str());
        expect_equal("code, detail and id of the error", &told, &(code, detail, "the-probe"))?;
    }
    caller.echo("after the errors").await
}

async fn an_unknown_endpoint_is_told(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    let kinds = [ErrorKind::Remote, ErrorKind::NotFound, ErrorKind::Unsupported];
    for endpoint in ["Probe.Nothing", "Nobody.Echo"] {
        let since = site.env().now();
        caller.refused(Ask::of(endpoint, "x"), &kinds).await?;
        let took = site.env().now() - since;
        expect(took < TOLD_WITHIN, "the answer before the deadline of 15 s", || format!("it after {took:?}"))?;
    }
    caller.echo("after the errors").await
}

async fn an_undecodable_answer_is_an_error(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.refused(Ask::of("Probe.Garbage", "x"), &[ErrorKind::InvalidMessage]).await?;
    caller.echo("after the garbage").await
}

async fn an_unknown_service_is_not_found(site: Site) -> Outcome {
    let caller = Caller::new(&site, Host::Home, &site.name("nobody")).await?;
    let kinds = [ErrorKind::NotFound, ErrorKind::NoneAvailable];
    let since = site.env().now();
    caller.refused(Ask::of("Probe.Echo", "x").retries(0), &kinds).await?;
    let took = site.env().now() - since;
    expect(took < TOLD_WITHIN, "the error before the deadline of 15 s", || format!("it after {took:?}"))
}
