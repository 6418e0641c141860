//! HTTP/1.1 as others write it, byte by byte: a transport that is called after the protocol reads all of it that RFC 9112
//! asks for, and refuses what could mean two things.

use std::io;
use std::net::SocketAddr;

use shaketable_stack::ErrorKind;
use shaketable_stack::env::Stream;
use shaketable_stack::metadata::get_ignoring_case;
use shaketable_stack::transport::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tools::{Ends, SEEN_WITHIN, ending, expect_kind, free, largest, listen, message, open, pass};
use crate::Level::Should;
use crate::requirement::{Need, check};
use crate::{Finding, Outcome, Requirement, Site, expect, expect_equal};

const HTTP: Need = Need::Named(&["http"]);

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-065",
        level: Should,
        sentence: "A request over HTTP/1.1 arrives with its body, by length, in chunks or none, at whatever bytes it is cut.",
        source: "RFC 9112, sections 6.1 and 7.1: a recipient MUST be able to parse the chunked transfer coding; section 6.3: \
                 how long a body is",
        needs: &[HTTP],
        check: check!(requests_of_others_are_read),
    },
    Requirement {
        id: "TRA-066",
        level: Should,
        sentence: "A response over HTTP/1.1 is received, by length, in chunks, after an interim one, or up to the end.",
        source: "RFC 9112, sections 6.3 and 7.1: how long a body is; RFC 9110, section 15.2: a client MUST be able to parse \
                 1xx responses before a final one; go-micro transport/http_client.go: with DialOptions.Stream, Recv reads \
                 responses that no request asked for",
        needs: &[HTTP],
        check: check!(responses_of_others_are_read),
    },
    Requirement {
        id: "TRA-067",
        level: Should,
        sentence: "A response over HTTP/1.1 that is no success is the peer's error, with its status and what it says.",
        source: "go-micro transport/http_client.go: Recv fails with the status and the body of what is not 200; RFC 9112, \
                 section 6.3: a response with 204 has no body",
        needs: &[HTTP],
        check: check!(a_status_is_the_peers_error),
    },
    Requirement {
        id: "TRA-068",
        level: Should,
        sentence: "Bytes that are no request over HTTP/1.1, could be two, or have no end, are refused, as 400 or 413 say.",
        source: "RFC 9112, section 2.2: a server SHOULD answer what is no request with 400, section 6.1: a transfer coding \
                 that it does not understand with 501, section 6.3: an invalid Content-Length with 400, section 11.2: request \
                 smuggling; RFC 9110, section 5.4: fields that are too large with 4xx, section 15.5.14: 413",
        needs: &[HTTP],
        check: check!(what_is_no_request_is_refused),
    },
    Requirement {
        id: "TRA-069",
        level: Should,
        sentence: "A connection over HTTP/1.1 that ends inside a message ends the recv, and not as one that ends in order.",
        source: "RFC 9112, section 8: a body is incomplete that is shorter than its Content-Length, or whose last chunk has \
                 not come; decision of shaketable: who takes a part for the whole executes what nobody asked for",
        needs: &[HTTP],
        check: check!(half_a_message_is_none),
    },
];

/// Longer than any header section, or line of a chunk, that must be read.
const HEAD_BYTES_MOST: usize = 2 << 20;

/// A status that says no, or an end without one: what is cut off while it still sends may not see the answer.
const ANY: &str = "an error";

