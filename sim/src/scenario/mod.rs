//! Scenario files: what they say, how they are read and printed, and what is wrong with them in words that show the place.

mod choice;
pub mod duration;
pub mod model;
