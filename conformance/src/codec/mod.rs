//! What a codec requires. It knows the interface, the promise of a name, and no implementation.

mod carriers;
mod lifecycle;
mod malformed;
mod marshaler;
mod messages;
mod sample;
mod tools;
mod values;
mod vectors;
mod wire;

use crate::Requirement;

/// The requirements, module by module.
pub(crate) const REQUIREMENTS: &[&[Requirement]] = &[
    values::REQUIREMENTS,
    messages::REQUIREMENTS,
    carriers::REQUIREMENTS,
    malformed::REQUIREMENTS,
    marshaler::REQUIREMENTS,
    lifecycle::REQUIREMENTS,
    wire::REQUIREMENTS,
    crate::naming::CODEC,
];
