//! The common room of benches: contests, in which contenders do the same work by turns, on a known place, by clocks that a
//! simulation does not interpose. It knows no contender.

#![forbid(unsafe_code)]

mod clock;
mod contest;
mod folder;
mod place;
mod versions;

pub use clock::{Spent, spent, thread_cpu_time};
pub use contest::{Amount, Contest, Work};
pub use folder::{folder, keep_turns};
pub use place::{Kind, Placement, side_by_side};
pub use shaketable_reports::bench::Role;
