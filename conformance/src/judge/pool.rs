//! What the checks of one requirement say together, over seeds and weathers. The only place where a plugin's verdict is
//! made.

use std::time::Duration;

use shaketable_sim::verification::{CheckFailure, Row, Status};

use super::apply::Applicability;
use super::job::CheckReport;
use super::known::Known;
use crate::{Finding, Level, Requirement};

/// One check that was made.
pub(super) struct Made {
    pub(super) seed: Option<u64>,
    pub(super) weather: Option<String>,
    pub(super) report: CheckReport,
    /// Real time.
    pub(super) took: Duration,
}

/// What is judged by.
pub(super) struct Rules<'a> {
    /// A SHOULD counts as a MUST.
    pub(super) strict: bool,
    /// Today, as in `2026-11-21`.
    pub(super) today: &'a str,
}

/// Whether this check alone makes the verdict bad.
pub(super) fn is_bad(requirement: &Requirement, made: &Made, known: Option<&Known>, rules: &Rules<'_>) -> bool {
    match &made.report.finding {
        None | Some(Finding::Unknown(_) | Finding::NotApplicable(_)) => false,
        Some(Finding::Broke(_)) => true,
        Some(Finding::Violated { .. }) => judge(requirement, true, None, known, rules).0 == Status::Fail,
    }
}

/// The row of `requirement`.
pub(super) fn row(
    requirement: &Requirement,
    applicability: &Applicability,
    made: Vec<Made>,
    known: Option<&Known>,
    rules: &Rules<'_>,
) -> Row {
    let checks = made.len() as u64;
    let took = made.iter().map(|made| made.took).sum();
    let (mut failures, mut unknown, mut absent, mut broken) = (Vec::new(), None, None, None);
    for made in made {
        let Some(finding) = made.report.finding else { continue };
        let (expected, observed) = match finding {
            Finding::Violated { expected, observed } => (expected, observed),
            Finding::Unknown(why) => {
                unknown.get_or_insert(why);
                continue;
            }
            Finding::NotApplicable(why) => {
                absent.get_or_insert(why);
                continue;
            }
            Finding::Broke(why) => {
                broken.get_or_insert_with(|| why.clone());
                ("a world that works".to_owned(), why)
            }
        };
        let (seed, weather, events) = (made.seed, made.weather, made.report.events);
        failures.push(CheckFailure { seed, weather, expected, observed, events });
    }
    let (status, reason) = match applicability {
        Applicability::Not(why) => match known {
            Some(known) => stale(known, rules, &format!("not applicable: {why}")),
            None => (Status::NotApplicable, Some(why.clone())),
        },
        Applicability::Applies if broken.is_some() => (Status::Error, broken),
        Applicability::Applies if absent.is_some() && failures.is_empty() => (Status::NotApplicable, absent),
        Applicability::Applies => judge(requirement, !failures.is_empty(), unknown, known, rules),
    };
    Row {
        id: requirement.id.to_owned(),
        level: requirement.level.to_string(),
        sentence: requirement.sentence.to_owned(),
        tolerance: requirement.tolerance(),
        source: requirement.source.to_owned(),
        check: requirement.check.name().to_owned(),
        status,
        reason,
        checks,
        failures,
        took,
    }
}

fn judge(
    requirement: &Requirement,
    failed: bool,
    unknown: Option<String>,
    known: Option<&Known>,
    rules: &Rules<'_>,
) -> (Status, Option<String>) {
    match (failed, known) {
        (true, Some(known)) if known.has_expired(rules.today) => {
            (Status::Fail, Some(format!("known until {}, which has passed: {}", known.until, known.in_words())))
        }
        (true, Some(known)) => (Status::ExpectedFailure, Some(known.in_words())),
        (true, None) => match requirement.level {
            Level::Must => (Status::Fail, None),
            Level::Should if rules.strict => (Status::Fail, Some("a SHOULD, judged strictly".to_owned())),
            Level::Should => (Status::Warn, None),
            Level::May => (Status::Noted, None),
        },
        (false, _) if unknown.is_some() => (Status::Unknown, unknown),
        (false, Some(known)) => stale(known, rules, "upheld"),
        (false, None) => (Status::Pass, None),
    }
}

