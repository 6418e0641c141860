//! Backends that live in a world's namespace: what truly happened in them, for those who judge, and the faults that can be
//! done to them. A registry whose state belongs to the world offers its state here; production never asks.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::env::Instant;

/// The state of a registry that the hosts of a world share.
pub trait SharedBackend: Send + Sync + fmt::Debug {
    /// Starts, or ends, the recording of [`Truth`]. It grows until it is taken, so production leaves it off.
    fn record_truth(&self, record: bool);

    /// Takes what was recorded since the last call, oldest first. What expired before `now` is in it.
    fn take_truth(&self, now: Instant) -> Vec<Truth>;

    /// A fault: the backend loses every registration of `node_id`. Watchers see a delete. Answers how many it lost.
    fn lose(&self, now: Instant, node_id: &str) -> usize;

    /// A fault: the backend restarts as etcd does, and grants every registration its full TTL anew.
    fn restart(&self, now: Instant);
}

/// The shared backends of one namespace.
#[derive(Debug, Default)]
pub struct SharedBackends(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    backends: Vec<Arc<dyn SharedBackend>>,
    recording: bool,
}

impl SharedBackends {
    /// Adds a backend; one that is there already stays the only one of its kind.
    pub fn offer(&self, backend: Arc<dyn SharedBackend>) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &Arc<dyn SharedBackend>| Arc::as_ptr(known).addr() == Arc::as_ptr(&backend).addr();
        if !shelf.backends.iter().any(same) {
            if shelf.recording {
                backend.record_truth(true);
            }
            shelf.backends.push(backend);
        }
    }

    /// From now on every backend, also one that is offered later, records what happens.
    pub fn record_truth(&self) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.recording = true;
        for backend in &shelf.backends {
            backend.record_truth(true);
        }
    }

    /// The backends, in the order in which they were offered.
    pub fn all(&self) -> Vec<Arc<dyn SharedBackend>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).backends.clone()
    }
}

/// Something that happened to a registration, as the backend saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// When; for [`TruthKind::Expired`] the moment at which the TTL was over, even where nobody looked then.
    pub at: Instant,
    /// What happened.
    pub kind: TruthKind,
}

/// See [`Truth`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TruthKind {
    /// A node was registered that was not there.
    Registered {
        /// Service name.
        service: String,
        /// Node id.
        node: String,
        /// Service version.
        version: String,
        /// The TTL that was asked for.
        ttl_requested: Option<Duration>,
        /// The TTL that holds; here always the one that was asked for.
        ttl_granted: Option<Duration>,
    },
    /// The same was registered again and lives for `ttl_granted` from then on.
    Renewed {
        /// Service name.
        service: String,
        /// Node id.
        node: String,
        /// The TTL that holds.
        ttl_granted: Option<Duration>,
    },
    /// A registered node was changed, and lives for `ttl_granted` from then on.
    Changed {
        /// Service name.
        service: String,
        /// Node id.
        node: String,
        /// Service version after the change.
        version: String,
        /// The TTL that holds.
        ttl_granted: Option<Duration>,
    },
    /// A node was deregistered.
    Deregistered {
        /// Service name.
        service: String,
        /// Node id.
        node: String,
    },
    /// A TTL was over.
    Expired {
        /// Service name.
        service: String,
        /// Node id.
        node: String,
    },
    /// A fault took a registration away.
    Lost {
        /// Service name.
        service: String,
        /// Node id.
        node: String,
    },
    /// The backend was restarted: every TTL starts anew.
    Restarted,
}
