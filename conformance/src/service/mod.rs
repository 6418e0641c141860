//! What a service requires. It knows the interface and what a plugin promises.

mod hooks;
mod lifecycle;
mod running;
mod tools;

use crate::Requirement;
use crate::tolerance::InWords;

/// The requirements, module by module.
pub(crate) const REQUIREMENTS: &[&[Requirement]] =
    &[hooks::REQUIREMENTS, lifecycle::REQUIREMENTS, running::REQUIREMENTS, crate::naming::SERVICE];

/// What all these checks allow for.
pub(crate) fn tolerances() -> Vec<String> {
    let mut all = crate::client::stage::tolerances();
    all.push(format!(
        "The registry shows within {} that a service was started or stopped.",
        tools::SHOWN_WITHIN.in_words()
    ));
    all
}
