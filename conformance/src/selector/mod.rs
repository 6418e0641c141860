//! What a selector requires. It knows the interface and what a plugin promises.

use crate::Requirement;

/// The requirements, module by module.
pub(crate) const REQUIREMENTS: &[&[Requirement]] = &[];
