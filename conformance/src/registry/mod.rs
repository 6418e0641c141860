//! What a registry requires. It knows the interface and what a plugin promises.

mod behind;
mod changes;
mod clients;
mod concurrency;
mod deregister;
mod ear;
mod expiry;
mod faults;
mod guarantees;
mod leaks;
mod lifecycle;
mod listing;
mod names;
mod records;
mod renewal;
mod resume;
mod sizes;
mod tools;
mod watch;
mod watch_end;

use crate::Requirement;

/// The requirements, module by module.
pub(crate) const REQUIREMENTS: &[&[Requirement]] = &[
    records::REQUIREMENTS,
    changes::REQUIREMENTS,
    names::REQUIREMENTS,
    sizes::REQUIREMENTS,
    listing::REQUIREMENTS,
    deregister::REQUIREMENTS,
    expiry::REQUIREMENTS,
    renewal::REQUIREMENTS,
    watch::REQUIREMENTS,
    guarantees::REQUIREMENTS,
    watch_end::REQUIREMENTS,
    clients::REQUIREMENTS,
    concurrency::REQUIREMENTS,
    faults::REQUIREMENTS,
    resume::REQUIREMENTS,
    behind::REQUIREMENTS,
    lifecycle::REQUIREMENTS,
    leaks::REQUIREMENTS,
    crate::naming::REGISTRY,
];
