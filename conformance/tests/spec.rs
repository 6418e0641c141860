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

#[test]
fn programs_read_the_same_requirements() {
    let read: serde_json::Value = serde_json::from_str(&spec::json(&Interface::ALL)).unwrap();
    for interface in Interface::ALL {
        let count = read[interface.as_str()].as_array().map_or(0, Vec::len);
        assert_eq!(count, requirements(interface).len(), "{interface}");
    }
}
