//! Calls over HTTP/2 as others make and answer them: a transport that is called after gRPC takes what is a call of
//! go-micro's method and nothing else, and tells from each other the ways in which a call can end.

use std::sync::Arc;

use bytes::Bytes;
use h2::Reason;
use http::Method;
use shaketable_stack::transport::{Message, Transport};
use shaketable_stack::{Error, ErrorKind};

use super::peers::{Answer, Caller, GRPC_TYPE, Heard, Last, PATH, framed, give, go_away};
use super::tools::{Ends, SEEN_WITHIN, ending, expect_kind, free, listen, message, open, pass, same};
use super::wire::raw_listener;
use crate::Level::{May, Should};
use crate::requirement::{Need, check};
use crate::{Finding, Outcome, Requirement, Site, expect, expect_equal};

const GRPC: Need = Need::Named(&["grpc"]);

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-085",
        level: Should,
        sentence: "A request over HTTP/2 for another path than that of go-micro's method becomes no socket, and is refused.",
        source: "https://github.com/grpc/grpc/blob/master/doc/statuscodes.md: a method that is not found at the server is \
                 UNIMPLEMENTED; go-micro transport/grpc/proto/transport.proto: Transport.Stream",
        needs: &[GRPC],
        check: check!(other_paths_are_refused),
    },
    Requirement {
        id: "TRA-086",
        level: Should,
        sentence: "A request over HTTP/2 that is no POST, or whose content type is not gRPC's, becomes no socket, and is \
                   refused; the content type by another HTTP status than 200.",
        source: "https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: Method is POST; servers SHOULD respond with \
                 415 to what does not begin with application/grpc, so that no other client takes the answer for a success",
        needs: &[GRPC],
        check: check!(what_is_no_grpc_is_refused),
    },
    Requirement {
        id: "TRA-087",
        level: Should,
        sentence: "A connection over HTTP/2 carries one call after the other and several at once, each a socket, whoever \
                   else connects before the first.",
        source: "RFC 9113, section 5: streams of one connection are independent of each other; section 9.1: a server should \
                 keep a connection open as long as it can",
        needs: &[GRPC],
        check: check!(a_connection_carries_calls),
    },
    Requirement {
        id: "TRA-088",
        level: Should,
        sentence: "The gRPC status that ends a call is told after the messages before it: OK as an end in order, any other \
                   as the peer's error, with its words.",
        source: "https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: Responses, Trailers and Trailers-Only; \
                 go-micro transport/grpc: Recv answers what the stream does",
        needs: &[GRPC],
        check: check!(a_status_is_the_peers_word),
    },
    Requirement {
        id: "TRA-089",
        level: Should,
        sentence: "A response over HTTP/2 that is no gRPC is an error, which names the HTTP status of what is no success.",
        source: "https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: implementations should expect non-200 \
                 statuses and other content types, and must synthesize a status for the application; \
                 https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md",
        needs: &[GRPC],
        check: check!(what_is_no_grpc_is_an_error),
    },
    Requirement {
        id: "TRA-090",
        level: Should,
        sentence: "A call over HTTP/2 that ends inside a message ends the recv, and not as one that ends in order.",
        source: "https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: Length-Prefixed-Message; decision of \
                 shaketable: who takes a part for the whole executes what nobody asked for",
        needs: &[GRPC],
        check: check!(half_a_call_is_none),
    },
    Requirement {
        id: "TRA-091",
        level: Should,
        sentence: "A call over HTTP/2 that is reset with an error, or that its server says it has not taken, does not end as \
                   one in order.",
        source: "https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: Errors, RST_STREAM is propagated as an \
                 error; Connection Management, a stream after the last accepted one of a GOAWAY is UNAVAILABLE; RFC 9113, \
                 section 6.8",
        needs: &[GRPC],
        check: check!(a_reset_is_no_end_in_order),
    },
    Requirement {
        id: "TRA-092",
        level: Should,
        sentence: "A call over HTTP/2 that the server refuses is told as unreachable, or as the peer's error, and not as a \
                   connection that broke.",
        source: "RFC 9113, section 8.7: REFUSED_STREAM says that nothing was processed, and that the request can be tried \
                 again safely; a connection that broke does not say so",
        needs: &[GRPC],
        check: check!(a_refused_call_may_be_tried_again),
    },
    Requirement {
        id: "TRA-094",
        level: Should,
        sentence: "Who calls over HTTP/2 with a message that cannot be read gets a gRPC status other than OK, or a reset; \
                   for one that is too large, a status that says so.",
        source: "https://github.com/grpc/grpc/blob/master/doc/statuscodes.md: an error parsing a request is INTERNAL, a \
                 message larger than the limit RESOURCE_EXHAUSTED (tonic says OUT_OF_RANGE)",
        needs: &[GRPC],
        check: check!(what_cannot_be_read_is_answered),
    },
    Requirement {
        id: "TRA-095",
        level: May,
        sentence: "A peer that cancels its call over HTTP/2 is one that has closed.",
        source: "https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: Client Cancellation; decision of \
                 shaketable: a client of a gRPC library has no other way to close what it does not want to hear",
        needs: &[GRPC],
        check: check!(a_cancelled_call_has_ended),
    },
];

