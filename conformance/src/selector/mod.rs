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
use crate::tolerance::InWords;

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

/// What all these checks allow for.
pub(crate) fn tolerances() -> Vec<String> {
    vec![format!(
        "What is said to be selected, or not, is looked at with {} selections at random.",
        tools::DRAWS.in_words()
    )]
}
