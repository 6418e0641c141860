//! Scenario files: what they say, how they are read and printed, and what is wrong with them in words that show the place.

mod check;
mod choice;
mod distribution;
pub mod duration;
pub mod model;
mod overrides;
mod parse;
mod print;
#[cfg(test)]
mod print_tests;
mod problem;
mod reader;
mod tree;

pub use check::check;
pub use overrides::{INTERFACES, Overrides};
pub use parse::parse;
pub use print::print;
pub use problem::{Place, Problem, Problems, Severity};
