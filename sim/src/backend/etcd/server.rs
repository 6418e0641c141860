//! Serves a simulated etcd over gRPC, thinly: requests are handed to the state machine with the time of the host's clock.
//! Every task belongs to the host, so a crash of the host ends the server and nothing else; data stays in the handle.

mod administration;
mod leadership;

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::Peekable;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use shaketable_proto::etcd::v3::rpc::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest,
    LeaseGrantResponse, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest, PutResponse, RangeRequest,
    RangeResponse, TxnRequest, TxnResponse, WatchRequest,
    auth_server::AuthServer,
    cluster_server::ClusterServer,
    kv_server::{Kv, KvServer},
    lease_server::{Lease, LeaseServer},
    maintenance_server::MaintenanceServer,
    watch_server::{Watch, WatchServer},
};
use shaketable_stack::env::{self, Env, Instant, Listener, Task};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::{Request, Response, Status, Streaming};
use tower_service::Service as _;

use leadership::{Asks, insists_on_leader};

use super::handle::EtcdHandle;
use super::kv::{check_delete, check_put, check_range};
use super::streams::{KeepingAlive, Renewing, Watching};
use super::{EtcdMember, Refusal};

/// The largest message that is read at all: etcd's request limit and half a mebibyte for what surrounds it.
const MESSAGE_BYTES_MAX: usize = 4 * 512 * 1024;

/// gRPC's number for what is not implemented.
const UNIMPLEMENTED: &str = "12";

/// Tells the time that the state machine is told.
pub(super) type Clock = dyn Fn() -> Duration + Send + Sync;

/// What a request does to the state machine.
type Act<Q, T> = fn(&mut super::Etcd, Duration, Q) -> Result<T, Refusal>;

/// Listens at `address` and serves until the listener fails or this future is dropped. The first call for a handle starts
/// it, each further one is a restart. Its time is the host's monotonic clock since its origin; that must run on through
/// restarts of the host.
///
/// # Errors
/// What the network says about listening or accepting.
pub async fn run(env: Env, address: &str, handle: EtcdHandle) -> io::Result<()> {
    let listener = env.network().listen(address).await?;
    serve_at(env, listener, handle).await
}

/// Serves whoever `listener` accepts, until it fails or this future is dropped; see [`run`].
///
/// # Errors
/// What the network says about accepting.
pub async fn serve_at(env: Env, listener: Box<dyn Listener>, handle: EtcdHandle) -> io::Result<()> {
    serve(env, accepted(listener), handle).await
}

fn accepted(listener: Box<dyn Listener>) -> impl Stream<Item = io::Result<env::Stream>> + Send {
    futures_util::stream::unfold(listener, |mut listener| async move {
        let accepted = listener.accept().await;
        Some((accepted, listener))
    })
}

/// Serves every stream of `incoming` until it ends or fails, or this future is dropped; see [`run`].
///
/// # Errors
/// The first error of `incoming`.
pub async fn serve<Io>(
    env: Env,
    incoming: impl Stream<Item = io::Result<Io>> + Send,
    handle: EtcdHandle,
) -> io::Result<()>
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let clock: Arc<Clock> = {
        let env = env.clone();
        let handle = handle.clone();
        Arc::new(move || handle.time(env.now().since_origin()))
    };
    handle.start(clock());
    let _driver = env.spawn("etcd driver", drive(env.clone(), clock.clone(), handle.clone()));
    answer_all(env.clone(), incoming, Service { env, handle, clock, member: None }).await
}

/// Listens at `address` and serves as one member of a cluster, which talks to the others over the network of `env`, until the
/// listener fails or this future is dropped. The first call for a member starts it, each further one is a restart.
///
/// # Errors
/// What the network says about listening or accepting.
pub async fn run_member(env: Env, address: &str, member: EtcdMember) -> io::Result<()> {
    let listener = env.network().listen(address).await?;
    let clock: Arc<Clock> = {
        let env = env.clone();
        Arc::new(move || env.now().since_origin())
    };
    member.start(clock());
    let peer = {
        let (env, member) = (env.clone(), member.clone());
        async move { member.run(env).await }
    };
    let service = Service { env: env.clone(), handle: member.handle().clone(), clock, member: Some(member) };
    match select(pin!(peer), pin!(answer_all(env, accepted(listener), service))).await {
        Either::Left((ended, _)) | Either::Right((ended, _)) => ended,
    }
}

