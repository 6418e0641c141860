//! Servers behind plugins. The simulated ones have a module each, all behind one trait: each is a state machine that is told
//! the time, and a thin server that speaks the real protocol in front of it. Real ones come from outside, behind another trait.
//! None of them knows a plugin, a scenario or an engine.

pub mod etcd;
mod live;
mod services;
mod shared;
mod simulated_cluster;
mod simulated_etcd;

use std::fmt;
use std::sync::Arc;

pub use live::{LiveBackend, LiveBackends};
pub use services::{Entry, EntryListener, LiveService, LiveServices, ServiceOrder};
pub use shared::Shared;
pub use simulated_cluster::SimulatedEtcdCluster;
pub use simulated_etcd::SimulatedEtcd;

use crate::history::{Moment, Truth};
use crate::world::Program;

/// A backend of a simulated world.
pub trait SimulatedBackend: Send + Sync + fmt::Debug {
    /// What plugins call it, such as `etcd`; also the name of its host.
    fn kind(&self) -> &'static str;

    /// Where plugins reach it; none when its state lives in the world's namespace.
    fn address(&self) -> Option<String>;

    /// What its host runs; each start after the first is a restart that keeps the data.
    fn program(&self) -> Option<Program>;

    /// The hosts that it is, by name, each with its program: one of its kind's name, where it has a program at all. A cluster
    /// has several, and no program of its own.
    fn hosts(&self) -> Vec<(String, Program)> {
        self.program().map(|program| (self.kind().to_owned(), program)).into_iter().collect()
    }

    /// Every place where plugins reach it.
    fn addresses(&self) -> Vec<String> {
        self.address().into_iter().collect()
    }

    /// The host that leads the others, if any does at present.
    fn leader(&self) -> Option<String> {
        None
    }

    /// Restarts it; one that has a host restarts with that instead.
    fn restart(&self, now: Moment) {
        let _ = now;
    }

    /// Its host, which is that of all of it, stands still from now on, or goes on; its clock goes on all the time. One whose
    /// members have hosts of their own needs not be told.
    fn stand_still(&self, now: Moment, still: bool) {
        let _ = (now, still);
    }

    /// Takes what truly happened since the last call, in order.
    fn take_truths(&self, now: Moment) -> Vec<(Moment, Truth)>;

    /// Loses the leases of the registrations whose keys name one of `nodes`, and with them whatever else hangs on these.
    /// Answers how many leases it lost.
    fn lose(&self, now: Moment, nodes: &[String]) -> usize;

    /// Deletes the registrations whose keys name one of `nodes`, as somebody else might; leases stay. Answers how many it
    /// deleted.
    fn delete(&self, now: Moment, nodes: &[String]) -> usize {
        self.lose(now, nodes)
    }

    /// Another program writes `values` beside each entry whose key names `node`, and a copy of the entry elsewhere. What keeps
    /// no entries of others cannot.
    fn litter(&self, now: Moment, node: &str, values: &[String]) {
        let _ = (now, node, values);
    }

    /// Forgets what its entries were; what keeps no history has none to forget.
    fn compact(&self, now: Moment) {
        let _ = now;
    }

    /// How many requests clients have made, each message of a stream being one; none where nothing counts them.
    fn requests(&self) -> Option<u64> {
        None
    }

    /// How many entries and leases there are; none where nothing counts them.
    fn held(&self) -> Option<u64> {
        None
    }
}

/// The simulated backend of `kind`, with what it leaves open decided by `seed`.
pub fn simulated(kind: &str, seed: u64) -> Option<Arc<dyn SimulatedBackend>> {
    match kind {
        SimulatedEtcd::KIND => Some(Arc::new(SimulatedEtcd::new(seed))),
        _ => None,
    }
}

/// The same with so many members, each a host called `<kind>-<number>`; none where that kind has no clusters.
pub fn simulated_cluster(kind: &str, seed: u64, members: u32) -> Option<Arc<dyn SimulatedBackend>> {
    match (kind, members) {
        (kind, 1) => simulated(kind, seed),
        (SimulatedEtcd::KIND, 2..) => Some(Arc::new(SimulatedEtcdCluster::new(seed, members))),
        _ => None,
    }
}

/// The kinds of which there are clusters.
pub const CLUSTERED: [&str; 1] = [SimulatedEtcd::KIND];

/// The kinds of backend that can be simulated.
pub const KINDS: [&str; 1] = [SimulatedEtcd::KIND];
