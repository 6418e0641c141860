//! What was started ends with whoever started it, be it by kill -9, and what is left behind all the same is found: processes,
//! containers, networks, volumes, files. It knows neither servers nor adapters, nor why anything was started.

pub mod directory;
pub mod engine;
pub mod group;
pub mod guard;
pub mod left;
pub mod mark;