/// Trailers of a call that went well.
const OK: &[(&str, &str)] = &[("grpc-status", "0")];

/// A failure, as the service itself says it (FAILED_PRECONDITION).
const FAILED: &[(&str, &str)] = &[("grpc-status", "9"), ("grpc-message", "not today")];

async fn other_paths_are_refused(site: Site) -> Outcome {
    let paths = ["/", "/go.micro.transport.grpc.Transport/Other", "/go.micro.transport.grpc.transport/stream"];
    refuses(&site, paths.map(|path| (Method::POST, path, GRPC_TYPE))).await.map(drop)
}

async fn what_is_no_grpc_is_refused(site: Site) -> Outcome {
    let requests =
        [(Method::POST, PATH, "text/plain"), (Method::POST, PATH, "application/json"), (Method::PUT, PATH, GRPC_TYPE)];
    let [plain, json, _put] = refuses(&site, requests).await?;
    for heard in [plain, json] {
        let shown = format!("{heard:?}");
        expect(heard.is_err() || heard.is_ok_and(|heard| heard.status != 200), "another HTTP status than 200", || {
            shown
        })?;
    }
    Ok(())
}

/// Each of `requests` is refused, and becomes no socket.
async fn refuses<const COUNT: usize>(
    site: &Site,
    requests: [(Method, &str, &str); COUNT],
) -> Result<[Result<Heard, h2::Error>; COUNT], Finding> {
    let ends = Ends::new(site).await?;
    let listener = listen(site, &ends.second).await?;
    let mut all = Vec::new();
    for (method, path, content_type) in requests {
        let caller = Caller::new(site, &*listener).await?;
        let what = format!("{method} {path} with {content_type}");
        let mut call = caller.call(site, method, path, content_type).await?;
        // It fails where the call was refused before.
        let _ = call.sender.send_data(framed(&message(b"stranger")), true);
        let heard = call.heard(site, &what).await?;
        expect(is_refusal(&heard), format!("'{what}' to be refused"), || format!("{heard:?}"))?;
        all.push(heard);
    }
    // Whoever is accepted now is the next one who calls: nothing else became a socket.
    let (near, far) = open(site, &ends.home, &listener).await?;
    pass(site, &far, &near, "an answer after all of them", &message(b"still here")).await?;
    all.try_into().map_err(|_| Finding::Broke("an answer is missing".to_owned()))
}

/// Whether that is what a server says to whom it does not serve: a reset, an HTTP status or a gRPC status of failure.
fn is_refusal(heard: &Result<Heard, h2::Error>) -> bool {
    heard.as_ref().map_or(true, |heard| heard.status >= 400 || heard.code.as_ref().is_some_and(|code| code != "0"))
}

async fn a_connection_carries_calls(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.second).await?;
    let caller = Caller::new(&site, &*listener).await?;
    let (near, far) = open(&site, &ends.home, &listener).await?;
    pass(&site, &far, &near, "an answer on another connection", &message(b"answer")).await?;
    for round in ["the first", "a later"] {
        let mut calls = Vec::new();
        for number in ["one", "two"] {
            let mut call = caller.call(&site, Method::POST, PATH, GRPC_TYPE).await?;
            let said = message(number.as_bytes());
            call.say(framed(&said), false)?;
            let far = site.ask(&format!("accept {round} call of one connection"), listener.accept()).await?;
            same("its message", &site.ask("receive its message", far.recv()).await?, &said)?;
            calls.push((call, far, said));
        }
        for (call, far, said) in calls {
            let answer = async {
                site.ask("answer it", far.send(&said)).await?;
                site.ask("close it", far.close()).await
            };
            let what = format!("the answer to {round} call");
            let (heard, ()) = tokio::try_join!(call.heard(&site, &what), answer)?;
            let shown = format!("{heard:?}");
            let answered = heard.is_ok_and(|heard| heard.message().is_some_and(|answer| answer.body == said.body));
            expect(answered, what, || shown)?;
        }
    }
    Ok(())
}

