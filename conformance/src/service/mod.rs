//! What a service requires. It knows the interface and what a plugin promises.

mod hooks;
mod lifecycle;
mod running;
mod tools;

use crate::Requirement;

/// The requirements, module by module.
pub(crate) const REQUIREMENTS: &[&[Requirement]] =
    &[hooks::REQUIREMENTS, lifecycle::REQUIREMENTS, running::REQUIREMENTS, crate::naming::SERVICE];