/// Answers on every stream of `incoming`.
async fn answer_all<Io>(
    env: Env,
    incoming: impl Stream<Item = io::Result<Io>> + Send,
    service: Service,
) -> io::Result<()>
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let routes = Routes::new(&service);
    let mut http = hyper::server::conn::http2::Builder::new(env.executor("etcd stream"));
    // etcd sends no date and sets no limit of its own on streams.
    http.auto_date_header(false).max_concurrent_streams(u32::MAX);
    let mut incoming = pin!(incoming);
    let mut connections: Vec<Task> = Vec::new();
    while let Some(stream) = incoming.next().await {
        let routes = routes.clone();
        let answer = service_fn(move |request| routes.clone().answer(request));
        let connection = http.serve_connection(TokioIo::new(stream?), answer);
        connections.retain(|connection| !connection.is_finished());
        connections.push(env.spawn("etcd connection", async move {
            // A connection that breaks is the client's loss; it sees the error on its side.
            let _ = connection.await;
        }));
    }
    Ok(())
}

/// Lets time pass in the state machine, whenever something comes due.
async fn drive(env: Env, clock: Arc<Clock>, handle: EtcdHandle) {
    loop {
        let changed = pin!(handle.changed());
        let now = clock();
        let due = handle.with(|etcd| {
            etcd.advance(now);
            etcd.next_due()
        });
        match due {
            Some(due) => {
                let due = Instant::from_origin(handle.host_time(due));
                select(changed, env.clock().sleep_until(due)).await;
            }
            None => changed.await,
        }
    }
}

/// etcd's services by name. tonic's own router would bring an HTTP framework into every stranger's tests.
#[derive(Clone)]
struct Routes {
    kv: KvServer<Service>,
    watch: WatchServer<Service>,
    lease: LeaseServer<Service>,
    cluster: ClusterServer<Service>,
    maintenance: MaintenanceServer<Service>,
    auth: AuthServer<Service>,
    handle: EtcdHandle,
}

impl Routes {
    fn new(service: &Service) -> Self {
        Self {
            kv: KvServer::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX),
            watch: WatchServer::new(service.clone()),
            lease: LeaseServer::new(service.clone()),
            cluster: ClusterServer::new(service.clone()),
            maintenance: MaintenanceServer::new(service.clone()),
            auth: AuthServer::new(service.clone()),
            handle: service.handle.clone(),
        }
    }

    async fn answer(mut self, request: http::Request<Incoming>) -> Result<http::Response<Body>, Infallible> {
        self.handle.count_request();
        let path = request.uri().path().to_owned();
        let (service, method) = path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or_default();
        let answer = match service {
            "etcdserverpb.KV" => self.kv.call(request).await?,
            "etcdserverpb.Watch" => self.watch.call(request).await?,
            "etcdserverpb.Lease" => self.lease.call(request).await?,
            "etcdserverpb.Cluster" => self.cluster.call(request).await?,
            "etcdserverpb.Maintenance" => self.maintenance.call(request).await?,
            "etcdserverpb.Auth" => self.auth.call(request).await?,
            // As grpc-go answers.
            service => return Ok(Status::unimplemented(format!("unknown service {service}")).into_http()),
        };
        // tonic says no more than that a method is not there; grpc-go names it.
        let headers = answer.headers();
        let is_unknown = headers.get("grpc-status").is_some_and(|code| code == UNIMPLEMENTED);
        Ok(if is_unknown && !headers.contains_key("grpc-message") {
            Status::unimplemented(format!("unknown method {method} for service {service}")).into_http()
        } else {
            answer
        })
    }
}

/// Answers with the headers of a stream when its first message is there. gRPC in Go does the same, so that a client which
/// waits for the headers before it asks anything waits for ever: here as with the real server.
async fn once_it_speaks<T, S>(stream: S) -> Result<Response<Peekable<S>>, Status>
where
    S: Stream<Item = Result<T, Status>> + Unpin,
{
    let mut stream = stream.peekable();
    match Pin::new(&mut stream).peek().await {
        Some(Err(status)) => Err(status.clone()),
        Some(Ok(_)) | None => Ok(Response::new(stream)),
    }
}

