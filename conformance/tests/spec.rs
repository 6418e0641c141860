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
const DEFECTS: [&str; 91] = [
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
    "Micro-ID",
    "DrainConnection",
    "DefaultSelector",
    "persistent",
    "no-ack",
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
    let missing: Vec<&str> =
        DEFECTS.into_iter().filter(|defect| !said.iter().any(|text| names(text, defect))).collect();
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
