//! Where nothing can be interposed: random bytes and clocks stay the system's, and nobody notices a real socket.

use std::time::Duration;

use super::{Escapes, Parked, Refinement};

/// Ends nothing, because nothing has begun.
#[derive(Debug)]
#[must_use = "dropping the guard ends the interposition"]
pub struct Guard(());

/// Does nothing here.
pub fn activate(_seed: u64) -> Guard {
    Guard(())
}

/// It never is, here.
pub fn is_active() -> bool {
    false
}

/// Does nothing here.
pub fn set_now(_now: Duration) {}

/// Does nothing here.
pub fn set_refinement(_refinement: Option<Refinement>) {}

/// Does nothing here.
pub fn set_wall_offset(_offset_ns: i64) {}

/// Does nothing here.
pub fn set_parked(_parked: Option<Parked>) {}

/// Nothing is known here.
pub fn escapes() -> Escapes {
    Escapes::default()
}

/// Interposition does not work here.
pub fn effective() -> bool {
    false
}
