//! Simulated servers behind plugins, one module each. Each is a state machine that is told the time, and a thin server that
//! speaks the real protocol in front of it. None of them knows a plugin, a scenario or an engine.

pub mod etcd;
