//! The simulator: worlds, engines, faults, loads, history, oracles, the scenario language and simulated backends. It knows
//! the interfaces of the stack and the tables of plugins, and no particular plugin.

pub mod allocation;
pub mod backend;
pub mod decorate;
pub mod determinism;
pub mod engine;
pub mod history;
pub mod load;
pub mod oracle;
pub mod plan;
pub mod run;
pub mod scenario;
pub mod stand;
pub mod toxic;
pub mod trace;
pub mod verification;
pub mod world;
