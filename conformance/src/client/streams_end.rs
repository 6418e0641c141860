//! How streams end: by the client, by the handler, by neither.

use std::time::Duration;

use futures_util::future::join;
use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::Ability;

use super::stage::{Ask, Text};
use super::streams::{caller, receive, send};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Finding, Need, Outcome, Requirement, Site, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CLI-056",
        level: Must,
        sentence: "After the sending side was closed the handler sees the end, sending is refused with Closed, and receiving goes on.",
        source: "go-micro client/client.go v4: CloseSend",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(the_sending_side_can_be_closed_alone),
    },
    Requirement {
        id: "CLI-057",
        level: Must,
        sentence: "When the handler has returned without an error, receiving is EndOfStream, now and ever after.",
        source: "go-micro issue 476, micro/go-grpc issue 5: a stream's end arrives as an unexpected EOF; go-micro pull request \
                 2716: it was sent with an error",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(the_handlers_return_ends_the_stream),
    },
    Requirement {
        id: "CLI-058",
        level: Must,
        sentence: "When the handler has failed, receiving is Remote with its code and detail, after the messages that came before.",
        source: "go-micro client/rpc_stream.go: Recv, serverError",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(the_handlers_error_ends_the_stream),
    },
    Requirement {
        id: "CLI-059",
        level: Must,
        sentence: "After a stream was closed, sending and receiving are Closed, and closing again is no error.",
        source: "go-micro pull request 2693: a stream closed its client twice; client/rpc_codec.go: errShutdown",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(a_closed_stream_is_closed),
    },
    Requirement {
        id: "CLI-060",
        level: Must,
        sentence: "Closing a stream ends a receive of it that waits.",
        source: "go-micro issue 111: a blocked Recv is not released; client/rpc_stream.go: Close",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(closing_releases_a_receive),
    },
    Requirement {
        id: "CLI-061",
        level: Must,
        sentence: "A stream whose server goes away before the handler has returned does not end in order: receiving fails, and not with EndOfStream.",
        source: "go-micro client/rpc_stream.go: io.ErrUnexpectedEOF without EOS",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(a_servers_leave_is_no_end_in_order),
    },
];

async fn the_sending_side_can_be_closed_alone(site: Site) -> Outcome {
    let (caller, _served, seen) = caller(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    send(&site, &*stream, "x").await?;
    site.ask("close the sending side", stream.close_send()).await?;
    site.refused("send after that", &[ErrorKind::Closed], stream.send(&Text::new("late"))).await?;
    expect_equal("the message", &receive(&site, &*stream).await?.as_str(), &"x")?;
    expect_equal("what the handler says at the end", &receive(&site, &*stream).await?.as_str(), &"done")?;
    let mut message = Text::default();
    site.refused("receive", &[ErrorKind::EndOfStream], stream.recv(&mut message)).await?;
    expect_equal("how the handler ended", &seen.ended(), &vec!["in order".to_owned()])
}

async fn the_handlers_return_ends_the_stream(site: Site) -> Outcome {
    let (caller, _served, _) = caller(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    send(&site, &*stream, "x").await?;
    send(&site, &*stream, "end").await?;
    expect_equal("the message", &receive(&site, &*stream).await?.as_str(), &"x")?;
    let mut message = Text::default();
    for _ in 0..3 {
        site.refused("receive", &[ErrorKind::EndOfStream], stream.recv(&mut message)).await?;
    }
    site.ask("close the stream", stream.close()).await?;
    caller.echo("after the stream").await
}

async fn the_handlers_error_ends_the_stream(site: Site) -> Outcome {
    let (caller, _served, _) = caller(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    send(&site, &*stream, "x").await?;
    send(&site, &*stream, "fail").await?;
    expect_equal("the message", &receive(&site, &*stream).await?.as_str(), &"x")?;
    let mut message = Text::default();
    let error = site.refused("receive", &[ErrorKind::Remote], stream.recv(&mut message)).await?;
    let status = error.status().ok_or_else(|| Finding::violated("the handler's status", format!("`{error}`")))?;
    expect_equal("code and detail", &(status.code, status.detail.as_str()), &(409, "asked to fail"))?;
    site.ask("close the stream", stream.close()).await
}

async fn a_closed_stream_is_closed(site: Site) -> Outcome {
    let (caller, _served, _) = caller(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    send(&site, &*stream, "x").await?;
    receive(&site, &*stream).await?;
    for _ in 0..2 {
        site.ask("close the stream", stream.close()).await?;
    }
    site.refused("send", &[ErrorKind::Closed], stream.send(&Text::new("late"))).await?;
    let mut message = Text::default();
    site.refused("receive", &[ErrorKind::Closed], stream.recv(&mut message)).await?;
    caller.echo("after the stream").await
}

async fn closing_releases_a_receive(site: Site) -> Outcome {
    let (caller, _served, _) = caller(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    send(&site, &*stream, "x").await?;
    receive(&site, &*stream).await?;
    let mut message = Text::default();
    let kinds = [ErrorKind::Closed, ErrorKind::EndOfStream, ErrorKind::Disconnected];
    let receives = site.refused("receive until the close", &kinds, stream.recv(&mut message));
    let closes = async {
        site.take_effect(Duration::from_millis(300)).await;
        site.ask("close the stream", stream.close()).await
    };
    let (received, closed) = join(receives, closes).await;
    closed.and(received.map(drop))
}

async fn a_servers_leave_is_no_end_in_order(site: Site) -> Outcome {
    let (caller, served, _) = caller(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    send(&site, &*stream, "x").await?;
    receive(&site, &*stream).await?;
    served.stop().await?;
    let mut message = Text::default();
    let kinds = [ErrorKind::Disconnected, ErrorKind::Timeout, ErrorKind::Unreachable, ErrorKind::Remote];
    site.refused("receive", &kinds, stream.recv(&mut message)).await.map(drop)
}
