//! What a plugin author depends on: the interfaces to implement, the `Env` through which a plugin reaches the outside,
//! the tables of plugins, and [`Shake`], which makes a `harness = false` test out of scenario files. It re-exports; the
//! rooms are
//! `stack`, `sim` and `reports`. No command-line, HTTP-framework, container or broker crate comes with it.
//!
//! A test target that shakes a registry of one's own:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use shaketable::plugin::{Promises, ready};
//! use shaketable::registry::{Registry, RegistryOptions, memory::Memory};
//!
//! fn main() -> ExitCode {
//!     shaketable::Shake::new()
//!         .registry("mine", Promises { shared_state: true, ..Promises::default() }, |env, _settings| {
//!             // Here stands a registry of your own.
//!             ready(Arc::new(Memory::new(env, RegistryOptions::default())) as Arc<dyn Registry>)
//!         })
//!         .scenario_files(&["tests/churn.yaml"])
//!         .seeds(3)
//!         .main()
//! }
//! ```

#![forbid(unsafe_code)]

mod conformance;
mod harness;
mod shake;

pub use conformance::Conformance;
pub use shake::Shake;
#[cfg(feature = "cli")]
pub use shaketable_command::Cli;
pub use shaketable_conformance as requirements;
pub use shaketable_conformance::backend;
pub use shaketable_reports as reports;
pub use shaketable_sim::{allocation, engine, history, oracle, run, scenario, world};
pub use shaketable_stack::{
    Env, Error, ErrorKind, Result, broker, client, codec, env, error, metadata, plugin, registry, selector, server,
    service, transport,
};
