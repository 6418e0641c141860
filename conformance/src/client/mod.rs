//! What a client requires. It knows the interface and what a plugin promises.

mod calls;
mod connections;
mod deadlines;
mod errors;
mod events;
mod faults;
mod leaks;
mod nodes;
mod retries;
pub(crate) mod sizes;
pub(crate) mod stage;
pub(crate) mod streams;
mod streams_end;

use crate::Requirement;

/// The requirements, module by module.
pub(crate) const REQUIREMENTS: &[&[Requirement]] = &[
    calls::REQUIREMENTS,
    errors::REQUIREMENTS,
    deadlines::REQUIREMENTS,
    retries::REQUIREMENTS,
    nodes::REQUIREMENTS,
    connections::REQUIREMENTS,
    leaks::REQUIREMENTS,
    faults::REQUIREMENTS,
    sizes::REQUIREMENTS,
    streams::REQUIREMENTS,
    streams_end::REQUIREMENTS,
    events::REQUIREMENTS,
    crate::naming::CLIENT,
];

/// What all these checks allow for.
pub(crate) fn tolerances() -> Vec<String> {
    stage::tolerances()
}
