//! Contenders: ways to let time pass for the hosts of a load. Each is written as its own users write it; only the service and
//! its client are shared.

pub(crate) mod event;
pub(crate) mod memory;
pub(crate) mod turmoil;
pub(crate) mod turmoil_net;

use std::time::Duration;

use crate::load::Load;

/// Something that runs a load in simulated time.
pub trait Contender: 'static {
    /// The hosts of `load`, at their beginning.
    fn new(load: Load) -> Self;

    /// Lets `span` of simulated time pass.
    fn advance(&mut self, span: Duration);

    /// Calls that have ended since the beginning.
    fn calls(&self) -> u64;
}
