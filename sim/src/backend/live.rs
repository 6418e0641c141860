//! Real servers behind plugins, as a live world needs them: they can be shaken, and they tell what truly happened. Whoever runs
//! a scenario live supplies them; nothing here knows any.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::services::{EntryListener, LiveServices};
use crate::history::{Moment, Truth, WorldClock};
use crate::world::Capability;

/// Where real servers come from.
pub trait LiveBackends: Send + Sync + fmt::Debug {
    /// Starts a server of `kind` that nobody else uses, of so many members, or finds one; it ends with the value. It answers
    /// when this returns.
    ///
    /// # Errors
    /// One sentence with the mend: there is none of that kind or of so many members, or it does not start.
    fn start(&self, kind: &str, members: u32) -> Result<Arc<dyn LiveBackend>, String>;

    /// What starts services that are the user's own; none where nobody does.
    fn services(&self) -> Option<&dyn LiveServices> {
        None
    }
}

/// A real server, or several that are one. Its operations wait until they are done, each with a deadline.
pub trait LiveBackend: Send + Sync + fmt::Debug {
    /// What plugins call it, such as `etcd`; also the name that faults know it by.
    fn kind(&self) -> &str;

    /// The hosts that it is, by the name that faults know each by, with the addresses where it is reached: one of its kind's
    /// name, or those of a cluster, called `<kind>-<number>`.
    fn hosts(&self) -> Vec<(String, Vec<String>)> {
        vec![(self.kind().to_owned(), self.addresses())]
    }

    /// The host that leads the others, if any does at present.
    ///
    /// # Errors
    /// One sentence.
    fn leader(&self) -> Result<Option<String>, String> {
        Ok(None)
    }

    /// What it is, for the report: `etcd as a process`.
    fn description(&self) -> String;

    /// Where plugins reach it, as `host:port`.
    fn addresses(&self) -> Vec<String>;

    /// What can be done to it, of [`Capability::BackendRestart`], [`Capability::BackendEnd`], [`Capability::BackendPause`],
    /// [`Capability::Compaction`] and [`Capability::LeaseLoss`].
    fn capabilities(&self) -> BTreeSet<Capability>;

    /// Why nobody can say what it truly holds, where that is so; expectations that need it are not judged then.
    fn tells_nothing_because(&self) -> Option<String> {
        None
    }

    /// The world begins: from now on what happens is dated by `clock`, and `entries` hears of what registries have written.
    ///
    /// # Errors
    /// One sentence: it cannot be observed.
    fn observe(&self, clock: WorldClock, entries: EntryListener) -> Result<(), String>;

    /// Takes what truly happened since the last call.
    ///
    /// # Errors
    /// One sentence: it could not be observed all the time.
    fn take_truths(&self) -> Result<Vec<(Moment, Truth)>, String>;

    /// Takes the leases of the registrations whose keys name one of `nodes`. Answers how many there were.
    ///
    /// # Errors
    /// One sentence.
    fn lose(&self, nodes: &[String]) -> Result<usize, String>;

    /// Keeps one of its hosts from executing, or lets it go on.
    ///
    /// # Errors
    /// One sentence.
    fn pause(&self, host: &str, paused: bool) -> Result<(), String> {
        let _ = (host, paused);
        Err(format!("nobody can pause {}", self.description()))
    }

    /// Lets it forget what its entries were before they became what they are.
    ///
    /// # Errors
    /// One sentence.
    fn compact(&self) -> Result<(), String> {
        Err(format!("nobody can let {} forget its history", self.description()))
    }

    /// Kills one of its hosts; its data stays.
    ///
    /// # Errors
    /// One sentence.
    fn stop(&self, host: &str) -> Result<(), String>;

    /// Asks one of its hosts to end, and returns when it has; its data stays.
    ///
    /// # Errors
    /// One sentence.
    fn end(&self, host: &str) -> Result<(), String> {
        let _ = host;
        Err(format!("nobody can ask {} to end", self.description()))
    }

    /// Starts one of its hosts again over the same data, and returns when it answers, unless too few others are up for that.
    ///
    /// # Errors
    /// One sentence.
    fn start_again(&self, host: &str) -> Result<(), String>;
}
