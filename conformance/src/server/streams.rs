//! Streams as a handler sees them, and how they end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use shaketable_stack::ErrorKind;
use shaketable_stack::client::{Context, RequestOptions};
use shaketable_stack::plugin::Ability;

use super::requests::pair;
use super::tools::Stage;
use crate::Level::Must;
use crate::client::stage::{Ask, Caller, Text};
use crate::client::streams::{receive, send};
use crate::requirement::check;
use crate::site::SLACK;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-051",
        level: Must,
        sentence: "A stream's messages pass between client and handler in order, and end in order when the handler returns.",
        source: "go-micro server/rpc_stream.go; issue 476: the end arrives as an unexpected EOF",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(a_stream_ends_with_its_handler),
    },
    Requirement {
        id: "SRV-052",
        level: Must,
        sentence: "A handler sees when the client will send no more, and can still answer.",
        source: "go-micro server/rpc_stream.go: Recv, io.EOF at EOS; go-plugins issue 183: a handler gets another \
                 error instead",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(a_handler_sees_the_clients_end, "within {}", ENDS_WITHIN),
    },
    Requirement {
        id: "SRV-053",
        level: Must,
        sentence: "A stream whose handler fails ends with its status.",
        source: "go-micro server/rpc_server.go: serveReq sends a stream's error as Micro-Error",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(a_handlers_failure_ends_its_stream),
    },
    Requirement {
        id: "SRV-054",
        level: Must,
        sentence: "A stream whose handler panics ends with an error, and the server goes on.",
        source: "go-micro server/rpc_server.go: a panic is recovered and nobody is told",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(a_panic_ends_its_stream),
    },
    Requirement {
        id: "SRV-055",
        level: Must,
        sentence: "A handler that waits for a message learns that its client has let go of the stream, instead of waiting for ever.",
        source: "go-micro server/rpc_stream.go: Recv fails with the connection; issue 111",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(a_handler_learns_that_its_client_is_gone, "within {}", ENDS_WITHIN),
    },
    Requirement {
        id: "SRV-056",
        level: Must,
        sentence: "Streams that a server serves at the same time do not mix their messages.",
        source: "go-micro internal/util/socket/pool.go: streams are told apart by Micro-Stream",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(streams_are_told_apart),
    },
    Requirement {
        id: "SRV-057",
        level: Must,
        sentence: "A stop ends the streams that are open when the drain time-out has passed, and their clients are told.",
        source: "go-micro server/grpc/grpc.go: Stop after GracefulStop; pull request 2892",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(a_stop_ends_streams, "within {}", SLACK.times(4)),
    },
    Requirement {
        id: "SRV-058",
        level: Must,
        sentence: "A server that has no streams refuses a handler with one, or answers who opens it, with an error.",
        source: "decision of shaketable: what is missing is said, so that nobody waits for messages",
        needs: &[Need::Lacks(Ability::Streams)],
        check: check!(without_streams_opening_fails),
    },
];

/// How soon a handler has ended that has learnt of its stream's end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

async fn a_stream_ends_with_its_handler(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    for number in 0..40 {
        send(&site, &*stream, &format!("message {number}")).await?;
    }
    send(&site, &*stream, "end").await?;
    for number in 0..40 {
        expect_equal("the message", &receive(&site, &*stream).await?, &format!("message {number}"))?;
    }
    let mut message = Text::default();
    site.refused("receive", &[ErrorKind::EndOfStream], stream.recv(&mut message)).await.map(drop)
}

