//! Limits: of size, of time, and of what piles up for a receiver that does not keep up.

use std::time::Duration;

use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::SlowConsumer;
use shaketable_stack::transport::Message;

use super::tools::{
    End, Ends, HELD_UP_FOR, KEEPS_ALL, LARGE_WITHIN, LIMITED, OPTIONS, Role, Sent, body, changed, largest, message,
    number_of, numbered, open, pair, pass, same,
};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::site::SLACK;
use crate::{Finding, Need, Outcome, Requirement, Site, expect, expect_equal};

/// A sender waits for a receiver that does not keep up.
const HOLDS_UP: Need = Need::Promises("a sender waits for a slow receiver", |promises| {
    matches!(promises.slow_consumer, Some(SlowConsumer::Blocks))
});

/// What may pile up in buffers of all sorts between two ends before a sender is held up, in bytes.
const PILE_BYTES: usize = 64 << 20;

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-036",
        level: Must,
        sentence: "A body beyond the largest size is not delivered: an end says that it is too large, and other \
                   connections go on.",
        source: "go-micro issue 467: the body of an HTTP/1 request was unbounded",
        needs: &[LIMITED],
        check: check!(a_body_beyond_the_limit_is_refused),
    },
    Requirement {
        id: "TRA-037",
        level: Should,
        sentence: "An end whose send was refused for its size can send smaller messages.",
        source: "decision of shaketable: one bad request should not end the calls beside it",
        needs: &[LIMITED],
        check: check!(an_end_survives_its_own_large_message),
    },
    Requirement {
        id: "TRA-038",
        level: Must,
        sentence: "A receiver whose limit is smaller than the sender's refuses what is beyond its own.",
        source: "go-micro issue 467: whoever reads must bound what a peer can make it keep",
        needs: &[LIMITED, OPTIONS],
        check: check!(a_receiver_keeps_its_own_limit),
    },
    Requirement {
        id: "TRA-039",
        level: Must,
        sentence: "A time limit of the transport ends a recv for which nothing comes, with Timeout, and not before it \
                   is due.",
        source: "go-micro transport/options.go: Options.Timeout; transport/http_transport_test.go: Recv timeout",
        needs: &[OPTIONS],
        check: check!(
            a_time_limit_ends_a_recv,
            "a limit of {}: at most {} early, and late by {}",
            RECV_LIMIT,
            EARLY,
            SLACK
        ),
    },
    Requirement {
        id: "TRA-040",
        level: Must,
        sentence: "A message that comes after a recv has timed out is received by the next.",
        source: "decision of shaketable: a time limit says that nothing has come yet, not that nothing will",
        needs: &[KEEPS_ALL, OPTIONS],
        check: check!(a_late_message_is_received),
    },
    Requirement {
        id: "TRA-041",
        level: Must,
        sentence: "A sender whose peer receives nothing is held up before sixty-four mebibytes wait.",
        source: "decision of shaketable: what piles up without bound ends the process",
        needs: &[HOLDS_UP],
        check: check!(a_slow_receiver_holds_the_sender_up),
    },
    Requirement {
        id: "TRA-042",
        level: Must,
        sentence: "What a sender was held up with arrives once the peer receives again.",
        source: "go-micro internal/util/socket/socket.go: Send waits while 128 messages are queued, and drops none",
        needs: &[HOLDS_UP, KEEPS_ALL],
        check: check!(a_sender_that_was_held_up_goes_on),
    },
    Requirement {
        id: "TRA-043",
        level: Must,
        sentence: "A receiver that does not keep up holds up no other connection.",
        source: "go-micro transport/memory.go: Accept serves each connection in a goroutine of its own",
        needs: &[],
        check: check!(a_slow_receiver_holds_up_nobody_else),
    },
];

async fn a_body_beyond_the_limit_is_refused(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    for role in Role::BOTH {
        let pair = ends.connect(&site, role).await?;
        let large = message(&body(largest(&site) + 1));
        refused_by_an_end(&site, (&pair.own, &pair.peer), &large).await?;
        let (near, far) = match role {
            Role::Dialling => open(&site, &ends.home, &pair.listener).await?,
            Role::Accepting => open(&site, &ends.second, &pair.listener).await?,
        };
        pass(&site, &near, &far, "a message on another connection", &message(b"small")).await?;
    }
    Ok(())
}

