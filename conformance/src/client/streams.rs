//! Streams while they are open: messages both ways, in order, with what the context carries.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use shaketable_stack::ErrorKind;
use shaketable_stack::client::ClientStream;
use shaketable_stack::plugin::Ability;

use super::stage::{Ask, Caller, Seen, Served, Text, serve};
use crate::Level::Must;
use crate::requirement::check;
use crate::site::SLACK;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CLI-049",
        level: Must,
        sentence: "The messages of a stream reach the other end in the order in which they were sent, each once.",
        source: "go-micro client/client.go: Stream; client/rpc_stream.go",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(messages_keep_their_order),
    },
    Requirement {
        id: "CLI-050",
        level: Must,
        sentence: "A stream can send while a receive of it waits.",
        source: "go-micro pull request 884: the lock of Recv blocks Send",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(sending_while_a_receive_waits),
    },
    Requirement {
        id: "CLI-051",
        level: Must,
        sentence: "Streams that are open at the same time do not mix their messages.",
        source: "go-micro client/rpc_client.go: stream dials a connection for each; internal/util/socket/pool.go: a \
                 socket for each",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(streams_do_not_mix),
    },
    Requirement {
        id: "CLI-052",
        level: Must,
        sentence: "The headers of a stream's context reach its handler.",
        source: "go-micro client/rpc_client.go: stream",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(a_streams_headers_reach_the_handler),
    },
    Requirement {
        id: "CLI-053",
        level: Must,
        sentence: "A stream ends with Timeout when its own time-out or its context's deadline has passed, though not at the request time-out.",
        source: "go-micro client/options.go v2: StreamTimeout",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(a_stream_ends_at_its_time_out, "late by {}, and early by a millisecond", SLACK.times(2)),
    },
    Requirement {
        id: "CLI-054",
        level: Must,
        sentence: "Hundreds of messages that are sent before the handler reads its first arrive all, in order.",
        source: "go-micro internal/util/socket/socket.go: a queue of 128 messages",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(a_slow_reader_loses_nothing),
    },
    Requirement {
        id: "CLI-055",
        level: Must,
        sentence: "A client that has no streams refuses to open one with Unsupported.",
        source: "decision of shaketable: what is missing is said; go-micro client/rpc_stream.go: CloseSend, 'streamer \
                 not implemented'",
        needs: &[Need::Lacks(Ability::Streams)],
        check: check!(without_streams_opening_is_refused),
    },
];

/// A caller of a service that one server serves.
pub(super) async fn caller(site: &Site) -> Result<(Caller, Served, Arc<Seen>), Finding> {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(site, Host::Second, &service, "one", &seen).await?;
    Ok((Caller::new(site, Host::Home, &service).await?, served, seen))
}

/// Receives a text.
pub(crate) async fn receive(site: &Site, stream: &dyn ClientStream) -> Result<String, Finding> {
    let mut message = Text::default();
    site.ask("receive", stream.recv(&mut message)).await?;
    Ok(message.text)
}

/// Sends a text.
pub(crate) async fn send(site: &Site, stream: &dyn ClientStream, text: &str) -> Outcome {
    site.ask(&format!("send '{text}'"), stream.send(&Text::new(text))).await
}

