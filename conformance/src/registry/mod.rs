//! What a registry requires. It knows the interface and what a plugin promises.

mod changes;
mod deregister;
mod ear;
mod expiry;
mod listing;
mod names;
mod records;
mod renewal;
mod sizes;
mod tools;

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
];
