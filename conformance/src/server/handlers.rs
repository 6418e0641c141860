//! Handlers: which ones a server takes, and when.

use shaketable_stack::ErrorKind;
use shaketable_stack::server::Handler;

use super::tools::Stage;
use crate::Level::{Must, Should};
use crate::client::stage::{Ask, Text};
use crate::requirement::check;
use crate::site::SLACK;
use crate::{Outcome, Requirement, Site, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-020",
        level: Must,
        sentence: "A second handler of a name is refused, and the first goes on serving.",
        source: "go-micro server/rpc_router.go: Handle, service already defined",
        needs: &[],
        check: check!(a_second_handler_of_a_name_is_refused),
    },
    Requirement {
        id: "SRV-021",
        level: Must,
        sentence: "A handler without an endpoint is refused.",
        source: "go-micro server/rpc_router.go: Handle, no exported methods of suitable type",
        needs: &[],
        check: check!(an_empty_handler_is_refused),
    },
    Requirement {
        id: "SRV-022",
        level: Should,
        sentence: "A handler that is added while the server runs is served and registered.",
        source: "decision of shaketable: subscribers may be added while a server runs, and a handler is no less",
        needs: &[],
        check: check!(a_late_handler_is_served, "within {}", SLACK.times(2)),
    },
];

/// A handler called `name` with one method that answers `answer`.
fn answering(name: &str, answer: &'static str) -> Handler {
    Handler::new(name).unary("Where", move |_context, _request: Text| async move { Ok(Text::new(answer)) })
}

async fn a_second_handler_of_a_name_is_refused(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let second = stage.server.handle(answering("Probe", "the second"));
    site.refused("add a second Probe", &[ErrorKind::InvalidInput], std::future::ready(second)).await?;
    stage.start().await?;
    let caller = stage.caller().await?;
    expect_equal("the answer", &caller.ask(Ask::of("Probe.Where", "x")).await?.as_str(), &"one")?;
    stage.stop().await
}

async fn an_empty_handler_is_refused(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let empty = stage.server.handle(Handler::new("Empty"));
    site.refused("add a handler without endpoints", &[ErrorKind::InvalidInput], std::future::ready(empty))
        .await
        .map(drop)
}

async fn a_late_handler_is_served(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let caller = stage.caller().await?;
    caller.echo("before").await?;
    let late = stage.server.handle(answering("Late", "late"));
    site.ask("add a handler", std::future::ready(late)).await?;
    expect_equal("the answer", &caller.ask(Ask::of("Late.Where", "x")).await?.as_str(), &"late")?;
    site.eventually("its endpoint in the registry", site.by_world(SLACK.times(2)), || async {
        let records = stage.registered().await.map_err(|finding| finding.to_string())?;
        let names: Vec<_> = records.iter().flat_map(|record| &record.endpoints).map(|own| own.name.clone()).collect();
        if names.iter().any(|name| name == "Late.Where") { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await?;
    stage.stop().await
}
