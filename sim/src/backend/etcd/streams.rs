//! The two long-lived streams of the server, watch and keep-alive, without tasks of their own: they work while they are
//! read, so they end with the connection that reads them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::future::BoxFuture;
use shaketable_proto::etcd::v3::rpc::{LeaseKeepAliveRequest, LeaseKeepAliveResponse, WatchRequest, WatchResponse};
use shaketable_stack::env::Env;
use tokio::sync::futures::OwnedNotified;
use tonic::{Status, Streaming};

use super::handle::EtcdHandle;
use super::server::Clock;
use super::{EtcdMember, KeepAlive, Refusal, WatchStreamId};

/// Wakes its reader whenever a lease has ended, or a leader was elected.
struct Lapses {
    handle: EtcdHandle,
    next: Pin<Box<OwnedNotified>>,
}

impl Lapses {
    fn new(handle: &EtcdHandle) -> Self {
        Self { handle: handle.clone(), next: Box::pin(handle.lapsed()) }
    }

    /// Arms the wake-up. Look for what may have changed after this, not before.
    fn arm(&mut self, context: &mut Context<'_>) {
        while self.next.as_mut().poll(context).is_ready() {
            self.next = Box::pin(self.handle.lapsed());
        }
    }
}

/// One watch stream. The client may stop asking and still listen, as with etcd.
pub(super) struct Watching {
    handle: EtcdHandle,
    clock: Arc<Clock>,
    id: WatchStreamId,
    requests: Option<Streaming<WatchRequest>>,
    insists_on_leader: bool,
    ended: bool,
}

impl Watching {
    pub(super) fn new(
        handle: &EtcdHandle,
        clock: Arc<Clock>,
        requests: Streaming<WatchRequest>,
        insists_on_leader: bool,
    ) -> Self {
        let id = handle.with(|etcd| etcd.open_watch_stream(clock()));
        Self { handle: handle.clone(), clock, id, requests: Some(requests), insists_on_leader, ended: false }
    }

