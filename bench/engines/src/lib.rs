//! What engines are measured with: one load, one tonic service that every contender runs, and the contenders. Nothing here
//! measures; the bench targets do, with what a [`Runner`] tells them.

#![forbid(unsafe_code)]

mod contender;
mod load;
mod runner;
mod service;

pub use contender::Contender;
pub use contender::event::{Event, machines};
pub use contender::memory::Memory;
pub use contender::turmoil::Turmoil;
pub use contender::turmoil_net::TurmoilNet;
pub use load::{LATENCY, Load, ROUND_TRIP, WARM_UP};
pub use runner::{Measured, Runner, measured};
