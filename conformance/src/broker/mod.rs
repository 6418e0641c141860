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
mod probes;
mod promises;
mod queues;
mod tools;
mod topics;

use crate::Requirement;
use crate::tolerance::InWords;

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

/// What all these checks allow for.
pub(crate) fn tolerances() -> Vec<String> {
    let (messages, deliveries) = tools::DELIVERIES_OF;
    vec![
        format!(
            "A message arrives within {}, and where the plugin does not promise that none is lost, one of {} must.",
            tools::ARRIVES.in_words(),
            tools::ATTEMPTS.in_words()
        ),
        format!(
            "Where the plugin does not promise that none is lost, at most one of {} messages may be.",
            tools::LOST_ONE_OF.in_words()
        ),
        format!(
            "Where the plugin does not promise that none comes twice, at most {} deliveries may come of {} messages.",
            deliveries.in_words(),
            messages.in_words()
        ),
        format!(
            "A subscription is waited for before it is judged, with messages that its handler does not see, for at most {}.",
            probes::WAITED_FOR.in_words()
        ),
    ]
}