/// Bodies of requests and responses, and what stands after the start line for each.
const FRAMED: [(&str, &str); 6] = [
    ("Wikipedia", "content-length: 9\r\nX-Case: yes\r\n\r\nWikipedia"),
    ("Wikipedia", "Transfer-Encoding: chunked\r\nX-Case: yes\r\n\r\n4\r\nWiki\r\n5;a=1\r\npedia\r\n0\r\n\r\n"),
    ("0123456789", "X-Case:yes\r\nTransfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    ("abc", "X-Case: yes \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: yes\r\n\r\n"),
    ("", "Transfer-Encoding: chunked\r\nX-Case: yes\r\n\r\n0\r\n\r\n"),
    ("", "X-Case: yes\r\nContent-Length: 0\r\n\r\n"),
];

/// A request that says nothing of a body has none; a response that says nothing of it would go up to the end.
const BODILESS: (&str, &str) = ("", "X-Case: yes\r\n\r\n");

/// What the harness itself fails at.
pub(super) fn broke(error: io::Error) -> Finding {
    Finding::Broke(format!("the raw connection: {error}"))
}

/// Writes `bytes` in pieces of that size.
async fn write(stream: &mut Stream, bytes: &[u8], size: usize) -> Outcome {
    for piece in bytes.chunks(size) {
        stream.write_all(piece).await.map_err(broke)?;
        stream.flush().await.map_err(broke)?;
    }
    Ok(())
}

/// A raw connection to `listener`.
pub(super) async fn dial(site: &Site, listener: &dyn Listener) -> Result<Stream, Finding> {
    site.env().network().connect(&listener.address()).await.map_err(broke)
}

/// Reads from `stream` until `last` has come.
async fn read_until(site: &Site, stream: &mut Stream, last: &[u8]) -> Outcome {
    let (mut read, mut buffer) = (Vec::new(), [0; 1 << 10]);
    while !read.ends_with(last) {
        let what = format!("{:?} on the raw connection", String::from_utf8_lossy(last));
        let length = site.within(&what, SEEN_WITHIN, stream.read(&mut buffer)).await?.map_err(broke)?;
        let so_far = || format!("an end after {:?}", String::from_utf8_lossy(&read));
        expect(length > 0, what, so_far)?;
        read.extend_from_slice(&buffer[..length]);
    }
    Ok(())
}

async fn requests_of_others_are_read(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.second).await?;
    for size in [usize::MAX, 7, 1] {
        let mut raw = dial(&site, &*listener).await?;
        let mut accepted = None;
        for (body, rest) in FRAMED.into_iter().chain([BODILESS]) {
            write(&mut raw, format!("POST / HTTP/1.1\r\nHost: second\r\n{rest}").as_bytes(), size).await?;
            let far = match accepted.take() {
                Some(far) => far,
                None => site.ask("accept", listener.accept()).await?,
            };
            let received = site.ask(&format!("receive the request {rest:?}"), far.recv()).await?;
            expect_equal(&format!("the body of {rest:?}"), &received.body, &body.as_bytes())?;
            let header = get_ignoring_case(&received.header, "X-Case");
            expect_equal(&format!("a header of {rest:?}"), &header, &Some("yes"))?;
            // Who answers each request before it reads the next is sound.
            site.ask("answer it", far.send(&message(b"answer"))).await?;
            read_until(&site, &mut raw, b"answer").await?;
            accepted = Some(far);
        }
    }
    Ok(())
}

/// A listener of the harness on this host, and where the other host reaches it.
pub(super) async fn raw_listener(site: &Site) -> Result<(Box<dyn shaketable_stack::env::Listener>, String), Finding> {
    let listener = site.env().network().listen(":0").await.map_err(broke)?;
    let address = SocketAddr::new(site.env().host().address, listener.local_address().port());
    Ok((listener, address.to_string()))
}

async fn responses_of_others_are_read(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    for size in [usize::MAX, 7, 1] {
        let (mut listener, address) = raw_listener(&site).await?;
        let near = site.ask("dial", ends.second.dial(&address, free())).await?;
        let answer = async {
            let mut raw = listener.accept().await.map_err(broke)?;
            for (_, rest) in FRAMED {
                read_until(&site, &mut raw, b"request").await?;
                let interim = "HTTP/1.1 100 Continue\r\n\r\n";
                write(&mut raw, format!("{interim}HTTP/1.1 200 OK\r\n{rest}").as_bytes(), size).await?;
            }
            read_until(&site, &mut raw, b"request").await?;
            write(&mut raw, b"HTTP/1.1 200 OK\r\n\r\nup to the end", size).await?;
            raw.shutdown().await.map_err(broke)?;
            Ok::<_, Finding>(raw)
        };
        let receive = async {
            for (body, rest) in FRAMED {
                site.ask("send a request", near.send(&message(b"request"))).await?;
                let received = site.ask(&format!("receive the response {rest:?}"), near.recv()).await?;
                expect_equal(&format!("the body of {rest:?}"), &received.body, &body.as_bytes())?;
            }
            site.ask("send a request", near.send(&message(b"request"))).await?;
            let last = site.ask("receive a response up to the end", near.recv()).await?;
            expect_equal("its body", &last.body, &&b"up to the end"[..])?;
            expect_kind("the recv after it", ending(&site, &near).await?, &[ErrorKind::EndOfStream])
        };
        let (_raw, ()) = tokio::try_join!(answer, receive)?;
    }
    Ok(())
}

async fn a_status_is_the_peers_error(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let (mut listener, address) = raw_listener(&site).await?;
    let near = site.ask("dial", ends.second.dial(&address, free())).await?;
    let answer = async {
        let mut raw = listener.accept().await.map_err(broke)?;
        for response in [
            "503 Service Unavailable\r\nContent-Length: 9\r\n\r\nnot today",
            "204 No Content\r\n\r\n",
            "200 OK\r\nContent-Length: 2\r\n\r\nok",
        ] {
            read_until(&site, &mut raw, b"request").await?;
            write(&mut raw, format!("HTTP/1.1 {response}").as_bytes(), usize::MAX).await?;
        }
        Ok::<_, Finding>(raw)
    };
    let receive = async {
        let request = message(b"request");
        site.ask("send a request", near.send(&request)).await?;
        let failed = site.refused("receive a response that is no success", &[ErrorKind::Remote], near.recv()).await?;
        let text = failed.to_string();
        expect(["503", "not today"].iter().all(|part| text.contains(part)), "its status and text", || text.clone())?;
        site.ask("send a request", near.send(&request)).await?;
        // A success without content: an empty message to some, and to go-micro an error. Whatever follows is the next one.
        if let Ok(empty) = site.ends("receive a response without a body", near.recv()).await? {
            expect_equal("its body", &empty.body, &&b""[..])?;
        }
        site.ask("send a request", near.send(&request)).await?;
        let next = site.ask("receive the response after it", near.recv()).await?;
        expect_equal("its body", &next.body, &&b"ok"[..])
    };
    let (_raw, ()) = tokio::try_join!(answer, receive)?;
    Ok(())
}

