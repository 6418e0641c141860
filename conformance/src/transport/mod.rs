//! What a transport requires. It knows the interface and what a plugin promises.

mod closing;
mod concurrency;
mod exchange;
mod faults;
mod headers;
mod leaks;
mod limits;
mod listening;
mod opening;
mod tools;
mod wire;

use crate::Requirement;

/// The requirements, module by module.
pub(crate) const REQUIREMENTS: &[&[Requirement]] = &[
    opening::REQUIREMENTS,
    listening::REQUIREMENTS,
    exchange::REQUIREMENTS,
    headers::REQUIREMENTS,
    concurrency::REQUIREMENTS,
    limits::REQUIREMENTS,
    closing::REQUIREMENTS,
    leaks::REQUIREMENTS,
    faults::REQUIREMENTS,
    wire::REQUIREMENTS,
    crate::naming::TRANSPORT,
];
