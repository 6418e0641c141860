//! Closing: who closes, who learns of it, and what becomes of what was under way.

use shaketable_stack::ErrorKind;

use super::tools::{
    DROPPING, Ends, HELD_UP_FOR, KEEPS_ALL, LARGE_WITHIN, Pair, Role, SEEN_WITHIN, Sent, body, ending, expect_kind,
    largest, message, numbered, open, pair, pair_for_requests, pass, same,
};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Finding, Outcome, Requirement, Site};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-044",
        level: Must,
        sentence: "A peer that closes in order ends the recv of the other end with EndOfStream.",
        source: "go-micro issue 111: no sign of a close reaches who receives; issue 476: an ordered end arrives as an \
                 unexpected one",
        needs: &[],
        check: check!(a_close_reaches_the_peer, "within {}", SEEN_WITHIN),
    },
    Requirement {
        id: "TRA-045",
        level: Must,
        sentence: "What was sent before a close is received before the end.",
        source: "go-micro server/rpc_server.go (v6.10.0): ServeConn ends at once when Recv is an end of file, so that \
                 an answer over h2c is lost when the other end has closed its half",
        needs: &[KEEPS_ALL],
        check: check!(what_was_sent_comes_before_the_end),
    },
    Requirement {
        id: "TRA-046",
        level: Must,
        sentence: "A socket that is dropped without close ends the recv of the peer.",
        source: "decision of shaketable: in Rust what is dropped is gone, and a peer that is not told waits for ever",
        needs: &[DROPPING],
        check: check!(a_dropped_socket_ends_the_peer, "within {}", SEEN_WITHIN),
    },
    Requirement {
        id: "TRA-047",
        level: Must,
        sentence: "A close releases a recv of the same end that waits.",
        source: "go-micro issues 419 and 423, pull requests 2374 and 2436: Close and Recv of one client race; issue \
                 111 and transport/memory.go: Recv blocks for ever after Close",
        needs: &[],
        check: check!(a_close_releases_a_recv, "within {}", SEEN_WITHIN),
    },
    Requirement {
        id: "TRA-048",
        level: Must,
        sentence: "A close releases a send of the same end that is held up.",
        source: "go-micro transport/memory.go: Send waits in a pipe that Close leaves open",
        needs: &[],
        check: check!(a_close_releases_a_send, "within {} of the beginning of the sends", SEEN_WITHIN * 2),
    },
    Requirement {
        id: "TRA-049",
        level: Must,
        sentence: "After a close the same end neither sends nor receives: both answer Closed.",
        source: "go-micro transport/http_client.go: Recv after Close is an end of file, and pull request 2441: it held \
                 its lock for ever; decision of shaketable: one kind for every transport, so that a caller can tell \
                 its own close from the peer's",
        needs: &[],
        check: check!(a_closed_socket_refuses),
    },
    Requirement {
        id: "TRA-050",
        level: Must,
        sentence: "A socket that is closed a second time has nothing to complain of.",
        source: "go-micro pull request 2693: a stream closed its transport client twice; transport/http_client.go: \
                 Close cleans up once",
        needs: &[],
        check: check!(a_socket_may_be_closed_twice),
    },
    Requirement {
        id: "TRA-051",
        level: Must,
        sentence: "Sends to a peer that has closed fail in the end.",
        source: "go-micro transport/memory.go: Send is an end of file once either end has closed",
        needs: &[],
        check: check!(sends_to_a_closed_peer_fail, "within {}", SEEN_WITHIN),
    },
    Requirement {
        id: "TRA-052",
        level: Must,
        sentence: "A close ends its own connection and no other.",
        source: "go-micro transport/memory.go: the exit channel belongs to one connection",
        needs: &[],
        check: check!(a_close_ends_one_connection),
    },
    Requirement {
        id: "TRA-093",
        level: Should,
        sentence: "What was sent before a socket is dropped without close is received before the end.",
        source: "decision of shaketable: send has said that it is on its way, and what Rust's own streams were given before \
                 they are dropped arrives",
        needs: &[KEEPS_ALL, DROPPING],
        check: check!(what_was_sent_comes_before_a_drop),
    },
];

async fn a_close_reaches_the_peer(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        let close = async {
            site.take_effect(site.slack()).await;
            site.ask("close", pair.own.close()).await
        };
        let (closed, ended) = tokio::join!(close, ending(&site, &pair.peer));
        closed?;
        expect_kind("the recv of a peer whose other end has closed", ended?, &[ErrorKind::EndOfStream])?;
        // Who asks again is told the same.
        let again = ending(&site, &pair.peer).await?;
        expect_kind("the next recv", again, &[ErrorKind::EndOfStream, ErrorKind::Disconnected, ErrorKind::Closed])?;
    }
    Ok(())
}

async fn what_was_sent_comes_before_the_end(site: Site) -> Outcome {
    all_comes_before_the_end(&site, true).await
}

async fn what_was_sent_comes_before_a_drop(site: Site) -> Outcome {
    all_comes_before_the_end(&site, false).await
}

