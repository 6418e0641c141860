//! What a selector requires. It knows the interface and what a plugin promises.

pub(crate) mod directory;
mod endurance;
mod filters;
mod freshness;
mod lifecycle;
mod lookup;
mod marks;
mod strategies;
mod tools;

use crate::Requirement;

/// The requirements, module by module.
pub(crate) const REQUIREMENTS: &[&[Requirement]] = &[
    lookup::REQUIREMENTS,
    strategies::REQUIREMENTS,
    filters::REQUIREMENTS,
    freshness::REQUIREMENTS,
    marks::REQUIREMENTS,
    lifecycle::REQUIREMENTS,
    endurance::REQUIREMENTS,
    crate::naming::SELECTOR,
];
