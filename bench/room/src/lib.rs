//! What benches are made of. The common room: contests, in which contenders do the same work by turns, on a known place, by
//! clocks that a simulation does not interpose. And what engines are measured with: one load, one tonic service that every
//! contender runs, and the contenders; what of them is measured the bench targets decide, with what a [`Runner`] tells them.

#![forbid(unsafe_code)]

mod clock;
mod contender;
mod contest;
mod folder;
mod load;
mod place;
mod ratio;
mod runner;
mod service;

pub use clock::{Spent, spent};
pub use contender::Contender;
pub use contender::event::{Event, machines};
pub use contender::memory::Memory;
pub use contender::turmoil::Turmoil;
pub use contender::turmoil_net::TurmoilNet;
pub use contest::{Amount, Contest, Role, Work};
pub use folder::{folder, keep_turns};
pub use load::{LATENCY, Load, ROUND_TRIP, WARM_UP};
pub use place::{Kind, Placement, side_by_side};
pub use ratio::Ratio;
pub use runner::{Measured, Runner, measured};
