//! What a server requires. It knows the interface and what a plugin promises.

mod errors;
mod events;
mod events_apart;
mod handlers;
pub(crate) mod leaks;
mod lifecycle;
mod record;
mod registration;
mod renewal;
mod requests;
mod sizes;
mod streams;
pub(crate) mod tools;

use crate::Requirement;

/// The requirements, module by module.
pub(crate) const REQUIREMENTS: &[&[Requirement]] = &[
    requests::REQUIREMENTS,
    sizes::REQUIREMENTS,
    errors::REQUIREMENTS,
    handlers::REQUIREMENTS,
    record::REQUIREMENTS,
    registration::REQUIREMENTS,
    renewal::REQUIREMENTS,
    lifecycle::REQUIREMENTS,
    leaks::REQUIREMENTS,
    streams::REQUIREMENTS,
    events::REQUIREMENTS,
    events_apart::REQUIREMENTS,
    crate::naming::SERVER,
];

/// What all these checks allow for.
pub(crate) fn tolerances() -> Vec<String> {
    crate::client::stage::tolerances()
}