async fn what_is_no_request_is_refused(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.second).await?;
    let too_large = format!("Content-Length: {}\r\n\r\n", largest(&site).saturating_add(1));
    let chunk_too_large = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", largest(&site).saturating_add(1));
    let long = "a".repeat(HEAD_BYTES_MOST);
    let [long_header, long_chunk_line, long_trailer] = [
        format!("X-Long: {long}"),
        format!("Transfer-Encoding: chunked\r\n\r\n3;{long}"),
        format!("Transfer-Encoding: chunked\r\n\r\n0\r\nX-Long: {long}"),
    ];
    let whole_header = format!("{long_header}\r\nContent-Length: 0\r\n\r\n");
    let cases = [
        ("400", "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        ("400", "Content-Length: -3\r\n\r\nabc"),
        ("400", "Content-Length: 3a\r\n\r\nabc"),
        ("400", "Content-Length: \r\n\r\nabc"),
        ("400", "Transfer-Encoding: chunked\r\n\r\nx\r\nabc\r\n0\r\n\r\n"),
        ("400", "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n"),
        ("400", "No Colon\r\n\r\n"),
        ("413", &*too_large),
        ("413", &*chunk_too_large),
        (ANY, "Transfer-Encoding: gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        (ANY, &*long_header),
        (ANY, &*whole_header),
        (ANY, &*long_chunk_line),
        (ANY, &*long_trailer),
    ];
    for (status, rest) in cases {
        // Who promises no largest message need refuse none.
        if status == "413" && site.promises().message_bytes_max.is_none() {
            continue;
        }
        let mut raw = dial(&site, &*listener).await?;
        let request = format!("POST / HTTP/1.1\r\nHost: second\r\n{rest}");
        let rest = rest.get(..80).unwrap_or(rest);
        let receive = async {
            // Some hand over only what they have understood.
            let Ok(far) = site.env().timeout(SEEN_WITHIN, listener.accept()).await else { return Ok(None) };
            let far = far.map_err(|error| Finding::violated("'accept' to succeed", format!("the error `{error}`")))?;
            let kinds = [ErrorKind::InvalidMessage, ErrorKind::TooLarge, ErrorKind::Disconnected];
            site.refused(&format!("receive {rest:?}"), &kinds, far.recv()).await?;
            Ok::<_, Finding>(Some(far))
        };
        let answered = async {
            // Who is refused may be cut off while it writes.
            let _ = site.env().timeout(SEEN_WITHIN, write(&mut raw, request.as_bytes(), usize::MAX)).await;
            let mut answer = Vec::new();
            // A reset is an end, too, after whatever was said.
            let what = format!("the end after {rest:?}");
            let _ = site.within(&what, SEEN_WITHIN * 2, raw.read_to_end(&mut answer)).await?;
            Ok::<_, Finding>(String::from_utf8_lossy(&answer).into_owned())
        };
        let (_far, answer) = tokio::try_join!(receive, answered)?;
        let expected = format!("{rest:?} to be answered with {status}");
        let said = answer.starts_with(&format!("HTTP/1.1 {status} "));
        expect(said || (status == ANY && !answer.starts_with("HTTP/1.1 2")), expected, || format!("{answer:?}"))?;
    }
    let (near, far) = open(&site, &ends.home, &listener).await?;
    pass(&site, &near, &far, "a message after all of them", &message(b"still here")).await
}

async fn half_a_message_is_none(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.second).await?;
    for rest in [
        "Content-Length: 10\r\n\r\nabc",
        "Content-Length: 10\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "Transfer-Encoding: chunked\r\n\r\n9\r\nabc",
    ] {
        let mut raw = dial(&site, &*listener).await?;
        write(&mut raw, format!("POST / HTTP/1.1\r\nHost: second\r\n{rest}").as_bytes(), usize::MAX).await?;
        raw.shutdown().await.map_err(broke)?;
        let Ok(far) = site.env().timeout(SEEN_WITHIN, listener.accept()).await else { continue };
        let far = far.map_err(|error| Finding::violated("'accept' to succeed", format!("the error `{error}`")))?;
        let kinds = [ErrorKind::Disconnected, ErrorKind::InvalidMessage];
        site.refused(&format!("receive {rest:?} and an end"), &kinds, far.recv()).await?;
    }
    Ok(())
}
