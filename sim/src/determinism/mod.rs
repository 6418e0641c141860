//! What makes a process a pure function of its seed: system randomness and clocks answer from the seed and from simulated
//! time while a simulation runs on this thread, and whoever opens a real socket or thread meanwhile is told so. Linux with
//! glibc; elsewhere it builds, and runs are less deterministic.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod interpose;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
#[path = "elsewhere.rs"]
mod interpose;

pub use interpose::{
    Guard, activate, effective, escapes, is_active, set_now, set_parked, set_refinement, set_wall_offset,
};

use std::time::Duration;

/// The date at which every simulated world begins: 2026-01-01T00:00:00Z, in seconds since 1970.
pub const EPOCH_S: u64 = 1_767_225_600;

/// Tells the time of the host that is executing, finer than the engine's tick.
pub type Refinement = fn() -> Option<Duration>;

/// Is told until when a thread wanted to wait, as time since the world began; without one it waits to be woken.
pub type Parked = fn(Option<Duration>);

/// What went around the `Env`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Escapes {
    /// Real sockets that were asked for.
    pub sockets: u32,
    /// Real threads that were asked for.
    pub threads: u32,
}