/// Either end may find out that `large` is too large; nobody may receive it or a part of it.
async fn refused_by_an_end(site: &Site, ends: (&End, &End), large: &Message) -> Outcome {
    let expected = format!("a body of {} bytes to be refused as too large, by send or by recv", large.body.len());
    match offered(site, ends, large, &expected).await? {
        None => Ok(()),
        Some(received) => {
            Err(Finding::violated(expected, format!("a message of {} bytes was received", received.body.len())))
        }
    }
}

/// Nothing is promised of `large`: it arrives whole, or an end finds out that it is too large.
pub(super) async fn arrives_or_is_refused(site: &Site, ends: (&End, &End), large: &Message) -> Outcome {
    let what = format!("a body of {} bytes", large.body.len());
    let expected = format!("{what} to arrive, or to be refused as too large, by send or by recv");
    match offered(site, ends, large, &expected).await? {
        None => Ok(()),
        Some(received) => same(&what, &received, large),
    }
}

/// Sends `large` and gives what is received, or nothing where an end refused it as too large.
async fn offered(
    site: &Site,
    (from, to): (&End, &End),
    large: &Message,
    expected: &str,
) -> Result<Option<Message>, Finding> {
    let both = async {
        let receive = site.env().timeout(LARGE_WITHIN, to.recv());
        let send = site.env().timeout(LARGE_WITHIN, from.send(large));
        let mut receive = std::pin::pin!(receive);
        let mut send = std::pin::pin!(send);
        tokio::select! {
            // Refused at once: nothing is under way.
            Ok(Err(error)) = &mut send => (Some(error), None),
            received = &mut receive => (None, Some(received)),
        }
    };
    match site.within("send a large body", LARGE_WITHIN * 2, both).await? {
        (Some(error), _) if error.kind() == ErrorKind::TooLarge => Ok(None),
        // The peer has hung up on it, and says why.
        (Some(error), _) => {
            let said = site.env().timeout(site.slack(), to.recv()).await;
            let too_large = matches!(&said, Ok(Err(error)) if error.kind() == ErrorKind::TooLarge);
            expect(too_large, expected, || format!("send: {:?}: `{error}`; recv: {said:?}", error.kind()))?;
            Ok(None)
        }
        (None, Some(Ok(Err(error)))) => {
            let kinds = [ErrorKind::TooLarge, ErrorKind::InvalidMessage];
            expect(kinds.contains(&error.kind()), expected, || format!("recv: {:?}: `{error}`", error.kind()))?;
            Ok(None)
        }
        (None, Some(Ok(Ok(received)))) => Ok(Some(received)),
        (None, _) => Err(Finding::violated(expected, "neither end said anything")),
    }
}

async fn an_end_survives_its_own_large_message(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        let large = message(&body(largest(&site) + 1));
        let refused = site.within("send a body beyond the limit", LARGE_WITHIN, pair.own.send(&large)).await?;
        expect(refused.is_err(), "send to refuse a body beyond the limit", || "it succeeded".to_owned())?;
        pass(&site, &pair.own, &pair.peer, "a smaller message after it", &message(b"small")).await?;
    }
    Ok(())
}

async fn a_receiver_keeps_its_own_limit(site: Site) -> Outcome {
    for role in Role::BOTH {
        let ends = Ends::new(&site).await?;
        changed(&ends.home, |options| options.message_bytes_max = 1_000)?;
        let pair = ends.connect(&site, role).await?;
        pass(&site, &pair.peer, &pair.own, "a body within the receiver's limit", &message(&body(1_000))).await?;
        refused_by_an_end(&site, (&pair.peer, &pair.own), &message(&body(1_001))).await?;
    }
    Ok(())
}

/// The time limit of a recv for which nothing comes, and how much of it may be missing where clocks are coarse.
const RECV_LIMIT: Duration = Duration::from_secs(1);
const EARLY: Duration = Duration::from_millis(100);

async fn a_time_limit_ends_a_recv(site: Site) -> Outcome {
    let limit = RECV_LIMIT;
    for role in Role::BOTH {
        let ends = Ends::new(&site).await?;
        changed(&ends.home, |options| options.timeout = Some(limit))?;
        let pair = ends.connect(&site, role).await?;
        let start = site.env().now();
        site.refused("receive, when nothing comes", &[ErrorKind::Timeout], pair.own.recv()).await?;
        let took = site.env().now() - start;
        let (least, most) = (limit - EARLY, limit + site.slack());
        expect(took >= least && took <= most, format!("the recv to end after {limit:?}"), || {
            format!("after {took:?}")
        })?;
    }
    Ok(())
}