    fn take_requests(&mut self, context: &mut Context<'_>) -> Result<(), Status> {
        while let Some(requests) = &mut self.requests {
            match Pin::new(requests).poll_next(context) {
                Poll::Ready(Some(Ok(request))) => {
                    self.handle.count_request();
                    let now = (self.clock)();
                    self.handle.with(|etcd| etcd.watch(now, self.id, request))?;
                }
                Poll::Ready(Some(Err(status))) => return Err(status),
                Poll::Ready(None) => self.requests = None,
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}

impl Stream for Watching {
    type Item = Result<WatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let taken = this.take_requests(context);
        let next = taken.and_then(|()| {
            let next = this.handle.poll_watch(this.id, context)?;
            // Looked at last, so that whoever is too late to be woken sees it.
            if next.is_none() && this.insists_on_leader && this.handle.is_leaderless() {
                this.handle.with(|etcd| etcd.check_leader_of_stream())?;
            }
            Ok(next)
        });
        match next {
            Ok(Some(response)) => Poll::Ready(Some(Ok(response))),
            Ok(None) => Poll::Pending,
            Err(status) => {
                this.ended = true;
                Poll::Ready(Some(Err(status)))
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.handle.close_watch_stream(self.id);
    }
}

/// One keep-alive stream. Requests are answered in order; one for a lease that is just expiring holds up the others, as
/// with etcd. It ends when the client stops asking.
pub(super) struct KeepingAlive {
    handle: EtcdHandle,
    clock: Arc<Clock>,
    restarts: u64,
    requests: Streaming<LeaseKeepAliveRequest>,
    lapses: Lapses,
    waiting: Option<LeaseKeepAliveResponse>,
    /// How a member of several renews.
    renewing: Option<Renewing>,
    ended: bool,
}

/// Renewals by a member of several: the leader alone can.
pub(super) struct Renewing {
    env: Env,
    member: EtcdMember,
    insists_on_leader: bool,
    under_way: Option<BoxFuture<'static, Result<LeaseKeepAliveResponse, Refusal>>>,
}

impl Renewing {
    pub(super) fn new(env: Env, member: EtcdMember, insists_on_leader: bool) -> Self {
        Self { env, member, insists_on_leader, under_way: None }
    }

    /// Ends a stream whose client insists on a leader that is not there.
    fn check(&self) -> Result<(), Refusal> {
        if self.insists_on_leader { self.member.handle().with(|etcd| etcd.check_leader_of_stream()) } else { Ok(()) }
    }

    fn begin(&mut self, request: LeaseKeepAliveRequest) {
        let (env, member) = (self.env.clone(), self.member.clone());
        self.under_way = Some(Box::pin(async move {
            let renewed = member.ask_leader(&env, move |etcd, now| etcd.keep_alive(now, request)).await?;
            let mut response = match renewed {
                KeepAlive::Now(response) => response,
                KeepAlive::WhenGone(response) => {
                    member.when_gone(response.id).await;
                    response
                }
            };
            response.header = member.handle().with(|etcd| Some(etcd.header()));
            Ok(response)
        }));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<LeaseKeepAliveResponse, Refusal>> {
        let Some(under_way) = &mut self.under_way else { return Poll::Pending };
        let answer = under_way.as_mut().poll(context);
        if answer.is_ready() {
            self.under_way = None;
        }
        answer
    }
}

impl KeepingAlive {
    pub(super) fn new(
        handle: &EtcdHandle,
        clock: Arc<Clock>,
        requests: Streaming<LeaseKeepAliveRequest>,
        renewing: Option<Renewing>,
    ) -> Self {
        let restarts = handle.with(|etcd| etcd.restarts());
        let (handle, lapses) = (handle.clone(), Lapses::new(handle));
        Self { handle, clock, restarts, requests, lapses, waiting: None, renewing, ended: false }
    }

    /// What a member of several answers next; none at the end.
    fn poll_leader(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<LeaseKeepAliveResponse, Status>>> {
        let Some(renewing) = &mut self.renewing else { return Poll::Ready(None) };
        if let Err(refusal) = renewing.check() {
            return Poll::Ready(Some(Err(refusal.into())));
        }
        loop {
            if renewing.under_way.is_some() {
                return renewing.poll(context).map(|answer| Some(answer.map_err(Into::into)));
            }
            match Pin::new(&mut self.requests).poll_next(context) {
                Poll::Ready(Some(Ok(request))) => {
                    self.handle.count_request();
                    renewing.begin(request);
                }
                Poll::Ready(Some(Err(status))) => return Poll::Ready(Some(Err(status))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Stream for KeepingAlive {
    type Item = Result<LeaseKeepAliveResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        this.lapses.arm(context);
        if this.handle.with(|etcd| etcd.restarts()) != this.restarts {
            this.ended = true;
            return Poll::Ready(Some(Err(Refusal::Stopped.into())));
        }
        if this.renewing.is_some() {
            let next = this.poll_leader(context);
            this.ended = matches!(next, Poll::Ready(None | Some(Err(_))));
            return next;
        }
        if this.handle.is_leaderless() {
            // Only a leader renews leases; until there is one, nobody is answered.
            return Poll::Pending;
        }
        loop {
            if let Some(response) = this.waiting.take() {
                if this.handle.with(|etcd| etcd.is_expiring(response.id)) {
                    this.waiting = Some(response);
                    return Poll::Pending;
                }
                return Poll::Ready(Some(Ok(response)));
            }
            match Pin::new(&mut this.requests).poll_next(context) {
                Poll::Ready(Some(Ok(request))) => {
                    this.handle.count_request();
                    let now = (this.clock)();
                    match this.handle.with(|etcd| etcd.keep_alive(now, request)) {
                        KeepAlive::Now(response) => return Poll::Ready(Some(Ok(response))),
                        KeepAlive::WhenGone(response) => this.waiting = Some(response),
                    }
                }
                Poll::Ready(Some(Err(status))) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(status)));
                }
                Poll::Ready(None) => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
