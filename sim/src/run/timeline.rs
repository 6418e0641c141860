//! The plan of a run as one list of things to do, in the order of time.

use std::time::Duration;

use crate::plan::{Plan, PlannedChurn};
use crate::world::Fault;

/// Something to do at a time.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// A phase begins.
    Phase(&'static str),
    /// Undo every fault.
    Heal,
    /// Do a fault.
    Fault(Fault),
    /// Change the membership.
    Churn(PlannedChurn),
    /// Ask hosts for their views.
    Views,
}

/// Phases come before what else is due at their first moment; the heal comes with `settle`.
pub(super) fn timeline(plan: &Plan) -> Vec<(Duration, Event)> {
    let mut events = vec![
        (Duration::ZERO, Event::Phase("warmup")),
        (plan.shake_at, Event::Phase("shake")),
        (plan.heal_at, Event::Phase("settle")),
        (plan.heal_at, Event::Heal),
    ];
    events.extend(plan.faults.iter().map(|planned| (planned.at, Event::Fault(planned.fault.clone()))));
    events.extend(plan.churn.iter().map(|planned| (planned.at, Event::Churn(planned.clone()))));
    let settle = plan.end_at.saturating_sub(plan.heal_at);
    events.extend((1..8).map(|eighth| (plan.heal_at + settle * eighth / 8, Event::Views)));
    events.sort_by_key(|(at, _)| *at);
    events
}