/// What comes of a call at a server of the harness: the messages that the plugin's socket received, and how it ended.
async fn met(site: &Site, transport: &Arc<dyn Transport>, address: &str) -> Result<(Vec<Message>, Error), Finding> {
    let meet = async {
        let mut received = Vec::new();
        // Some wait for the response when they dial.
        let near = match transport.dial(address, free()).await {
            Ok(near) => near,
            Err(error) => return (received, error),
        };
        // Who is answered at once may fail to send; who receives is told why.
        let _ = near.send(&message(b"hello")).await;
        loop {
            match near.recv().await {
                Ok(message) => received.push(message),
                Err(error) => return (received, error),
            }
        }
    };
    site.within("see the end of the call", SEEN_WITHIN, meet).await
}

/// How a call ends that is answered so. `expected` is what was sent before the end.
async fn ended(site: &Site, ends: &Ends, answer: &Answer, expected: &[Message]) -> Result<Error, Finding> {
    site.step(format!("answer with {answer:?}"));
    let (mut listener, address) = raw_listener(site).await?;
    let (_given, (received, error)) =
        tokio::try_join!(give(site, &mut *listener, answer), met(site, &ends.second, &address))?;
    expect_equal("the messages before the end", &received.len(), &expected.len())?;
    for (received, expected) in received.iter().zip(expected) {
        same("a message before the end", received, expected)?;
    }
    Ok(error)
}

/// A violation when `error` is the end of a call that ended in order.
fn expect_failure(what: &str, error: &Error) -> Outcome {
    let in_order = matches!(error.kind(), ErrorKind::EndOfStream | ErrorKind::Closed);
    expect(!in_order, format!("{what} to be an error"), || format!("{:?}: `{error}`", error.kind()))
}

async fn a_status_is_the_peers_word(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let sent = [message(b"one"), message(b"two")];
    let bytes = sent.iter().flat_map(framed).collect::<Bytes>();
    let whole = |trailers| Answer::new(200, GRPC_TYPE, Last::Body(bytes.clone(), trailers));
    let error = ended(&site, &ends, &whole(OK), &sent).await?;
    expect_kind("a call whose status is OK", error.kind(), &[ErrorKind::EndOfStream])?;
    let at_once = Answer::new(200, GRPC_TYPE, Last::Head(FAILED));
    for (answer, sent) in [(whole(FAILED), &sent[..]), (at_once, &sent[..0])] {
        let error = ended(&site, &ends, &answer, sent).await?;
        expect_kind("a call whose status is a failure", error.kind(), &[ErrorKind::Remote])?;
        let text = error.to_string();
        expect(text.contains("not today"), "its message in the error", || text.clone())?;
    }
    Ok(())
}

async fn what_is_no_grpc_is_an_error(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    for content_type in ["text/html", GRPC_TYPE] {
        let error = ended(&site, &ends, &Answer::new(503, content_type, Last::Head(&[])), &[]).await?;
        expect_failure("a response with the HTTP status 503", &error)?;
        let text = error.to_string();
        expect(text.contains("503"), "its HTTP status in the error", || text.clone())?;
    }
    let page = Last::Body(Bytes::from_static(b"<html>Welcome!</html>"), &[]);
    let page = Answer::new(200, "text/html", page);
    expect_failure("a web page", &ended(&site, &ends, &page, &[]).await?)
}

