//! What a transport requires. It knows the interface and what a plugin promises.

mod calls;
mod closing;
mod concurrency;
mod exchange;
mod faults;
mod headers;
mod leaks;
mod limits;
mod listening;
mod opening;
mod peers;
mod tools;
mod wire;

use crate::Requirement;
use crate::tolerance::InWords;

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
    calls::REQUIREMENTS,
    crate::naming::TRANSPORT,
];

/// What all these checks allow for.
pub(crate) fn tolerances() -> Vec<String> {
    vec![
        format!(
            "A message, also a large one on a bad network, is sent and received within {}.",
            tools::LARGE_WITHIN.in_words()
        ),
        format!("The other end learns within {} that a connection is over.", tools::SEEN_WITHIN.in_words()),
        format!(
            "A message that need not come is waited for until {} after the one before.",
            tools::STRAGGLES_FOR.in_words()
        ),
        format!("A sender is held up that waits for {} with one message.", tools::HELD_UP_FOR.in_words()),
    ]
}
