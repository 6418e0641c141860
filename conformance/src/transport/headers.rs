//! Headers: they arrive beside the body, whatever has become of the case of their names.

use shaketable_stack::metadata::{Metadata, get_ignoring_case};
use shaketable_stack::transport::Message;

use super::tools::{Role, header, message, pair, pass, same};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::site::SLACK;
use crate::tolerance::ByWorld;
use crate::{Finding, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-024",
        level: Must,
        sentence: "Header values of visible ASCII arrive as they were sent, under their names in whatever case.",
        source: "go-micro transport/http_client.go: Send puts them into an http.Header, which changes the case of \
                 names; RFC 9110, sections 5.1 and 5.5",
        needs: &[],
        check: check!(headers_arrive),
    },
    Requirement {
        id: "TRA-025",
        level: Must,
        sentence: "Each message has its own headers: none is left over from an earlier one of the same end.",
        source: "go-micro transport/http_socket.go: sendHTTP1 begins each answer with the headers of the connection's \
                 first request",
        needs: &[],
        check: check!(headers_belong_to_their_message),
    },
    Requirement {
        id: "TRA-026",
        level: Should,
        sentence: "Header values that are empty, or not ASCII, arrive as they were sent.",
        source: "go-micro errors/errors.go: an error's text travels in the header Micro-Error, in the language of its \
                 author",
        needs: &[],
        check: check!(unusual_header_values_arrive),
    },
    Requirement {
        id: "TRA-027",
        level: Must,
        sentence: "A header value with line ends adds no header to the message.",
        source: "RFC 9110, section 5.5: field values with CR, LF or NUL are dangerous",
        needs: &[],
        check: check!(a_value_adds_no_header),
    },
    Requirement {
        id: "TRA-028",
        level: Must,
        sentence: "Sixty-four headers of sixty-four bytes arrive, every one.",
        source: "decision of shaketable: four kibibytes of headers is what tracing and authentication add to a \
                 request, and less than every HTTP server takes",
        needs: &[],
        check: check!(many_headers_arrive),
    },
    Requirement {
        id: "TRA-063",
        level: Should,
        sentence: "Headers that are called as those of a wire's own framing do no harm to the body.",
        source: "Go net/http request.go, reqWriteExcludeHeader, and response.go, respExcludeHeader: Content-Length, \
                 Transfer-Encoding and Trailer of a caller are left out, and Host of a request",
        needs: &[],
        check: check!(headers_of_framing_do_no_harm, "the message received within {}", HEARD_WITHIN),
    },
    Requirement {
        id: "TRA-064",
        level: Should,
        sentence: "A header name with a line end or a colon adds no header to the message.",
        source: "RFC 9110, sections 5.1 and 5.6.2: a field name is a token, in which there is neither a colon nor a line end",
        needs: &[],
        check: check!(a_name_adds_no_header),
    },
];

/// Within which a message is heard whose header is odd, or it is not heard at all.
const HEARD_WITHIN: ByWorld = SLACK.times(4);

async fn headers_arrive(site: Site) -> Outcome {
    let visible: String = ('!'..='~').collect();
    let sent = Message {
        header: header(&[
            ("Content-Type", "application/json"),
            ("Micro-Service", "go.micro.srv.user"),
            ("Micro-Endpoint", "User.Get"),
            ("Micro-Error", "{\"id\":\"a: b\",\"code\":404,\"detail\":\"x=1; y=2, z\"}"),
            ("x-lower-case", "as it is"),
            ("X-Visible", &visible),
        ]),
        ..message(b"{}")
    };
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        for (from, to) in pair.ways() {
            pass(&site, from, to, "a message with headers", &sent).await?;
        }
    }
    Ok(())
}

async fn headers_belong_to_their_message(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        // Answers may repeat what the first request said, as go-micro's do; requests may not.
        let (from, to) = if role == Role::Dialling { (&pair.own, &pair.peer) } else { (&pair.peer, &pair.own) };
        let first = Message { header: header(&[("X-Secret", "of the first"), ("X-Both", "1")]), ..message(b"first") };
        pass(&site, from, to, "a message with a header", &first).await?;
        let second = Message { header: header(&[("X-Both", "2")]), ..message(b"second") };
        let (sent, received) = tokio::join!(site.ask("send", from.send(&second)), site.ask("receive", to.recv()));
        sent?;
        let received = received?;
        let left_over = get_ignoring_case(&received.header, "X-Secret");
        expect(left_over.is_none(), "no header of an earlier message", || format!("X-Secret: {left_over:?}"))?;
        same("the second message", &received, &second)?;
    }
    Ok(())
}

