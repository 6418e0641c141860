//! Worlds: where a stack stands and can be shaken.

mod fault;

pub use fault::{Capability, Fault};
