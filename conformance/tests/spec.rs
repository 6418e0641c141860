//! The specification in `conformance/spec` is what the requirements say, and there are as many of them as were promised.

use std::path::PathBuf;

use shaketable_conformance::{Interface, requirements, spec};

#[test]
fn the_written_specification_is_what_the_requirements_say() {
    for interface in Interface::ALL {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("spec").join(format!("{interface}.md"));
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(written == spec::markdown(interface), "{} is not true any more: run cargo xtask spec", file.display());
    }
}

#[test]
fn every_interface_has_its_requirements() {
    for (interface, floor) in [
        (Interface::Transport, 30),
        (Interface::Codec, 25),
        (Interface::Registry, 40),
        (Interface::Selector, 25),
        (Interface::Broker, 35),
        (Interface::Client, 30),
        (Interface::Server, 25),
        (Interface::Service, 15),
    ] {
        let count = requirements(interface).len();
        assert!(count >= floor, "{interface} has {count} requirements, not {floor}");
    }
}

/// The issues and pull requests that this suite was written from; those with short numbers in the words of whoever names them.
const DEFECTS: [&str; 86] = [
    "2821",
    "2822",
    "2823",
    "2841",
    "issue 127",
    "820",
    "2959",
    "questions issue 5",
    "1911",
    "244",
    "2805",
    "793",
    "2743",
    "2794",
    "2600",
    "2517",
    "1991",
    "631",
    "634",
    "383",
    "427",
    "115",
    "194",
    "and 9 ",
    "2173",
    "2072",
    "1771",
    "2736",
    "2740",
    "116",
    "323",
    "issues 87",
    "97",
    "1209",
    "555",
    "2687",
    "2694",
    "2702",
    "277",
    "1058",
    "request 85",
    "311",
    "314",
    "940",
    "980",
    "1199",
    "821",
    "423",
    "419",
    "2374",
    "2436",
    "2441",
    "2744",
    "issue 111",
    "655",
    "467",
    "476",
    "183",
    "go-grpc issue 5",
    "884",
    "2693",
    "2716",
    "issues 84",
    "205",
    "plugins pull request 18",
    "218",
    "114",
    "2317",
    "issue 91",
    "2137",
    "requests 85",
    "1597",
    "163",
    "483",
    "1066",
    "2144",
    "2738",
    "941",
    "2845",
    "plugins pull request 145",
    "2785",
    "275",
    "go-grpc issue 13",
    "355",
    "448",
    "540",
];

/// The defects of go-micro that nobody has reported, with the words by which each part of them is named here.
const UNREPORTED: [(&str, &[&str]); 23] = [
    ("X1: the id of a connection's first request", &["Micro-ID", "2nd pipelined request"]),
    ("X2: an answer over h2c is lost", &["h2c half-close"]),
    ("X3: subscribers are added again", &["each heartbeat adds"]),
    ("X4: a check that fails", &["RegisterCheck"]),
    ("X5: one selector for all", &["DefaultSelector"]),
    ("X6: a miss is remembered", &["MinimumRetryInterval"]),
    ("X7: a result in pooled memory", &["pooled memory"]),
    ("X8: an empty message", &["no frame is written for an empty message"]),
    ("X9: the memory broker", &["ignores the queue", "AutoAck comes out false"]),
    (
        "X10: the memory registry",
        &[
            "tells it as an update",
            "a node that is known is not stored again",
            "expiry removes the node without an event",
            "a service with zero nodes",
            "another value of the same text",
            "the prune goroutine",
        ],
    ),
    (
        "X11: the memory transport",
        &["Recv blocks for ever after Close", "stays unusable after its listener was closed"],
    ),
    ("X12: a queue within one process", &["delivers twice in one process"]),
    ("X13: a content type that nobody knows", &["200 text/plain without Micro-Error"]),
    ("X14: a broker that drains", &["DrainConnection"]),
    ("X15: the etcd registry", &["a hash of the node alone", "with nothing between them", "int64(TTL.Seconds())"]),
    ("X16: the consul registry", &["a foreign tag panics", "the change cache is kept by name"]),
    ("X17: the http client", &["with Retries=0 it calls nobody", "never its status"]),
    ("X18: a server that cannot answer", &["jsonrpc2"]),
    ("X19: a stop that does not wait", &["wait reads a key that server/options.go does not set"]),
    ("X20: encryption without a configuration", &["Secure without TLSConfig"]),
    ("X21: messages that nobody acknowledges", &["no-ack"]),
    ("X22: registrations that outlive their owner", &["persistent nodes"]),
    ("X23: connections that are not found again", &["a host name is never found again"]),
];

#[test]
fn every_defect_that_the_suite_was_written_from_is_a_source_or_is_said_not_to_be_judged() {
    let requirements = Interface::ALL.into_iter().flat_map(requirements);
    let mut said: Vec<&str> = requirements.map(|requirement| requirement.source).collect();
    said.push(include_str!("../spec/not-judged.md"));
    let names = |text: &str, defect: &str| {
        text.match_indices(defect).any(|(at, _)| {
            let is_digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
            let before = text[..at].chars().next_back();
            !is_digit(before) && !is_digit(text[at + defect.len()..].chars().next())
        })
    };
    let mut missing: Vec<&str> =
        DEFECTS.into_iter().filter(|defect| !said.iter().any(|text| names(text, defect))).collect();
    for (defect, parts) in UNREPORTED {
        let is_missing = |part: &&&str| !said.iter().any(|text| text.contains(**part));
        missing.extend(parts.iter().filter(is_missing).flat_map(|part| [defect, *part]));
    }
    assert!(missing.is_empty(), "neither the source of a requirement nor in spec/not-judged.md: {missing:?}");
}

#[test]
fn programs_read_the_same_requirements() {
    let read: serde_json::Value = serde_json::from_str(&spec::json(&Interface::ALL)).unwrap();
    for interface in Interface::ALL {
        let count = read[interface.as_str()].as_array().map_or(0, Vec::len);
        assert_eq!(count, requirements(interface).len(), "{interface}");
    }
}
