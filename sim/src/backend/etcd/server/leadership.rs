//! What a request does while there is no leader: wait for one, at most as long as etcd lets a request take, or be refused at
//! once where the client asked for that. It knows no request but by what it asks of a leader.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use shaketable_proto::etcd::v3::rpc::{RequestOp, TxnRequest, request_op};
use tonic::{Request, Status};

use super::Service;
use crate::backend::etcd::{Line, Refusal};

/// How long etcd lets a request take: five seconds and two election time-outs (`ReqTimeout` in its `config.go`).
const REQUEST_TIME: Duration = Duration::from_secs(7);

/// What a request asks of a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// Nothing: any member answers.
    Anybody,
    /// To be there: the request waits for one, and then is put into the log.
    Leader,
    /// To be there: the request waits for one, and then is asked of it.
    Primary,
    /// To be there and stay the same: a read that waits when one is elected is refused.
    SameLeader,
}

impl Asks {
    /// What is answered when there was no leader for as long as a request may take.
    fn too_late(self, line: Line) -> Refusal {
        match self {
            Self::Leader => Refusal::NotProposed(line),
            Self::Primary => Refusal::NoLeader,
            Self::SameLeader | Self::Anybody => Refusal::TimedOut,
        }
    }

    pub(super) fn of_txn(request: &TxnRequest) -> Self {
        let mut operations = request.success.iter().chain(&request.failure);
        let range = |operation: &RequestOp| match &operation.request {
            Some(request_op::Request::RequestRange(range)) => Some(range.serializable),
            _ => None,
        };
        if operations.clone().any(|operation| range(operation).is_none()) {
            Self::Leader
        } else if operations.all(|operation| range(operation) == Some(true)) {
            Self::Anybody
        } else {
            Self::SameLeader
        }
    }
}

/// Whether a client wants to hear at once that there is no leader (`rpctypes/md.go`).
pub(super) fn insists_on_leader<T>(request: &Request<T>) -> bool {
    request.metadata().get("hasleader").is_some_and(|value| value == "true")
}

impl Service {
    /// Waits until a request can be done. A member of several waits for its turn later, in the log or with the leader, where
    /// this asks for no more than to have read all that was agreed on.
    pub(super) async fn lead<T>(&self, request: &Request<T>, asks: Asks) -> Result<(), Status> {
        if self.handle.is_leaderless() && insists_on_leader(request) {
            return Err(Refusal::NoLeader.into());
        }
        if let Some(member) = &self.member {
            return match asks {
                Asks::Anybody | Asks::Leader | Asks::Primary => Ok(()),
                Asks::SameLeader => member.catch_up(&self.env).await.map_err(Into::into),
            };
        }
        if !self.handle.is_leaderless() || asks == Asks::Anybody {
            return Ok(());
        }
        let mut time_out = pin!(self.env.sleep(REQUEST_TIME));
        loop {
            let elected = pin!(self.handle.lapsed());
            if !self.handle.is_leaderless() {
                break;
            }
            if let Either::Right(_) = select(elected, &mut time_out).await {
                return Err(asks.too_late(self.handle.with(|etcd| etcd.line())).into());
            }
        }
        if asks == Asks::SameLeader { Err(Refusal::LeaderChanged.into()) } else { Ok(()) }
    }
}