async fn a_handler_sees_the_clients_end(site: Site) -> Outcome {
    let (caller, _served, seen) = pair(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    send(&site, &*stream, "x").await?;
    expect_equal("the message", &receive(&site, &*stream).await?.as_str(), &"x")?;
    site.ask("close the sending side", stream.close_send()).await?;
    expect_equal("what the handler says then", &receive(&site, &*stream).await?.as_str(), &"done")?;
    let ended = || async { if seen.ended().is_empty() { Err("it has not".to_owned()) } else { Ok(()) } };
    site.eventually("the handler to end", ENDS_WITHIN, ended).await?;
    expect_equal("how the handler ended", &seen.ended(), &vec!["in order".to_owned()])
}

async fn a_handlers_failure_ends_its_stream(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    send(&site, &*stream, "fail").await?;
    let mut message = Text::default();
    let error = site.refused("receive", &[ErrorKind::Remote], stream.recv(&mut message)).await?;
    let status = error.status().ok_or_else(|| Finding::violated("the handler's status", format!("`{error}`")))?;
    let told = (status.code, status.detail.as_str(), status.id.as_str());
    expect_equal("code, detail and id", &told, &(409, "asked to fail", "the-probe"))
}

async fn a_panic_ends_its_stream(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    send(&site, &*stream, "panic").await?;
    let mut message = Text::default();
    let kinds = [ErrorKind::Remote, ErrorKind::Internal, ErrorKind::Disconnected];
    site.refused("receive", &kinds, stream.recv(&mut message)).await?;
    caller.echo("after the panic").await
}

async fn a_handler_learns_that_its_client_is_gone(site: Site) -> Outcome {
    let (caller, _served, seen) = pair(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    send(&site, &*stream, "x").await?;
    receive(&site, &*stream).await?;
    drop(stream);
    let ended = || async { if seen.ended().is_empty() { Err("it waits".to_owned()) } else { Ok(()) } };
    site.eventually("the handler to end", ENDS_WITHIN, ended).await
}

async fn streams_are_told_apart(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    let talks = (0..10).map(|own| {
        let (site, caller) = (&site, &caller);
        async move {
            let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
            for number in 0..5 {
                let text = format!("stream {own}, message {number}");
                send(site, &*stream, &text).await?;
                expect_equal("the message", &receive(site, &*stream).await?, &text)?;
            }
            site.ask("close the stream", stream.close()).await
        }
    });
    join_all(talks).await.into_iter().collect()
}

async fn a_stop_ends_streams(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.set(|options| options.drain_timeout = Duration::from_millis(600))?;
    stage.start().await?;
    let caller = Caller::new(&site, Host::Home, &stage.service).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    send(&site, &*stream, "x").await?;
    receive(&site, &*stream).await?;
    let limit = Duration::from_millis(600) + site.by_world(SLACK.times(4));
    let _ = site.within("stop the server", limit, stage.server.stop()).await?;
    let mut message = Text::default();
    let ended = site.within("receive after the stop", site.by_world(SLACK.times(4)), stream.recv(&mut message)).await?;
    expect(ended.is_err(), "the stream to be over", || format!("{message:?}"))
}

async fn without_streams_opening_fails(site: Site) -> Outcome {
    let parts = site.parts().await?;
    let server = site.server(&parts).await?;
    let seen = Arc::new(crate::client::stage::Seen::default());
    let service = site.name("user");
    crate::client::stage::server_options(&server, |options| options.name.clone_from(&service))?;
    if let Err(error) = server.handle(crate::client::stage::probe(site.env(), &seen, "one")) {
        return expect(error.kind() == ErrorKind::Unsupported, "the handler to be refused with Unsupported", || {
            format!("`{error}`")
        });
    }
    site.ask("start the server", server.start()).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    let options = RequestOptions { stream: true, ..RequestOptions::default() };
    let request = caller.client.new_request(&service, "Probe.Chat", Arc::new(Text::default()), options);
    let context = Context::new();
    let talk = async {
        let stream = caller.client.stream(&context, &request, Ask::of("", "").options).await?;
        stream.send(&Text::new("x")).await?;
        stream.recv(&mut Text::default()).await
    };
    let kinds = [ErrorKind::Remote, ErrorKind::Unsupported, ErrorKind::NotFound];
    site.refused("open a stream and receive", &kinds, talk).await.map(drop)
}
