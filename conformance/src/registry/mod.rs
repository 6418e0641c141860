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
use crate::tolerance::InWords;

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

/// What all these checks allow for.
pub(crate) fn tolerances() -> Vec<String> {
    vec![
        format!(
            "A change has reached every lookup, list and watcher within {}, and the expiry slack that the plugin promises.",
            tools::CHANGED_WITHIN.in_words()
        ),
        "A registration that nobody renews may be found until its TTL, the TTL granularity and the expiry slack that the plugin \
         promises, and twice the slack are over."
            .to_owned(),
        format!(
            "When a fault is over, each operation that is tried again and again works within {}, and a watch has told what it \
             must, or has ended with an error.",
            tools::RECOVERY.in_words()
        ),
        format!(
            "Where the network loses packets, or a check has done a fault, a lookup that fails is made {} times before its \
             failure counts.",
            tools::LOOKS.in_words()
        ),
    ]
}
