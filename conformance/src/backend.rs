//! The backend of a plugin, as far as a check needs to reach it: what can be done to it, and what can be counted. In the
//! simulator the world provides it; live, whoever runs the suite does.

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;

/// What somebody can do to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Stop it and start it again; its data stays.
    Restart,
    /// Keep it from executing, and let it go on.
    Pause,
    /// Cut it off from its clients, and heal the links.
    Cut,
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
}

impl fmt::Display for Verb {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Restart => "restart it",
            Self::Pause => "pause it",
            Self::Cut => "cut it off",
            Self::LoseLeases => "take leases",
            Self::DeleteEntries => "delete entries",
            Self::CountRequests => "count requests",
            Self::CountHeld => "count what it holds",
            Self::Litter => "write what no plugin would",
            Self::Compact => "let it forget its history",
        })
    }
}

/// Something that is done to a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// It stops; its data stays. Needs [`Verb::Restart`].
    Stop,
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
    /// It loses the leases of the registrations of these nodes, by id. Needs [`Verb::LoseLeases`].
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
}

/// A backend of the live world. Implement it for yours, on loopback or in a container of your own; nothing else is shaken.
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
