//! What the simulated etcd refuses, in etcd's own codes and words (its `rpctypes/error.go`). Knows no behaviour.

use std::fmt;

use tonic::{Code, Status};

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A key is empty.
    EmptyKey,
    /// The key whose value or lease is to be kept does not exist, or an operation of a transaction is empty.
    KeyNotFound,
    /// A value is given together with the wish to keep the present one.
    ValueProvided,
    /// A lease is given together with the wish to keep the present one.
    LeaseProvided,
    /// A transaction is too long.
    TooManyOperations,
    /// A transaction changes a key twice.
    DuplicateKey,
    /// The revision is gone.
    Compacted,
    /// The revision is yet to come.
    FutureRevision,
    /// The request has too many bytes.
    RequestTooLarge,
    /// There is no such lease.
    LeaseNotFound,
    /// There is such a lease already.
    LeaseExists,
    /// The TTL is above etcd's limit.
    LeaseTtlTooLarge,
    /// The server has restarted since the stream was opened.
    Stopped,
}

impl Refusal {
    /// The gRPC code that etcd answers with.
    pub const fn code(self) -> Code {
        match self {
            Self::EmptyKey
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOperations
            | Self::DuplicateKey
            | Self::RequestTooLarge => Code::InvalidArgument,
            Self::Compacted | Self::FutureRevision | Self::LeaseTtlTooLarge => Code::OutOfRange,
            Self::LeaseNotFound => Code::NotFound,
            Self::LeaseExists => Code::FailedPrecondition,
            Self::Stopped => Code::Unavailable,
        }
    }

    /// The message that etcd answers with.
    pub const fn message(self) -> &'static str {
        match self {
            Self::EmptyKey => "etcdserver: key is not provided",
            Self::KeyNotFound => "etcdserver: key not found",
            Self::ValueProvided => "etcdserver: value is provided",
            Self::LeaseProvided => "etcdserver: lease is provided",
            Self::TooManyOperations => "etcdserver: too many operations in txn request",
            Self::DuplicateKey => "etcdserver: duplicate key given in txn request",
            Self::Compacted => "etcdserver: mvcc: required revision has been compacted",
            Self::FutureRevision => "etcdserver: mvcc: required revision is a future revision",
            Self::RequestTooLarge => "etcdserver: request is too large",
            Self::LeaseNotFound => "etcdserver: requested lease not found",
            Self::LeaseExists => "etcdserver: lease already exists",
            Self::LeaseTtlTooLarge => "etcdserver: too large lease TTL",
            Self::Stopped => "etcdserver: server stopped",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.message())
    }
}
