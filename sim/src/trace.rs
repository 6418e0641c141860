//! The canonical trace of a run: what passed through our own network streams, with digests instead of payloads, and one
//! digest over all of it. Two runs are the same run when their digests are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

use crate::history::{Edge, History, Moment, OperationId};

/// One thing that passed through a network stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// World time.
    pub at: Moment,
    /// The host at this end.
    pub host: Arc<str>,
    /// Number of the connection or socket on that host, from 1.
    pub connection: u64,
    /// What passed.
    pub kind: TraceKind,
}

/// What passed through a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TraceKind {
    /// A connection was asked for.
    Connect {
        /// `host:port`, as it was asked for.
        address: String,
    },
    /// It was opened, from this end.
    Connected {
        /// The other end.
        peer: String,
    },
    /// It was opened, from the other end.
    Accepted {
        /// The other end.
        peer: String,
    },
    /// A listener or a datagram socket was opened.
    Bound {
        /// Where.
        address: String,
    },
    /// Bytes were handed to the network.
    Sent {
        /// How many.
        bytes: u64,
        /// Their digest.
        digest: u64,
    },
    /// Bytes came from the network.
    Received {
        /// How many.
        bytes: u64,
        /// Their digest.
        digest: u64,
    },
    /// The other end has closed its direction.
    EndOfStream,
    /// This end has closed.
    Closed,
    /// It failed.
    Failed {
        /// The error's kind.
        error: String,
    },
}

impl TraceKind {
    /// `bytes` were handed to the network.
    pub fn sent(bytes: &[u8]) -> Self {
        Self::Sent { bytes: bytes.len() as u64, digest: xxh3_64(bytes) }
    }

    /// `bytes` came from the network.
    pub fn received(bytes: &[u8]) -> Self {
        Self::Received { bytes: bytes.len() as u64, digest: xxh3_64(bytes) }
    }
}

/// A host whose network is traced.
#[derive(Clone, Debug)]
pub struct Traced {
    host: Arc<str>,
    digest: u64,
}

impl Traced {
    /// The host called `name`.
    pub fn new(name: &str) -> Self {
        Self { host: name.into(), digest: xxh3_64(name.as_bytes()) }
    }
}

/// Collects a trace; cheap to clone.
#[derive(Clone)]
pub struct Tracer {
    state: Arc<Mutex<State>>,
}

struct State {
    hasher: Xxh3,
    events: u64,
    kept: Option<Vec<TraceEvent>>,
}

impl Tracer {
    /// A tracer that takes the digest; with `keep` it keeps every event as well.
    pub fn new(keep: bool) -> Self {
        Self { state: Arc::new(Mutex::new(State { hasher: Xxh3::new(), events: 0, kept: keep.then(Vec::new) })) }
    }

    /// Adds what passed at `at` on a connection of `traced`.
    pub fn add(&self, traced: &Traced, at: Moment, connection: u64, kind: TraceKind) {
        let fields = kind.fields([traced.digest, at.0, connection]);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.events += 1;
        state.hasher.update(&fields);
        if let Some(kept) = &mut state.kept {
            kept.push(TraceEvent { at, host: traced.host.clone(), connection, kind });
        }
    }

    /// The digest over the trace and `history`, as 32 hexadecimal digits.
    pub fn digest(&self, history: &History) -> String {
        let mut hasher = self.state.lock().unwrap_or_else(PoisonError::into_inner).hasher.clone();
        let (mut shared, mut text) = (BTreeMap::<*const Edge, u128>::new(), Vec::new());
        let mut said = |edge: &Edge| {
            text.clear();
            // Writing to memory does not fail, and every event can be written.
            let _ = serde_json::to_writer(&mut text, edge);
            xxh3_128(&text)
        };
        for event in &history.events {
            let said = match Arc::strong_count(&event.edge) {
                1 => said(&event.edge),
                _ => *shared.entry(Arc::as_ptr(&event.edge)).or_insert_with(|| said(&event.edge)),
            };
            let id = |id: Option<OperationId>| id.map_or(0, |id| id.0.get());
            for number in [event.at.0, event.wall_ns, id(event.operation), id(event.cause), event.host.len() as u64] {
                hasher.update(&number.to_le_bytes());
            }
            hasher.update(event.host.as_bytes());
            hasher.update(&said.to_le_bytes());
        }
        format!("{:032x}", hasher.digest128())
    }

    /// How many events there were.
    pub fn count(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).events
    }

    /// The events that were kept, in the order in which they happened.
    pub fn take(&self) -> Vec<TraceEvent> {
        let mut kept = self.state.lock().unwrap_or_else(PoisonError::into_inner).kept.take().unwrap_or_default();
        kept.sort_by_key(|event| event.at);
        kept
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tracer").field("events", &self.count()).finish()
    }
}

impl TraceKind {
    /// Every field at a fixed place, texts as their digests.
    fn fields(&self, [host, at, connection]: [u64; 3]) -> [u8; 48] {
        let text = |text: &str| xxh3_64(text.as_bytes());
        let (tag, detail): (u64, [u64; 2]) = match self {
            Self::Connect { address } => (0, [text(address), 0]),
            Self::Connected { peer } => (1, [text(peer), 0]),
            Self::Accepted { peer } => (2, [text(peer), 0]),
            Self::Bound { address } => (3, [text(address), 0]),
            Self::Sent { bytes, digest } => (4, [*bytes, *digest]),
            Self::Received { bytes, digest } => (5, [*bytes, *digest]),
            Self::EndOfStream => (6, [0, 0]),
            Self::Closed => (7, [0, 0]),
            Self::Failed { error } => (8, [text(error), 0]),
        };
        let mut fields = [0; 48];
        let numbers = [host, tag, at, connection, detail[0], detail[1]];
        for (place, number) in fields.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        fields
    }
}
