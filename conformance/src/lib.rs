//! The conformance suite: what each of the eight interfaces requires, as numbered sentences with their checks beside them,
//! and what judges a plugin by them. It knows interfaces, promises and worlds, and no particular plugin.

#![forbid(unsafe_code)]

pub mod backend;
pub mod broker;
pub mod client;
pub mod codec;
mod finding;
mod interface;
pub mod judge;
mod naming;
pub mod registry;
mod remote;
mod requirement;
pub mod selector;
pub mod server;
pub mod service;
mod site;
mod sizes;
pub mod spec;
#[cfg(feature = "subject")]
pub mod subject;
mod tolerance;
pub mod transport;

pub use finding::{Finding, Outcome, expect, expect_equal};
pub use interface::Interface;
pub use requirement::{Check, Level, Need, Requirement, by_id, requirements};
pub use site::{Host, Parts, Site, Spare, TaskCount, Usage};