async fn all_comes_before_the_end(site: &Site, close: bool) -> Outcome {
    let end = if close { "close" } else { "drop" };
    for role in Role::BOTH {
        let Pair { own, peer, listener: _listener } = pair(site, role).await?;
        let sent = [numbered(1, largest(site).min(200_000)), numbered(2, 4), numbered(3, 20_000)];
        let sent = &sent;
        let send = async move {
            for message in sent {
                site.within("send", LARGE_WITHIN, own.send(message)).await?.map_err(|error| {
                    Finding::violated(format!("'send' before the {end} to succeed"), error.to_string())
                })?;
            }
            if !close {
                return Ok(None);
            }
            site.ask("close", own.close()).await?;
            Ok(Some(own))
        };
        let receive = async {
            for (index, message) in sent.iter().enumerate() {
                let what = format!("message {} of 3 that were sent before the {end}", index + 1);
                let received = site.within(&format!("receive {what}"), LARGE_WITHIN, peer.recv()).await?;
                let received =
                    received.map_err(|error| Finding::violated(format!("{what} to be received"), error.to_string()))?;
                same(&what, &received, message)?;
            }
            Ok(())
        };
        let (_own, ()) = tokio::try_join!(send, receive)?;
        // Which end it is is another requirement's.
        let kinds = [ErrorKind::EndOfStream, ErrorKind::Disconnected, ErrorKind::Closed];
        expect_kind("the recv after the last message", ending(site, &peer).await?, &kinds)?;
    }
    Ok(())
}

async fn a_dropped_socket_ends_the_peer(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        drop(pair.own);
        let end = ending(&site, &pair.peer).await?;
        expect_kind("the recv of a peer", end, &[ErrorKind::EndOfStream, ErrorKind::Disconnected])?;
    }
    Ok(())
}

async fn a_close_releases_a_recv(site: Site) -> Outcome {
    let [dialling, accepting] = Role::BOTH;
    let pairs = [pair(&site, dialling).await?, pair(&site, accepting).await?, pair_for_requests(&site).await?];
    for pair in pairs {
        let close = async {
            site.take_effect(site.slack()).await;
            site.ask("close while another task receives", pair.own.close()).await
        };
        let kinds = [ErrorKind::Closed, ErrorKind::EndOfStream, ErrorKind::Disconnected];
        let released = site.within("the recv to be released", SEEN_WITHIN, pair.own.recv());
        let (closed, released) = tokio::join!(close, released);
        closed?;
        match released? {
            Ok(received) => {
                let text = format!("a message of {} bytes that nobody has sent", received.body.len());
                return Err(Finding::violated("the recv to end with an error", text));
            }
            Err(error) => expect_kind("a recv at this end's close", error.kind(), &kinds)?,
        }
    }
    Ok(())
}

async fn a_close_releases_a_send(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        let large = message(&body(largest(&site).min(1 << 20)));
        let sent = Sent::default();
        // What does not hold up its sender ends before the close.
        let send = async {
            for _ in 0..200 {
                if pair.own.send(&large).await.is_err() {
                    break;
                }
                sent.one_more();
            }
            sent.end();
        };
        let close = async {
            site.stands_still(site.by_world(HELD_UP_FOR), site.slack() * 10, || sent.so_far()).await;
            site.ask("close while another task sends", pair.own.close()).await
        };
        let (ended, closed) = tokio::join!(site.within("the send to be released", SEEN_WITHIN * 2, send), close);
        closed?;
        ended?;
    }
    Ok(())
}

async fn a_closed_socket_refuses(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        site.ask("close", pair.own.close()).await?;
        site.refused("send after close", &[ErrorKind::Closed], pair.own.send(&message(b"late"))).await?;
        site.refused("receive after close", &[ErrorKind::Closed], pair.own.recv()).await?;
    }
    Ok(())
}

async fn a_socket_may_be_closed_twice(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        site.ask("close", pair.own.close()).await?;
        site.ask("close again", pair.own.close()).await?;
        // Also when the peer has closed before.
        site.ask("close the other end, too", pair.peer.close()).await?;
        site.ask("close once more", pair.own.close()).await?;
    }
    Ok(())
}

async fn sends_to_a_closed_peer_fail(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        site.ask("close the peer", pair.peer.close()).await?;
        let said = message(b"anybody there?");
        site.eventually("a send to a peer that has closed to fail", SEEN_WITHIN, async || {
            match pair.own.send(&said).await {
                Err(_) => Ok(()),
                Ok(()) => Err("it succeeds".to_owned()),
            }
        })
        .await?;
    }
    Ok(())
}

async fn a_close_ends_one_connection(site: Site) -> Outcome {
    for role in Role::BOTH {
        let ends = Ends::new(&site).await?;
        let pair = ends.connect(&site, role).await?;
        let dialling = if role == Role::Dialling { &ends.home } else { &ends.second };
        let (near, far) = open(&site, dialling, &pair.listener).await?;
        site.ask("close one of two connections", pair.own.close()).await?;
        ending(&site, &pair.peer).await?;
        for (from, to) in [(&near, &far), (&far, &near)] {
            pass(&site, from, to, "a message on the other connection", &message(b"still here")).await?;
        }
    }
    Ok(())
}
