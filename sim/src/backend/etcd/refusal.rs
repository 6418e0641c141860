//! What the simulated etcd refuses, in etcd's own codes and words (its `rpctypes/error.go`). Knows no behaviour.

use std::fmt;

use tonic::{Code, Status};

use super::line::Line;

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
    /// The database has outgrown its quota.
    NoSpace,
    /// Members disagree about the data.
    Corrupt,
    /// Changes come faster than they are applied.
    TooManyRequests,
    /// There is no such member.
    MemberNotFound,
    /// Addresses of a member are no addresses.
    BadMemberUrls,
    /// Another member has that address.
    PeerUrlExists,
    /// Too few members would be left.
    NotEnoughMembers,
    /// The member that is to become one that votes does so already.
    MemberNotLearner,
    /// Only the leader can do that.
    NotLeader,
    /// What is to lead is no member.
    BadTransferee,
    /// Nobody leads, and the client insists on a leader.
    NoLeader,
    /// Another leader was elected while the request waited.
    LeaderChanged,
    /// Nobody led for as long as a request may take, or too few members answered.
    TimedOut,
    /// Nobody led for as long as a change may wait to be put into the log of an etcd of that line.
    NotProposed(Line),
    /// A change was under way when the leader was lost.
    TimedOutByLeader,
    /// A change was under way while too few members could be reached.
    TimedOutByLink,
    /// A member that was to lead did not begin to.
    TransferTimedOut,
    /// Authentication needs a user of that name.
    RootUserNotFound,
    /// There is nobody to be authenticated.
    AuthNotEnabled,
    /// A user has no name.
    EmptyUserName,
    /// There is no such user.
    UserNotFound,
    /// A role has no name.
    EmptyRoleName,
    /// There is no such role.
    RoleNotFound,
    /// etcd can do that; this one cannot, and says why.
    NotSimulated(&'static str),
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
            | Self::RequestTooLarge
            | Self::BadMemberUrls
            | Self::EmptyUserName
            | Self::EmptyRoleName => Code::InvalidArgument,
            Self::Compacted | Self::FutureRevision | Self::LeaseTtlTooLarge => Code::OutOfRange,
            Self::LeaseNotFound | Self::MemberNotFound => Code::NotFound,
            Self::LeaseExists
            | Self::PeerUrlExists
            | Self::MemberNotLearner
            | Self::NotLeader
            | Self::BadTransferee
            | Self::RootUserNotFound
            | Self::AuthNotEnabled
            | Self::UserNotFound
            | Self::RoleNotFound => Code::FailedPrecondition,
            Self::Stopped | Self::NoLeader | Self::LeaderChanged => Code::Unavailable,
            Self::TimedOut | Self::TimedOutByLeader | Self::TimedOutByLink | Self::TransferTimedOut => {
                Code::Unavailable
            }
            Self::NoSpace => Code::ResourceExhausted,
            Self::Corrupt => Code::DataLoss,
            // Not those that etcd means: `toGRPCErrorMap` in its `v3rpc/util.go` names the client's values of these errors,
            // whose codes do not reach the wire.
            Self::TooManyRequests | Self::NotEnoughMembers => Code::Unknown,
            // An error of Go's (`Propose` of `raft/node.go` answers it as it is), which gRPC knows since etcd 3.5.
            Self::NotProposed(Line::V3_4) => Code::Unknown,
            Self::NotProposed(_) => Code::DeadlineExceeded,
            Self::NotSimulated(_) => Code::Unimplemented,
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
            Self::NoSpace => "etcdserver: mvcc: database space exceeded",
            Self::Corrupt => "etcdserver: corrupt cluster",
            Self::TooManyRequests => "etcdserver: too many requests",
            Self::MemberNotFound => "etcdserver: member not found",
            Self::BadMemberUrls => "etcdserver: given member URLs are invalid",
            Self::PeerUrlExists => "etcdserver: Peer URLs already exists",
            Self::NotEnoughMembers => "etcdserver: re-configuration failed due to not enough started members",
            Self::MemberNotLearner => "etcdserver: can only promote a learner member",
            Self::NotLeader => "etcdserver: not leader",
            Self::BadTransferee => "etcdserver: bad leader transferee",
            Self::NoLeader => "etcdserver: no leader",
            Self::LeaderChanged => "etcdserver: leader changed",
            Self::TimedOut => "etcdserver: request timed out",
            Self::NotProposed(_) => "context deadline exceeded",
            Self::TimedOutByLeader => "etcdserver: request timed out, possibly due to previous leader failure",
            Self::TimedOutByLink => "etcdserver: request timed out, possibly due to connection lost",
            Self::TransferTimedOut => "etcdserver: request timed out, leader transfer took too long",
            Self::RootUserNotFound => "etcdserver: root user does not exist",
            Self::AuthNotEnabled => "etcdserver: authentication is not enabled",
            Self::EmptyUserName => "etcdserver: user name is empty",
            Self::UserNotFound => "etcdserver: user name not found",
            Self::EmptyRoleName => "etcdserver: role name is empty",
            Self::RoleNotFound => "etcdserver: role name not found",
            Self::NotSimulated(why) => why,
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
