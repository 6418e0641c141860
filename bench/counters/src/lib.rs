//! What work costs in numbers that do not depend on the machine: calls of the allocator, bytes on the wire, requests to a
//! backend, instructions. Each work is counted in a process of its own, with random bytes and clocks from a seed, so that it
//! comes to the same numbers every time; they are held against committed ones. It knows no work: the test target has them.

#![forbid(unsafe_code)]

mod callgrind;
mod child;
mod committed;
mod counts;
mod meter;

pub use callgrind::{instructions, is_there};
pub use child::counted;
pub use committed::{BUILD, Committed, Instructions, MEND};
pub use counts::Counts;
pub use meter::{COUNT, Meter, count_if_asked};
