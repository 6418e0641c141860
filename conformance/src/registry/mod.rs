//! What a registry requires. It knows the interface and what a plugin promises.

mod records;
mod tools;

use crate::Requirement;

/// The requirements, module by module.
pub(crate) const REQUIREMENTS: &[&[Requirement]] = &[records::REQUIREMENTS];
