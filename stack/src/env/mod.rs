//! The one value through which a component reaches the outside: network, clocks, randomness, tasks, its own identity and
//! the state that it may share with others. It does not know which world stands behind it.

mod clock;
mod namespace;
mod network;
pub mod os;
mod random;
mod spawn;
#[cfg(test)]
pub(crate) mod testing;

use std::net::IpAddr;
use std::sync::Arc;

pub use clock::{Clock, Elapsed, Instant, Sleep, Timeout};
pub use namespace::Namespace;
pub use network::{Datagram, Io, Listener, Network, Stream, split_host_port};
pub use random::{Random, RandomSource};
pub use spawn::{BoxTask, Executor, LiveTasks, Spawner, Task};

/// Everything that a component may reach. Cheap to clone; every factory of a component receives one.
#[derive(Clone, Debug)]
pub struct Env {
    parts: Arc<EnvParts>,
}

/// What a world supplies to make an [`Env`].
#[derive(Debug)]
pub struct EnvParts {
    /// Connections, listeners, datagrams and names.
    pub network: Arc<dyn Network>,
    /// Wall and monotonic time, and waiting.
    pub clock: Arc<dyn Clock>,
    /// Named random streams.
    pub random: Arc<dyn RandomSource>,
    /// The right to start tasks, all of them owned by the host.
    pub spawner: Arc<dyn Spawner>,
    /// Who is running.
    pub host: HostIdentity,
    /// What components of one world share, such as the state of a `memory` plugin.
    pub namespace: Namespace,
}

/// The host that a component runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostIdentity {
    /// A name that the world's name lookup knows.
    pub name: String,
    /// The address that other hosts reach this one by.
    pub address: IpAddr,
    /// How many times this host has been started, counted from 0; a restart makes a new incarnation.
    pub incarnation: u32,
}

impl Env {
    /// Makes an environment out of what a world supplies.
    pub fn new(parts: EnvParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Connections, listeners, datagrams and names.
    pub fn network(&self) -> &Arc<dyn Network> {
        &self.parts.network
    }

    /// Wall and monotonic time, and waiting.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.parts.clock
    }

    /// The same environment by another clock.
    #[must_use]
    pub fn with_clock(&self, clock: Arc<dyn Clock>) -> Self {
        let parts = &self.parts;
        Self::new(EnvParts {
            network: parts.network.clone(),
            clock,
            random: parts.random.clone(),
            spawner: parts.spawner.clone(),
            host: parts.host.clone(),
            namespace: parts.namespace.clone(),
        })
    }

    /// Opens the random stream `name`. Each opening on one host draws numbers of its own, so two components that ask for
    /// the same name do not move in step, and a component that is removed moves nothing else.
    pub fn random(&self, name: &str) -> Random {
        self.parts.random.stream(name)
    }

    /// Starts a task that the host owns: it ends when the host crashes, and when the returned [`Task`] is dropped.
    #[must_use = "dropping the task ends it"]
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Task {
        self.parts.spawner.spawn(name, Box::pin(task))
    }

    /// An executor for libraries that spawn by themselves (hyper, h2, tonic); their tasks belong to the host as well and
    /// are counted under `name`.
    pub fn executor(&self, name: &'static str) -> Executor {
        Executor::new(name, self.parts.spawner.clone())
    }

    /// How many tasks of this host are alive, by name; for leak checks.
    pub fn live_tasks(&self) -> Arc<LiveTasks> {
        self.parts.spawner.live()
    }

    /// The host that this component runs on.
    pub fn host(&self) -> &HostIdentity {
        &self.parts.host
    }

    /// What the components of one world share.
    pub fn namespace(&self) -> &Namespace {
        &self.parts.namespace
    }

    /// Monotonic time; short for `clock().now()`.
    pub fn now(&self) -> Instant {
        self.parts.clock.now()
    }

    /// Waits for `duration` of monotonic time.
    pub fn sleep(&self, duration: std::time::Duration) -> Sleep {
        self.parts.clock.sleep_until(self.now() + duration)
    }

    /// Waits for `future`, at most until `deadline`.
    ///
    /// # Errors
    /// [`Elapsed`] when the deadline passes first; the future is dropped then.
    pub fn timeout_at<F: Future>(&self, deadline: Instant, future: F) -> Timeout<'_, F> {
        Timeout::new(&*self.parts.clock, deadline, future)
    }

    /// Waits for `future`, at most for `duration`.
    ///
    /// # Errors
    /// [`Elapsed`] when the time passes first; the future is dropped then.
    pub fn timeout<F: Future>(&self, duration: std::time::Duration, future: F) -> Timeout<'_, F> {
        self.timeout_at(self.now() + duration, future)
    }

    /// The same environment with another clock, network, spawner, ...: worlds use it to decorate one part.
    pub fn with(&self, change: impl FnOnce(&mut EnvParts)) -> Self {
        let mut parts = EnvParts {
            network: self.parts.network.clone(),
            clock: self.parts.clock.clone(),
            random: self.parts.random.clone(),
            spawner: self.parts.spawner.clone(),
            host: self.parts.host.clone(),
            namespace: self.parts.namespace.clone(),
        };
        change(&mut parts);
        Self::new(parts)
    }
}
