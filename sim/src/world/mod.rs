//! Worlds: where a stack stands and can be shaken. Scenarios and conformance checks drive a world from outside through one
//! trait: add hosts, let time pass, do faults, ask hosts to do something, wait until something holds. Nothing here knows
//! whether time is simulated: a live world waits where a simulated one computes.

mod error;
mod fault;
mod link;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shaketable_stack::Env;

use crate::engine::EngineInfo;
use crate::history::{Moment, Recorder};

pub use error::WorldError;
pub use fault::{Capability, Fault};
pub use link::{Distribution, LinkQuality};

/// What a host runs, from each of its starts; it ends when it returns or the host dies.
pub type Program = Arc<dyn Fn(Env) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Something that a running host is asked to do beside its program.
pub type Job = Box<dyn FnOnce(Env) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A host to add.
#[derive(Clone)]
pub struct HostSpec {
    /// Its name, which the world's name lookup knows from then on.
    pub name: String,
    /// What it runs.
    pub program: Program,
}

/// A place where a stack stands and can be shaken.
pub trait World {
    /// What carries this world, and what it can do.
    fn engine(&self) -> &EngineInfo;

    /// Adds a host and starts it.
    ///
    /// # Errors
    /// When there is one of that name.
    fn add_host(&mut self, host: HostSpec) -> Result<(), WorldError>;

    /// Time since the world began.
    fn now(&self) -> Moment;

    /// Lets time pass until `until`.
    ///
    /// # Errors
    /// When the engine broke, or a program panicked.
    fn advance(&mut self, until: Moment) -> Result<(), WorldError> {
        self.advance_while(until, &|| true)
    }

    /// Lets time pass until `until`, or until a moment at which `go_on` says no: whoever drives the world learns at once
    /// that one of its hosts wants something.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    fn advance_while(&mut self, until: Moment, go_on: &dyn Fn() -> bool) -> Result<(), WorldError>;

    /// Does a fault now. A fault that changes nothing (a crash of a crashed host) is none.
    ///
    /// # Errors
    /// When the engine cannot do it, or a host is not known.
    fn inflict(&mut self, fault: &Fault) -> Result<(), WorldError>;

    /// Undoes every fault: starts crashed hosts, mends links, releases what is held.
    fn heal(&mut self) -> Result<(), WorldError>;

    /// Gives `job` to a running host, which starts it at once and ends it when it crashes.
    ///
    /// # Errors
    /// When the host is not known or does not run.
    fn submit(&mut self, host: &str, job: Job) -> Result<(), WorldError>;

    /// Whether `host` is running.
    fn is_running(&self, host: &str) -> bool;

    /// Writes this world's history.
    fn recorder(&self) -> &Recorder;

    /// The smallest time that passes; waits poll with it.
    fn granularity(&self) -> Duration;
}

/// What every world can do by means of the others.
impl dyn World + '_ {
    /// Lets `host` do `work` and returns what comes of it.
    ///
    /// # Errors
    /// When the host does not run, or has not finished after `within` (it may have crashed).
    pub fn on<T: Send + 'static>(
        &mut self,
        host: &str,
        within: Duration,
        work: impl FnOnce(Env) -> Pin<Box<dyn Future<Output = T> + Send>> + Send + 'static,
    ) -> Result<T, WorldError> {
        let place: Arc<Mutex<Option<T>>> = Arc::default();
        let result = place.clone();
        self.submit(
            host,
            Box::new(move |env| {
                let work = work(env);
                Box::pin(async move {
                    let value = work.await;
                    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                })
            }),
        )?;
        let what = format!("an answer from {host}");
        self.eventually(within, &what, |_| result.lock().unwrap_or_else(PoisonError::into_inner).take())
    }

    /// Lets time pass until `condition` gives something.
    ///
    /// # Errors
    /// `Elapsed` with `what` when it has given nothing after `within`.
    pub fn eventually<T>(
        &mut self,
        within: Duration,
        what: &str,
        mut condition: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, WorldError> {
        let deadline = self.now() + within;
        loop {
            if let Some(value) = condition(self) {
                return Ok(value);
            }
            if self.now() >= deadline {
                return Err(WorldError::Elapsed { what: what.to_owned(), within });
            }
            let next = self.now() + self.granularity();
            self.advance(next.min(deadline))?;
        }
    }
}
