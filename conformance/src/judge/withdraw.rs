//! Accusations that rest on something which the plugin breaks, too: such a check has seen that other defect, perhaps nothing
//! else. It is withdrawn where that other one makes the verdict bad; it never turns into a pass.

use std::collections::{BTreeMap, BTreeSet};

use shaketable_sim::verification::{Row, Status};

use crate::by_id;

/// How a broken requirement on which an accusation rests is known, the one that says most first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Base {
    /// It fails in the same report.
    Here,
    /// Nobody has asked for it, and it was looked at all the same.
    Beside,
    /// It is a known failure, for this reason.
    Known(String),
}

/// The requirements that `rows` accuse by and nobody has asked for.
pub(super) fn unseen(rows: &[Row]) -> Vec<String> {
    let here: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let presumed: BTreeSet<&str> = rows.iter().filter(|row| accuses(row)).flat_map(|row| presumed(&row.id)).collect();
    presumed.difference(&here).map(|id| (*id).to_owned()).collect()
}

/// Says of each accusation in `rows` on what it rests, if that is broken, too: here or among those looked at `beside`.
pub(super) fn withdraw(rows: &mut [Row], beside: &[Row]) {
    let bases = |rows: &[Row], base: Base| -> Vec<(String, Base)> {
        let broken = rows.iter().filter(|row| !row.failures.is_empty());
        let base_of = |row: &Row| match row.status {
            Status::ExpectedFailure => Base::Known(row.reason.clone().unwrap_or_default()),
            _ => base.clone(),
        };
        broken.map(|row| (row.id.clone(), base_of(row))).collect()
    };
    let mut broken: BTreeMap<String, Base> = bases(rows, Base::Here).into_iter().collect();
    broken.extend(bases(beside, Base::Beside));
    for row in rows.iter_mut().filter(|row| accuses(row)) {
        let found = presumed(&row.id).filter_map(|id| broken.get(id).map(|base| (base, id))).min();
        match found {
            None => {}
            Some((Base::Here, id)) => {
                row.status = Status::NotApplicable;
                row.reason = Some(format!("it can be judged only where {id} is upheld"));
            }
            Some((Base::Beside, id)) => {
                row.reason = Some(format!("rests on {id}, which is broken too: mend that first"));
            }
            Some((Base::Known(why), id)) => {
                row.status = Status::ExpectedFailure;
                row.reason = Some(format!("rests on {id}, a known failure: {why}"));
            }
        }
    }
}

fn accuses(row: &Row) -> bool {
    matches!(row.status, Status::Fail | Status::Warn | Status::Noted)
}

fn presumed(id: &str) -> impl Iterator<Item = &'static str> + use<> {
    by_id(id).into_iter().flat_map(|(_, requirement)| requirement.presumed())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shaketable_sim::verification::{CheckFailure, Row, Status};

    use super::{unseen, withdraw};
    use crate::by_id;

    fn row(id: &str, status: Status) -> Row {
        let (_, requirement) = by_id(id).unwrap();
        let failure = CheckFailure {
            seed: None,
            weather: None,
            expected: "one".to_owned(),
            observed: "two".to_owned(),
            events: Vec::new(),
        };
        Row {
            id: id.to_owned(),
            level: requirement.level.to_string(),
            sentence: requirement.sentence.to_owned(),
            source: requirement.source.to_owned(),
            check: requirement.check.name().to_owned(),
            status,
            reason: (status == Status::ExpectedFailure).then(|| "no watch (GH-7)".to_owned()),
            checks: 1,
            failures: if status == Status::Pass { Vec::new() } else { vec![failure] },
            tolerance: None,
            took: Duration::ZERO,
        }
    }

    /// What becomes of REG-061, which rests on REG-068.
    fn check(base: Option<Status>, is_asked_for: bool, status: Status, reason: Option<&str>) {
        let mut rows = vec![row("REG-061", Status::Fail)];
        let base: Vec<Row> = base.into_iter().map(|status| row("REG-068", status)).collect();
        let beside = if is_asked_for { Vec::new() } else { base.clone() };
        if is_asked_for {
            rows.extend(base);
        }
        assert_eq!(unseen(&rows), if is_asked_for { vec![] } else { vec!["REG-068".to_owned()] });
        withdraw(&mut rows, &beside);
        assert_eq!((rows[0].status, rows[0].reason.as_deref()), (status, reason));
    }

    #[test]
    fn an_accusation_that_rests_on_a_broken_one_is_withdrawn_only_beside_it() {
        check(Some(Status::Pass), true, Status::Fail, None);
        check(Some(Status::Pass), false, Status::Fail, None);
        let withdrawn = "it can be judged only where REG-068 is upheld";
        check(Some(Status::Fail), true, Status::NotApplicable, Some(withdrawn));
        let rests = "rests on REG-068, which is broken too: mend that first";
        check(Some(Status::Fail), false, Status::Fail, Some(rests));
        let known = "rests on REG-068, a known failure: no watch (GH-7)";
        check(Some(Status::ExpectedFailure), true, Status::ExpectedFailure, Some(known));
        check(Some(Status::ExpectedFailure), false, Status::ExpectedFailure, Some(known));
    }
}
