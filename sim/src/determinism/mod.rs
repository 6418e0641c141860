//! What makes a process a pure function of its seed: system randomness and clocks answer from the seed and from simulated
//! time while a simulation runs on this thread, and whoever opens a real socket or thread meanwhile is told so.

pub mod interpose;

pub use interpose::{EPOCH_S, Escapes, Guard, activate, effective, escapes, set_now, set_refinement};
