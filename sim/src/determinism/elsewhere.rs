//! Where nothing can be interposed: random bytes and clocks stay the system's, and nobody notices a real socket.

use std::time::Duration;

use super::{Escapes, Refinement};

/// Ends nothing, because nothing has begun.
#[derive(Debug)]
#[must_use = "dropping the guard ends the interposition"]
pub struct Guard(());

/// Does nothing here.
pub fn activate(_seed: u64) -> Guard {
    Guard(())
}

/// Does nothing here.
pub fn set_now(_now: Duration) {}

/// Does nothing here.
pub fn set_refinement(_refinement: Refinement) {}

/// Nothing is known here.
pub fn escapes() -> Escapes {
    Escapes::default()
}

/// Interposition does not work here.
pub fn effective() -> bool {
    false
}
