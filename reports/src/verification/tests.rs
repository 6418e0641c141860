//! The texts that people and programs read of a plugin's judgement.

use std::time::Duration;

use shaketable_sim::verification::{CheckFailure, Row, Status, VERSION, VerifyReport};

use super::{again, junit, markdown, pretty};
use crate::Palette;

fn row(id: &str, level: &str, status: Status, reason: Option<&str>) -> Row {
    let failed = !matches!(status, Status::Pass | Status::NotApplicable | Status::UnexpectedPass | Status::Unknown);
    let failure = CheckFailure {
        seed: Some(7),
        weather: Some("lossy".to_owned()),
        expected: "the nodes to be [\"user-1\"]".to_owned(),
        observed: "[] <none>".to_owned(),
        events: Vec::new(),
    };
    Row {
        id: id.to_owned(),
        level: level.to_owned(),
        sentence: format!("What {id} says | of nodes."),
        tolerance: None,
        source: "go-micro registry/registry.go".to_owned(),
        check: format!("check_{}", id.to_lowercase().replace('-', "_")),
        status,
        reason: reason.map(str::to_owned),
        checks: if status == Status::NotApplicable { 0 } else { 6 },
        failures: if failed { vec![failure] } else { Vec::new() },
        took: Duration::from_millis(1),
    }
}

fn report() -> VerifyReport {
    VerifyReport {
        version: VERSION,
        command: ["./my program", "verify", "registry", "--plugin", "mine"].map(str::to_owned).to_vec(),
        interface: "registry".to_owned(),
        plugin: "mine".to_owned(),
        world: "engine event".to_owned(),
        seeds: vec![0, 1],
        weathers: vec!["calm".to_owned(), "lossy".to_owned()],
        rows: vec![
            row("REG-001", "MUST", Status::Pass, None),
            row("REG-002", "MUST", Status::Fail, None),
            row("REG-003", "SHOULD", Status::Warn, None),
            row("REG-004", "MUST", Status::NotApplicable, Some("the plugin declares that it has no ttl")),
            row("REG-005", "MUST", Status::ExpectedFailure, Some("the backend has whole seconds")),
            row("REG-006", "MUST", Status::UnexpectedPass, Some("take it off the list")),
            row("REG-007", "MAY", Status::Noted, None),
            row("REG-008", "MUST", Status::Unknown, Some("nothing was seen")),
            row("REG-009", "MUST", Status::Error, Some("etcd is gone")),
        ],
    }
}

#[test]
fn a_terminal_shows_a_table_by_level_and_the_worst_last() {
    insta::assert_snapshot!(pretty(&report(), Duration::from_secs(2), Palette::PLAIN));
}

#[test]
fn markdown_shows_the_same() {
    insta::assert_snapshot!(markdown(&report()));
}

#[test]
fn junit_tells_what_was_skipped_and_why() {
    insta::assert_snapshot!(junit(&report()));
}

#[test]
fn the_line_that_checks_again_is_one_that_a_shell_understands() {
    let report = report();
    let row = &report.rows[1];
    assert_eq!(
        again(&report, row, &row.failures[0]),
        "'./my program' verify registry --plugin mine --only REG-002 --seed 7 --weather lossy"
    );
}
