//! Judging one plugin: which requirements apply, each checked in a world of its own, and what comes of them together. It
//! knows plugins by what they promise.

mod apply;
mod job;
mod known;
mod live;
mod pool;
mod shaken;
mod simulated;
mod source;
mod squalls;
mod verify;
mod weather;
mod withdraw;

use shaketable_sim::world::Fault;
use tokio::sync::oneshot;

use crate::Interface;
use crate::backend::Act;
use crate::site::Job as HostJob;

pub(crate) use apply::BEHIND_AN_ADAPTER;
pub use apply::{Applicability, Suite};
pub use job::{CheckJob, CheckReport, run_check_if_asked};
pub use known::{Known, KnownFailures, today};
pub use live::LiveWorld;
pub use source::{BackendMaker, BackendSource};
pub use verify::{Place, Progress, VerifyRequest, verify};
pub use weather::{ALL_WEATHERS, WEATHERS, Weather, weather};

/// The plugin under judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its interface.
    pub interface: Interface,
    /// Its name in the tables.
    pub plugin: String,
    /// Addresses of its backend, if it has one.
    pub addresses: Vec<String>,
    /// Plugins of other interfaces that are used instead of those of the reference.
    pub beside: Vec<(Interface, String)>,
}

/// What a check asks of the world's driver.
pub(crate) enum Command {
    /// Give `job` to `host`.
    Submit { host: &'static str, job: HostJob, done: oneshot::Sender<Result<(), String>> },
    /// Do a fault.
    Inflict { fault: Fault, done: oneshot::Sender<Result<(), String>> },
    /// Do something to the backend.
    Backend { act: Act, done: oneshot::Sender<Result<(), String>> },
    /// Count the backend's requests.
    Requests { done: oneshot::Sender<Result<u64, String>> },
    /// Count what the backend holds.
    Held { done: oneshot::Sender<Result<u64, String>> },
}

/// What a check has asked and the driver has not done.
#[derive(Default)]
pub(crate) struct Commands {
    queue: std::sync::Mutex<std::collections::VecDeque<Command>>,
}

impl Commands {
    pub(crate) fn push(&self, command: Command) {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push_back(command);
    }

    fn pop(&self) -> Option<Command> {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front()
    }

    fn is_empty(&self) -> bool {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty()
    }
}