async fn unusual_header_values_arrive(site: Site) -> Outcome {
    let sent =
        Message { header: header(&[("X-Empty", ""), ("Micro-Error", "größer, 日本, 🦀")]), ..message(b"{}") };
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        for (from, to) in pair.ways() {
            pass(&site, from, to, "a message with unusual headers", &sent).await?;
        }
    }
    Ok(())
}

async fn a_value_adds_no_header(site: Site) -> Outcome {
    for end in ["\r\n", "\n"] {
        let value = format!("harmless{end}X-Injected: yes{end}{end}GET / HTTP/1.1");
        adds_no_header(&site, "X-Value", &value).await?;
    }
    Ok(())
}

async fn a_name_adds_no_header(site: Site) -> Outcome {
    for name in ["X-Name: 1\r\nX-Injected", "X-Injected: yes\n\nX-Name", "X-Injected: yes; X-Name"] {
        adds_no_header(&site, name, "yes").await?;
    }
    Ok(())
}

/// Sends a message with that header, both ways: it is refused, or brings no other header with it.
async fn adds_no_header(site: &Site, name: &str, value: &str) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(site, role).await?;
        let bad = Message { header: header(&[(name, value)]), ..message(b"body") };
        let exchange = async {
            tokio::join!(pair.own.send(&bad), site.env().timeout(site.by_world(HEARD_WITHIN), pair.peer.recv()))
        };
        let (sent, received) = site.ends(&format!("send the header {name:?}: {value:?}"), exchange).await?;
        // To refuse it is as good as to make it harmless; then there is nothing to be received.
        let (Ok(()), Ok(received)) = (sent, received) else { continue };
        let received = received.map_err(|error| {
            Finding::violated("the header to be refused by send, or made harmless", format!("the peer got `{error}`"))
        })?;
        let injected = get_ignoring_case(&received.header, "X-Injected");
        expect(injected.is_none(), "no header that another one brought with it", || {
            format!("X-Injected: {injected:?}")
        })?;
        expect(received.body == bad.body, "the body as it was sent", || format!("{:?}", received.body))?;
    }
    Ok(())
}

async fn headers_of_framing_do_no_harm(site: Site) -> Outcome {
    let header = header(&[
        ("Content-Length", "999"),
        ("transfer-encoding", "gzip"),
        ("Host", "elsewhere"),
        ("Trailer", "X-Last"),
        ("X-Own", "own"),
    ]);
    let sent = Message { header, ..message(b"a body of its own") };
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        for (from, to) in pair.ways() {
            let exchange =
                async { tokio::join!(from.send(&sent), site.env().timeout(site.by_world(HEARD_WITHIN), to.recv())) };
            // HTTP/2 forbids some of them: to refuse them is sound.
            if let (Ok(()), received) = site.ends("send headers of framing, and receive", exchange).await? {
                let received = received.ok().and_then(Result::ok);
                let body = received.as_ref().map(|received| &received.body);
                expect(body == Some(&sent.body), "the body as it was sent", || format!("{body:?}"))?;
                let own = received.as_ref().and_then(|received| get_ignoring_case(&received.header, "X-Own"));
                expect(own == Some("own"), "the header X-Own: own", || format!("{own:?}"))?;
            }
            pass(&site, from, to, "the message after it", &message(b"after")).await?;
        }
    }
    Ok(())
}

async fn many_headers_arrive(site: Site) -> Outcome {
    let header: Metadata =
        (0..64).map(|number| (format!("X-Number-{number}"), format!("{number:>02}").repeat(26))).collect();
    let sent = Message { header, ..message(b"{}") };
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        for (from, to) in pair.ways() {
            pass(&site, from, to, "a message with 64 headers", &sent).await?;
        }
    }
    Ok(())
}
