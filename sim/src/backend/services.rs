//! Services that are the user's own, as a live world needs them: somebody starts them, and they can be killed, stopped, paused
//! and started again. Whoever runs a scenario live supplies that; nothing here knows processes or containers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use shaketable_stack::registry::Service as Record;

use crate::history::Moment;
use crate::scenario::model::Runs;

/// Where services of the user's own come from.
pub trait LiveServices: Send + Sync + fmt::Debug {
    /// Starts what `order` says, and returns when it is ready; it ends with the value. What `order` does not say, such as
    /// `{port}`, is found here.
    ///
    /// # Errors
    /// One sentence with the mend: it cannot be started, or is not ready in time.
    fn start(&self, order: &ServiceOrder) -> Result<Arc<dyn LiveService>, String>;
}

/// One replica that is to be started.
#[derive(Clone, Debug)]
pub struct ServiceOrder {
    /// Its host, such as `user-1`.
    pub host: String,
    /// What is started.
    pub runs: Runs,
    /// What stands for the names in braces.
    pub values: BTreeMap<&'static str, String>,
}

/// One replica of a service of the user's own. Its operations are done when they return, each with a deadline.
pub trait LiveService: Send + Sync + fmt::Debug {
    /// What it is, for the report: `a process (./user)`.
    fn description(&self) -> String;

    /// Where it is reached from here, as `host:port`.
    fn address(&self) -> String;

    /// Whether it listens at that port of this machine and tells others of whichever of the machine's addresses it likes.
    fn is_of_this_machine(&self) -> bool;

    /// Kills it, as a crash would.
    ///
    /// # Errors
    /// One sentence.
    fn kill(&self) -> Result<(), String>;

    /// Asks it to end (SIGTERM), and does not wait for it.
    ///
    /// # Errors
    /// One sentence.
    fn terminate(&self) -> Result<(), String>;

    /// Starts it again, and does not wait until it is ready.
    ///
    /// # Errors
    /// One sentence.
    fn start_again(&self) -> Result<(), String>;

    /// Keeps it from executing, or lets it go on.
    ///
    /// # Errors
    /// One sentence.
    fn pause(&self, paused: bool) -> Result<(), String>;

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// One sentence.
    fn ended(&self) -> Result<Option<String>, String>;

    /// How it has ended, if it has and nobody had asked it to since it was started.
    fn ended_by_itself(&self) -> Option<String>;

    /// Keeps what it has said so far in a file, and says in a sentence where; none when there is nothing that could be kept.
    fn keep_log(&self) -> Option<String>;
}

/// What a server was seen to hold for a registry's plugin.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A record was written.
    Put {
        /// Its key.
        key: String,
        /// What it says, with one node.
        record: Box<Record>,
        /// Whether it says something else than before.
        altered: bool,
    },
    /// What was written at this key is gone.
    Gone {
        /// The key.
        key: String,
    },
}

/// Hears of entries as soon as they are seen.
pub type EntryListener = Arc<dyn Fn(Moment, Entry) + Send + Sync>;
