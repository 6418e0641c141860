//! What is drawn before a run.

mod streams;

pub use streams::stream;
