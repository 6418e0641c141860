//! As JUnit's XML, which CI systems show. What did not run is there as skipped, with the reason.

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use shaketable_sim::verification::{Row, Status, VerifyReport};

use super::{again, render_row};
use crate::Palette;

/// The report.
pub fn junit(report: &VerifyReport) -> String {
    let mut suite = TestSuite::new(format!("{} {}", report.interface, report.plugin));
    for row in &report.rows {
        suite.add_test_case(case(report, row));
    }
    let mut whole = Report::new("shaketable verify");
    whole.add_test_suite(suite);
    whole.to_string().unwrap_or_default()
}

fn case(report: &VerifyReport, row: &Row) -> TestCase {
    let mut case = TestCase::new(format!("{} {}", row.id, row.check), status(report, row));
    case.set_classname(report.interface.clone());
    case.set_time(row.took);
    case.add_property(Property::new("level", &row.level));
    case.add_property(Property::new("sentence", &row.sentence));
    if let Some(tolerance) = &row.tolerance {
        case.add_property(Property::new("allowed", tolerance));
    }
    case.add_property(Property::new("source", &row.source));
    case.add_property(Property::new("status", row.status.as_str()));
    if let Some(failure) = row.failures.first() {
        case.add_property(Property::new("again", again(report, row, failure)));
        if let Some(seed) = failure.seed {
            case.add_property(Property::new("seed", seed.to_string()));
        }
    }
    case
}

fn status(report: &VerifyReport, row: &Row) -> TestCaseStatus {
    let kind = match row.status {
        Status::Pass | Status::Noted | Status::ExpectedFailure | Status::Warn => return TestCaseStatus::success(),
        Status::NotApplicable | Status::Unknown => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(row.reason.as_deref().unwrap_or_default());
            return skipped;
        }
        Status::UnexpectedPass | Status::Fail => NonSuccessKind::Failure,
        Status::Error => NonSuccessKind::Error,
    };
    let mut failed = TestCaseStatus::non_success(kind);
    let message = match (row.failures.first(), &row.reason) {
        (Some(failure), _) => format!("expected {}; observed {}", failure.expected, failure.observed),
        (None, reason) => reason.clone().unwrap_or_default(),
    };
    failed.set_type(&row.id).set_message(message).set_description(render_row(report, row, Palette::PLAIN));
    failed
}