#[derive(Clone)]
struct Service {
    env: Env,
    handle: EtcdHandle,
    clock: Arc<Clock>,
    /// The member of several that it is.
    member: Option<EtcdMember>,
}

impl Service {
    fn ask<T, E: Into<Status>>(
        &self,
        ask: impl FnOnce(&mut super::Etcd, Duration) -> Result<T, E>,
    ) -> Result<Response<T>, Status> {
        let now = (self.clock)();
        self.handle.with(|etcd| ask(etcd, now)).map(Response::new).map_err(Into::into)
    }

    fn tell<T>(&self, tell: impl FnOnce(&mut super::Etcd, Duration) -> T) -> Result<Response<T>, Status> {
        self.ask(|etcd, now| Ok::<T, Status>(tell(etcd, now)))
    }

    /// Does what goes through the log.
    async fn change<Q, T>(&self, request: Request<Q>, act: Act<Q, T>) -> Result<Response<T>, Status>
    where
        Q: Clone + Send + Sync + 'static,
        T: Send + 'static,
    {
        self.lead(&request, Asks::Leader).await?;
        match &self.member {
            None => self.ask(|etcd, now| act(etcd, now, request.into_inner())),
            Some(member) => Ok(Response::new(member.change(&self.env, request.into_inner(), act).await?)),
        }
    }
}

#[tonic::async_trait]
impl Kv for Service {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        if self.member.is_some() {
            check_range(request.get_ref())?;
        }
        let asks = if request.get_ref().serializable { Asks::Anybody } else { Asks::SameLeader };
        self.lead(&request, asks).await?;
        self.ask(|etcd, now| etcd.range(now, request.get_ref()))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        if self.member.is_some() {
            check_put(request.get_ref())?;
        }
        self.change(request, super::Etcd::put).await
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        if self.member.is_some() {
            check_delete(request.get_ref())?;
        }
        self.change(request, |etcd, now, request| etcd.delete_range(now, &request)).await
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        match Asks::of_txn(request.get_ref()) {
            Asks::Leader => self.change(request, super::Etcd::txn).await,
            asks => {
                self.lead(&request, asks).await?;
                self.ask(|etcd, now| etcd.txn(now, request.into_inner()))
            }
        }
    }

    async fn compact(&self, request: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        self.change(request, super::Etcd::compact).await
    }
}

#[tonic::async_trait]
impl Watch for Service {
    type WatchStream = Peekable<Watching>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        let insists = insists_on_leader(&request);
        self.lead(&request, Asks::Anybody).await?;
        once_it_speaks(Watching::new(&self.handle, self.clock.clone(), request.into_inner(), insists)).await
    }
}

#[tonic::async_trait]
impl Lease for Service {
    type LeaseKeepAliveStream = Peekable<KeepingAlive>;

    async fn lease_grant(&self, request: Request<LeaseGrantRequest>) -> Result<Response<LeaseGrantResponse>, Status> {
        self.change(request, super::Etcd::lease_grant).await
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        self.change(request, super::Etcd::lease_revoke).await
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let insists = insists_on_leader(&request);
        self.lead(&request, Asks::Anybody).await?;
        let renewing = self.member.clone().map(|member| Renewing::new(self.env.clone(), member, insists));
        once_it_speaks(KeepingAlive::new(&self.handle, self.clock.clone(), request.into_inner(), renewing)).await
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let Some(member) = &self.member else {
            self.lead(&request, Asks::Primary).await?;
            return self.tell(|etcd, now| etcd.lease_time_to_live(now, request.into_inner()));
        };
        self.lead(&request, Asks::Anybody).await?;
        let request = request.into_inner();
        // Only a leader knows when a lease ends.
        let mut answer = member.ask_leader(&self.env, move |etcd, now| etcd.lease_time_to_live(now, request)).await?;
        answer.header = self.handle.with(|etcd| Some(etcd.header()));
        Ok(Response::new(answer))
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        self.lead(&request, Asks::Anybody).await?;
        self.tell(super::Etcd::lease_leases)
    }
}
