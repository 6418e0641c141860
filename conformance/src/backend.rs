//! The backend of a plugin, as far as a check needs to reach it: what can be done to it, and what can be counted. In the
//! simulator the world provides it; live, whoever runs the suite does.

mod address;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use shaketable_stack::Env;

pub use address::{connects, on_loopback};

/// What somebody can do to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Kill it and start it again; its data stays.
    Restart,
    /// Ask it to end, wait until it has, and start it again; its data stays.
    Terminate,
    /// Keep it from executing, and let it go on.
    Pause,
    /// Cut it off from its clients, and heal the links.
    Cut,
    /// Let every byte between it and its clients arrive later, and undo that.
    Delay,
    /// Take the leases of registrations.
    LoseLeases,
    /// Delete entries behind their owner's back.
    DeleteEntries,
    /// Count the requests that it got.
    CountRequests,
    /// Count what it holds.
    CountHeld,
    /// Write what no plugin would into it.
    Litter,
    /// Let it forget its history.
    Compact,
    /// Fill it until it takes nothing more, and empty it again.
    Fill,
}

impl Verb {
    /// Whether it changes something; who counts changes nothing.
    pub fn shakes(self) -> bool {
        !matches!(self, Self::CountRequests | Self::CountHeld)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Restart => "restart it",
            Self::Terminate => "ask it to end",
            Self::Pause => "pause it",
            Self::Cut => "cut it off",
            Self::Delay => "delay it",
            Self::LoseLeases => "take leases",
            Self::DeleteEntries => "delete entries",
            Self::CountRequests => "count requests",
            Self::CountHeld => "count what it holds",
            Self::Litter => "write what no plugin would",
            Self::Compact => "let it forget its history",
            Self::Fill => "fill it",
        })
    }
}

/// Something that is done to a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is killed; its data stays. Needs [`Verb::Restart`].
    Stop,
    /// It is asked to end, and has ended in order; its data stays. Needs [`Verb::Terminate`].
    Terminate,
    /// It starts again.
    Start,
    /// It executes nothing. Needs [`Verb::Pause`].
    Pause,
    /// It goes on.
    Resume,
    /// Nothing passes between it and its clients. Needs [`Verb::Cut`].
    Cut,
    /// Messages pass again.
    Heal,
    /// Every byte between it and its clients arrives that much later, in both directions and in order. Needs
    /// [`Verb::Delay`].
    Delay(Duration),
    /// What is sent from now on arrives as soon as it did before the delay.
    Prompt,
    /// It loses the leases of the registrations of these nodes, by id, and with them every other node that a plugin has hung on
    /// the same leases. Needs [`Verb::LoseLeases`].
    LoseLeases(Vec<String>),
    /// Somebody deletes the entries of these nodes, by id, in one transaction where the backend has such. Needs
    /// [`Verb::DeleteEntries`].
    DeleteEntries(Vec<String>),
    /// Another program writes: `values` beside the entry of `node`, under names that begin as the entry's does, and a copy of
    /// the entry where only that program looks. All of it names the node, as its entry does. Needs [`Verb::Litter`].
    Litter {
        /// The node, by id.
        node: String,
        /// What is written beside its entry.
        values: Vec<String>,
    },
    /// It forgets what its entries were before they became what they are. Needs [`Verb::Compact`].
    Compact,
    /// It is filled until it takes nothing more. Needs [`Verb::Fill`].
    Fill,
    /// What it was filled with is gone, and it takes everything again.
    Empty,
}

/// A backend of the live world. Implement it for yours, on loopback, where a container may publish its port, too: what is
/// anywhere else is not shaken, whatever it says that can be done to it.
#[async_trait]
pub trait Backend: Send + Sync + fmt::Debug {
    /// Where plugins reach it.
    fn addresses(&self) -> Vec<String>;

    /// What it can do; what needs more is not applicable.
    fn verbs(&self) -> BTreeSet<Verb>;

    /// Does `act` and returns when it is done: after a `Start` it answers again.
    ///
    /// # Errors
    /// One sentence, when it cannot.
    async fn act(&self, act: &Act) -> Result<(), String>;

    /// How many requests it has got so far. Needs [`Verb::CountRequests`].
    ///
    /// # Errors
    /// One sentence, when it cannot tell.
    async fn requests(&self) -> Result<u64, String>;

    /// How many things it holds: entries, and what bounds the life of entries, such as leases. Needs [`Verb::CountHeld`].
    ///
    /// # Errors
    /// One sentence, when it cannot tell.
    async fn held(&self) -> Result<u64, String> {
        Err("nobody counts what this backend holds".to_owned())
    }

    /// How many of the things that it holds have `namespace` in their names; `None` when nobody can tell. Asked before the
    /// first check: a session works only where nobody has been before.
    ///
    /// # Errors
    /// One sentence, when it should be able to tell and cannot.
    async fn held_in(&self, namespace: &str) -> Result<Option<u64>, String> {
        let _ = namespace;
        Ok(None)
    }

    /// Whether it works: asked before the first check, and after one that found something, when nothing that was done to it is
    /// in force any more. A plugin is not to blame for a backend that is gone. Unless somebody knows better, it works when it
    /// accepts a TCP connection; `env` is where to look from.
    ///
    /// # Errors
    /// One sentence with the mend, when it does not.
    async fn ready(&self, env: &Env) -> Result<(), String> {
        connects(env, &self.addresses()).await
    }
}

/// A backend of which nothing is known but where it is: faults are not applicable.
#[derive(Clone, Debug)]
pub struct Untouchable {
    /// Where plugins reach it.
    pub addresses: Vec<String>,
}

#[async_trait]
impl Backend for Untouchable {
    fn addresses(&self) -> Vec<String> {
        self.addresses.clone()
    }

    fn verbs(&self) -> BTreeSet<Verb> {
        BTreeSet::new()
    }

    async fn act(&self, _act: &Act) -> Result<(), String> {
        Err("nobody said how to reach this backend".to_owned())
    }

    async fn requests(&self) -> Result<u64, String> {
        Err("nobody counts this backend's requests".to_owned())
    }
}
