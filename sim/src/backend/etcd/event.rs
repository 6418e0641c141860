//! The truth about what happened in the simulated etcd, for those who judge what others believe. Knows no behaviour.

use std::time::Duration;

use bytes::Bytes;

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The time at which it happened, on the clock that the state machine is told.
    pub at: Duration,
    /// What happened.
    pub event: EtcdEvent,
}

/// What can happen. Everything that one cause changes in the store comes right after the cause, in one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EtcdEvent {
    /// A lease has begun.
    LeaseGranted {
        /// The lease's id.
        lease: i64,
        /// What the client asked for, in seconds.
        ttl_requested_s: i64,
        /// What it got, in seconds.
        ttl_granted_s: i64,
    },
    /// A lease has been renewed for its full TTL.
    LeaseKeptAlive {
        /// The lease's id.
        lease: i64,
        /// The TTL, in seconds.
        ttl_granted_s: i64,
    },
    /// A lease has ended because nobody renewed it.
    LeaseExpired {
        /// The lease's id.
        lease: i64,
        /// The keys that it took along.
        keys: Vec<Bytes>,
    },
    /// A lease has ended because a client said so.
    LeaseRevoked {
        /// The lease's id.
        lease: i64,
        /// The keys that it took along.
        keys: Vec<Bytes>,
    },
    /// A lease has ended because of a fault.
    LeaseLost {
        /// The lease's id.
        lease: i64,
        /// The keys that it took along.
        keys: Vec<Bytes>,
    },
    /// A key has got a value.
    KeyPut {
        /// The key.
        key: Bytes,
        /// Its value.
        value: Bytes,
        /// The lease that it is bound to; 0 is none.
        lease: i64,
        /// Whether it was not there before.
        created: bool,
        /// Whether it has another value than before; true when it was created.
        altered: bool,
        /// The revision of the change.
        revision: i64,
    },
    /// A key is gone.
    KeyDeleted {
        /// The key.
        key: Bytes,
        /// The revision of the change.
        revision: i64,
        /// Why.
        cause: DeletionCause,
    },
    /// What was superseded up to a revision is gone.
    Compacted {
        /// That revision.
        revision: i64,
    },
    /// A leader was elected while the server ran: streams go on, every lease has its full TTL again.
    LeaderElected {
        /// What every lease got on top of its TTL.
        lease_extension: Duration,
    },
    /// The server has started anew: data is kept, streams are gone, every lease has its full TTL again.
    Restarted {
        /// What every lease got on top of its TTL.
        lease_extension: Duration,
    },
}

/// Why a key is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionCause {
    /// A client's request.
    Request,
    /// Its lease expired.
    LeaseExpired(i64),
    /// Its lease was revoked.
    LeaseRevoked(i64),
    /// Its lease was lost by a fault.
    LeaseLost(i64),
    /// A fault deleted the key itself.
    Fault,
}