async fn messages_keep_their_order(site: Site) -> Outcome {
    let (caller, _served, _) = caller(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    for number in 0..5 {
        send(&site, &*stream, &format!("one by one {number}")).await?;
        expect_equal("the message", &receive(&site, &*stream).await?, &format!("one by one {number}"))?;
    }
    // Both directions at once.
    let sends = async {
        for number in 0..60 {
            send(&site, &*stream, &format!("at once {number}")).await?;
        }
        Outcome::Ok(())
    };
    let receives = async {
        for number in 0..60 {
            expect_equal("the message", &receive(&site, &*stream).await?, &format!("at once {number}"))?;
        }
        Outcome::Ok(())
    };
    let (sent, received) = join(sends, receives).await;
    received.and(sent)?;
    site.ask("close the stream", stream.close()).await
}

async fn sending_while_a_receive_waits(site: Site) -> Outcome {
    let (caller, _served, _) = caller(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
    let receives = receive(&site, &*stream);
    let sends = async {
        site.take_effect(Duration::from_millis(200)).await;
        send(&site, &*stream, "while waiting").await
    };
    let (received, sent) = join(receives, sends).await;
    sent?;
    expect_equal("the message", &received?.as_str(), &"while waiting")
}

async fn streams_do_not_mix(site: Site) -> Outcome {
    let (caller, _served, _) = caller(&site).await?;
    let talks = (0..12).map(|own| {
        let (site, caller) = (&site, &caller);
        async move {
            let stream = caller.stream(Ask::of("Probe.Chat", "")).await?;
            for number in 0..6 {
                let text = format!("stream {own}, message {number}");
                send(site, &*stream, &text).await?;
                expect_equal("the message", &receive(site, &*stream).await?, &text)?;
            }
            site.ask("close the stream", stream.close()).await
        }
    });
    join_all(talks).await.into_iter().collect()
}

async fn a_streams_headers_reach_the_handler(site: Site) -> Outcome {
    let (caller, _served, seen) = caller(&site).await?;
    let headers = vec![("X-User-Id", "ada".to_owned())];
    let stream = caller.stream(Ask { headers, ..Ask::of("Probe.Chat", "") }).await?;
    send(&site, &*stream, "x").await?;
    receive(&site, &*stream).await?;
    let run = seen.last("Chat").ok_or_else(|| Finding::violated("the handler to run", "it did not"))?;
    expect_equal("the handler's header X-User-Id", &run.header("X-User-Id"), &Some("ada"))
}

async fn a_stream_ends_at_its_time_out(site: Site) -> Outcome {
    let (caller, _served, _) = caller(&site).await?;
    let limit = Duration::from_millis(2_500);
    let own = Ask::of("Probe.Chat", "").timeout(Duration::from_millis(1_200));
    let by_option = own.clone().with(|options| options.stream_timeout = Some(limit));
    let by_context = Ask { deadline: Some(limit), ..own };
    // Opening takes part of a context's deadline too, and none of a stream's own time; a request time-out that is shorter than
    // the stream's ends nothing.
    for ask in [by_option, by_context] {
        let (has_deadline, since) = (ask.deadline.is_some(), site.env().now());
        let stream = caller.stream(ask).await?;
        let begun = if has_deadline { since } else { site.env().now() };
        send(&site, &*stream, "x").await?;
        receive(&site, &*stream).await?;
        let mut message = Text::default();
        site.refused("receive what nobody sends", &[ErrorKind::Timeout], stream.recv(&mut message)).await?;
        let (took, late) = (site.env().now() - since, site.env().now() - begun);
        let fits = took + Duration::from_millis(1) >= limit && late <= limit + site.by_world(SLACK.times(2));
        expect(fits, format!("the end of the stream {limit:?} after its beginning"), || format!("it after {took:?}"))?;
        // Whether what is left can be closed in order is not judged; that it ends is.
        let _ = site.ends("close the stream", stream.close()).await?;
    }
    Ok(())
}

async fn a_slow_reader_loses_nothing(site: Site) -> Outcome {
    const MESSAGES: usize = 400;
    let (caller, _served, _) = caller(&site).await?;
    let stream = caller.stream(Ask::of("Probe.Late", "")).await?;
    for number in 0..MESSAGES {
        send(&site, &*stream, &number.to_string()).await?;
    }
    site.ask("close the sending side", stream.close_send()).await?;
    expect_equal("the number of messages in order", &receive(&site, &*stream).await?, &MESSAGES.to_string())
}

async fn without_streams_opening_is_refused(site: Site) -> Outcome {
    let (caller, _served, _) = caller(&site).await?;
    let request = caller.client.new_request(
        &caller.service,
        "Probe.Chat",
        Arc::new(Text::default()),
        shaketable_stack::client::RequestOptions { stream: true, ..Default::default() },
    );
    let context = shaketable_stack::client::Context::new();
    let open = caller.client.stream(&context, &request, Ask::of("", "").options);
    site.refused("open a stream", &[ErrorKind::Unsupported], open).await.map(drop)
}
