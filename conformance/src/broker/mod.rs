//! What a broker requires. It knows the interface and what a plugin promises.

mod basics;
mod concurrency;
mod ending;
mod endurance;
mod faults;
mod handlers;
mod lifecycle;
mod means;
mod network;
mod promises;
mod queues;
mod tools;
mod topics;

use crate::Requirement;

/// The requirements, module by module.
pub(crate) const REQUIREMENTS: &[&[Requirement]] = &[
    basics::REQUIREMENTS,
    topics::REQUIREMENTS,
    queues::REQUIREMENTS,
    promises::REQUIREMENTS,
    handlers::REQUIREMENTS,
    lifecycle::REQUIREMENTS,
    ending::REQUIREMENTS,
    concurrency::REQUIREMENTS,
    endurance::REQUIREMENTS,
    faults::REQUIREMENTS,
    means::REQUIREMENTS,
    crate::naming::BROKER,
];