async fn half_a_call_is_none(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let sent = [message(b"a whole message")];
    let [whole, rest] = [framed(&sent[0]), framed(&message(b"the rest of another"))];
    let halves = [rest.slice(..3), rest.slice(..rest.len() - 1)];
    for half in &halves {
        let bytes = [&whole[..], &half[..]].concat().into();
        let answer = Answer::new(200, GRPC_TYPE, Last::Body(bytes, &[]));
        expect_failure("half a message from who was dialled", &ended(&site, &ends, &answer, &sent).await?)?;
    }
    let listener = listen(&site, &ends.second).await?;
    for half in halves {
        let caller = Caller::new(&site, &*listener).await?;
        let mut call = caller.call(&site, Method::POST, PATH, GRPC_TYPE).await?;
        call.say([&whole[..], &half[..]].concat().into(), true)?;
        let far = site.ask("accept", listener.accept()).await?;
        same("the message before", &site.ask("receive the message before", far.recv()).await?, &sent[0])?;
        match site.ends("receive half a message", far.recv()).await? {
            Ok(message) => return Err(Finding::violated("half a message to be an error", format!("{message:?}"))),
            Err(error) => expect_failure("half a message from who has dialled", &error)?,
        }
    }
    Ok(())
}

async fn a_reset_is_no_end_in_order(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    for reason in [Reason::INTERNAL_ERROR, Reason::PROTOCOL_ERROR] {
        let error = ended(&site, &ends, &Answer::new(200, GRPC_TYPE, Last::Reset(reason)), &[]).await?;
        expect_failure(&format!("a call that was reset with {reason:?}"), &error)?;
    }
    let (listener, address) = raw_listener(&site).await?;
    let (_raw, (_, error)) = tokio::try_join!(go_away(&site, listener), met(&site, &ends.second, &address))?;
    expect_failure("a call that the server says it has not taken", &error)
}

async fn a_refused_call_may_be_tried_again(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let answer = Answer::new(200, GRPC_TYPE, Last::Reset(Reason::REFUSED_STREAM));
    let error = ended(&site, &ends, &answer, &[]).await?;
    expect_kind("a call that was refused", error.kind(), &[ErrorKind::Unreachable, ErrorKind::Remote])
}

async fn what_cannot_be_read_is_answered(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.second).await?;
    let too_large: &'static [u8] = b"\0\xff\xff\xff\xff";
    // Compressed, though nothing was said of it; and no protobuf.
    let cases: [&'static [u8]; 3] = [b"\x01\0\0\0\0", b"\0\0\0\0\x02\xff\xff", too_large];
    for bytes in cases {
        // Who promises no largest message need refuse none.
        if bytes == too_large && site.promises().message_bytes_max.is_none() {
            continue;
        }
        let what = format!("the bytes {bytes:02x?}");
        let caller = Caller::new(&site, &*listener).await?;
        let mut call = caller.call(&site, Method::POST, PATH, GRPC_TYPE).await?;
        call.say(Bytes::from_static(bytes), false)?;
        let receive = async {
            let far = site.ask("accept", listener.accept()).await?;
            match site.ends(&format!("receive {what}"), far.recv()).await? {
                Ok(message) => return Err(Finding::violated(format!("{what} to be an error"), format!("{message:?}"))),
                Err(error) => expect_failure(&what, &error)?,
            }
            site.ask("close", far.close()).await
        };
        let (heard, ()) = tokio::try_join!(call.heard(&site, &what), receive)?;
        expect(is_refusal(&heard), format!("{what} to be answered with a failure"), || format!("{heard:?}"))?;
        if bytes == too_large
            && let Ok(Heard { code: Some(code), .. }) = heard
        {
            let expected =
                "a message that is too large to be answered with 8 (RESOURCE_EXHAUSTED) or 11 (OUT_OF_RANGE)";
            expect(["8", "11"].contains(&&*code), expected, || code.clone())?;
        }
    }
    let (near, far) = open(&site, &ends.home, &listener).await?;
    pass(&site, &near, &far, "a message after all of them", &message(b"still here")).await
}

async fn a_cancelled_call_has_ended(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.second).await?;
    let caller = Caller::new(&site, &*listener).await?;
    let mut call = caller.call(&site, Method::POST, PATH, GRPC_TYPE).await?;
    call.say(framed(&message(b"hello")), false)?;
    let far = site.ask("accept", listener.accept()).await?;
    site.ask("receive the first message", far.recv()).await?;
    call.sender.send_reset(Reason::CANCEL);
    expect_kind("the recv of a call that was cancelled", ending(&site, &far).await?, &[ErrorKind::EndOfStream])
}