async fn a_late_message_is_received(site: Site) -> Outcome {
    // Longer than a lost packet takes to be sent again, so that what is sent next comes in time.
    let limit = Duration::from_secs(4);
    for role in Role::BOTH {
        let ends = Ends::new(&site).await?;
        changed(&ends.home, |options| options.timeout = Some(limit))?;
        let pair = ends.connect(&site, role).await?;
        site.refused("receive, when nothing comes", &[ErrorKind::Timeout], pair.own.recv()).await?;
        pass(&site, &pair.peer, &pair.own, "a late message", &message(b"late")).await?;
    }
    Ok(())
}

/// Sends until the sender is held up, and says how many messages are on their way; the last one's send was given up, so
/// that nobody knows whether it is.
async fn fill(site: &Site, from: &End, size: usize) -> Result<u32, Finding> {
    let most = u32::try_from(PILE_BYTES / size).unwrap_or(u32::MAX);
    let patience = site.by_world(HELD_UP_FOR);
    for number in 0..most {
        match site.env().timeout(patience, from.send(&numbered(number, size))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return Err(Finding::violated("'send' to a slow receiver to succeed or to wait", error.to_string()));
            }
            Err(_) => return Ok(number),
        }
    }
    Err(Finding::violated(
        format!("a sender to be held up before {PILE_BYTES} bytes wait"),
        format!("{most} messages of {size} bytes were sent, and nobody has received one"),
    ))
}

async fn a_slow_receiver_holds_the_sender_up(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        fill(&site, &pair.own, 32 << 10).await?;
    }
    Ok(())
}

async fn a_sender_that_was_held_up_goes_on(site: Site) -> Outcome {
    for role in Role::BOTH {
        let (probe, pair) = (pair(&site, role).await?, pair(&site, role).await?);
        let size = 32 << 10;
        // As many as hold the sender up on a connection of its own, and some more.
        let count = fill(&site, &probe.own, size).await? + 5;
        let sent = Sent::default();
        let send = async {
            for number in 0..count {
                let message = numbered(number, size);
                site.within("send to a slow receiver", LARGE_WITHIN, pair.own.send(&message)).await?.map_err(
                    |error| Finding::violated("'send' to a slow receiver to wait until it receives", error.to_string()),
                )?;
                sent.one_more();
            }
            sent.end();
            Ok::<_, Finding>(())
        };
        let receive = async {
            site.stands_still(site.by_world(HELD_UP_FOR), site.slack() * 20, || sent.so_far()).await;
            let mut got = Vec::new();
            for _ in 0..count {
                let received = site.within("receive what waits", LARGE_WITHIN, pair.peer.recv()).await?;
                let received =
                    received.map_err(|error| Finding::violated("what waits to be received", error.to_string()))?;
                got.push(number_of(&received));
            }
            Ok(got)
        };
        let ((), mut got) = tokio::try_join!(send, receive)?;
        got.sort_unstable();
        let wanted: Vec<_> = (0..count).map(Some).collect();
        expect_equal("the messages of a sender that was held up", &got, &wanted)?;
    }
    Ok(())
}

async fn a_slow_receiver_holds_up_nobody_else(site: Site) -> Outcome {
    for role in Role::BOTH {
        let ends = Ends::new(&site).await?;
        let pair = ends.connect(&site, role).await?;
        let dialling = if role == Role::Dialling { &ends.home } else { &ends.second };
        let (near, far) = open(&site, dialling, &pair.listener).await?;
        let large = message(&body(largest(&site).min(1 << 20)));
        let sent = Sent::default();
        let stuck = async {
            // Whether it is held up or loses messages is what it has promised; here nobody receives.
            for _ in 0..64 {
                if pair.own.send(&large).await.is_err() {
                    break;
                }
                sent.one_more();
            }
            sent.end();
            std::future::pending().await
        };
        let beside = async {
            site.stands_still(site.slack() * 2, site.slack() * 4, || sent.so_far()).await;
            for (from, to) in [(&near, &far), (&far, &near)] {
                pass(&site, from, to, "a message beside a connection that is stuck", &message(b"beside")).await?;
            }
            Ok(())
        };
        tokio::select! {
            passed = beside => passed?,
            () = stuck => {}
        }
    }
    Ok(())
}
