//! The simulator: worlds, engines, faults, loads, history, oracles, the scenario language and simulated backends. It knows
//! the interfaces of the stack and the tables of plugins, and no particular plugin.

pub mod engine;
pub mod history;
pub mod oracle;
pub mod plan;
pub mod scenario;
pub mod world;