/// What is listed as a known failure and is none.
fn stale(known: &Known, rules: &Rules<'_>, what_it_is: &str) -> (Status, Option<String>) {
    let passed = if known.has_expired(rules.today) {
        format!(" until {}, which has passed", known.until)
    } else {
        String::new()
    };
    let reason =
        format!("listed as a known failure{passed}: {}; it is {what_it_is}; take it off the list", known.in_words());
    (Status::UnexpectedPass, Some(reason))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shaketable_sim::verification::Status;

    use super::{Made, Rules, row};
    use crate::judge::{Applicability, CheckReport, KnownFailures};
    use crate::{Finding, Level, Requirement, by_id};

    fn made(findings: &[Option<Finding>]) -> Vec<Made> {
        let one = |(seed, finding): (usize, &Option<Finding>)| Made {
            seed: Some(seed as u64),
            weather: Some("calm".to_owned()),
            report: CheckReport { finding: finding.clone(), events: Vec::new(), took: Duration::ZERO },
            took: Duration::from_millis(1),
        };
        findings.iter().enumerate().map(one).collect()
    }

    #[test]
    fn every_status_comes_of_what_it_should() {
        let (_, requirement) = by_id("REG-001").unwrap();
        let known = KnownFailures::parse(
            "known.yaml",
            "known_failures:\n  - id: REG-001\n    reason: so\n    issue: GH-7\n    until: 2026-06-30\n",
        )
        .unwrap();
        let known = known.get("REG-001");
        let bad = || Some(Finding::violated("one", "two"));
        let unsure = || Some(Finding::Unknown("nothing was seen".to_owned()));
        let broke = || Some(Finding::Broke("etcd is gone".to_owned()));
        let untold = || Some(Finding::NotApplicable("nobody counts".to_owned()));
        let may = Requirement { level: Level::May, ..*requirement };
        let should = Requirement { level: Level::Should, ..*requirement };
        let (applies, before, after) = (Applicability::Applies, "2026-06-30", "2026-07-01");
        type Case<'a> = (&'a Requirement, &'a [Option<Finding>], bool, bool, &'a str, Status);
        let cases: [Case<'_>; 15] = [
            (requirement, &[None, None], false, false, before, Status::Pass),
            (requirement, &[None, bad()], false, false, before, Status::Fail),
            (&should, &[bad()], false, false, before, Status::Warn),
            (&should, &[bad()], false, true, before, Status::Fail),
            (&may, &[bad()], false, true, before, Status::Noted),
            (requirement, &[None, bad()], true, false, before, Status::ExpectedFailure),
            (requirement, &[None, bad()], true, false, after, Status::Fail),
            (requirement, &[None, None], true, false, before, Status::UnexpectedPass),
            (requirement, &[None, unsure()], false, false, before, Status::Unknown),
            (requirement, &[bad(), unsure()], false, false, before, Status::Fail),
            (requirement, &[None, unsure()], true, false, before, Status::Unknown),
            (requirement, &[untold()], false, false, before, Status::NotApplicable),
            (requirement, &[untold(), bad()], false, false, before, Status::Fail),
            (requirement, &[broke(), bad()], false, false, before, Status::Error),
            (requirement, &[broke()], true, false, before, Status::Error),
        ];
        for (index, (requirement, findings, is_known, strict, today, status)) in cases.into_iter().enumerate() {
            let rules = Rules { strict, today };
            let row = row(requirement, &applies, made(findings), known.filter(|_| is_known), &rules);
            assert_eq!(row.status, status, "case {index}");
            assert_eq!(row.checks, findings.len() as u64);
        }
        let not = Applicability::Not("no backend".to_owned());
        let absent = row(requirement, &not, Vec::new(), None, &Rules { strict: false, today: before });
        assert_eq!((absent.status, absent.reason.as_deref()), (Status::NotApplicable, Some("no backend")));
        for (today, told) in [
            (before, "listed as a known failure: so (GH-7); it is not applicable: no backend; take it off the list"),
            (after, "listed as a known failure until 2026-06-30, which has passed: so (GH-7); it is not applicable"),
        ] {
            let listed = row(requirement, &not, Vec::new(), known, &Rules { strict: false, today });
            assert_eq!(listed.status, Status::UnexpectedPass);
            assert!(listed.reason.as_deref().is_some_and(|reason| reason.starts_with(told)), "{:?}", listed.reason);
        }
    }
}
