//! Serves a simulated etcd over gRPC, thinly: requests are handed to the state machine with the time of the host's clock.
//! Every task belongs to the host, so a crash of the host ends the server and nothing else; data stays in the handle.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::future::select;
use futures_util::stream::Peekable;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use shaketable_proto::etcd::v3::rpc::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest,
    LeaseGrantResponse, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, MemberListRequest, MemberListResponse,
    PutRequest, PutResponse, RangeRequest, RangeResponse, StatusRequest, StatusResponse, TxnRequest, TxnResponse,
    WatchRequest,
    cluster_server::{Cluster, ClusterServer},
    kv_server::{Kv, KvServer},
    lease_server::{Lease, LeaseServer},
    maintenance_server::{Maintenance, MaintenanceServer},
    watch_server::{Watch, WatchServer},
};
use shaketable_stack::env::{Env, Instant, Task};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::{Request, Response, Status, Streaming};
use tower_service::Service as _;

use super::handle::EtcdHandle;
use super::streams::{KeepingAlive, Watching};

/// The largest message that is read at all: etcd's request limit and half a mebibyte for what surrounds it.
const MESSAGE_BYTES_MAX: usize = 4 * 512 * 1024;

/// Tells the time that the state machine is told.
pub(super) type Clock = dyn Fn() -> Duration + Send + Sync;

/// Listens at `address` and serves until the listener fails or this future is dropped. The first call for a handle starts
/// it, each further one is a restart. Its time is the host's monotonic clock since its origin; that must run on through
/// restarts of the host.
///
/// # Errors
/// What the network says about listening or accepting.
pub async fn run(env: Env, address: &str, handle: EtcdHandle) -> io::Result<()> {
    let listener = env.network().listen(address).await?;
    let incoming = futures_util::stream::unfold(listener, |mut listener| async move {
        let accepted = listener.accept().await;
        Some((accepted, listener))
    });
    serve(env, incoming, handle).await
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
        Arc::new(move || env.now().since_origin())
    };
    handle.start(clock());
    let _driver = env.spawn("etcd driver", drive(env.clone(), clock.clone(), handle.clone()));
    let routes = Routes::new(&Service { handle, clock });
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
                select(changed, env.clock().sleep_until(Instant::from_origin(due))).await;
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
            handle: service.handle.clone(),
        }
    }

    async fn answer(mut self, request: http::Request<Incoming>) -> Result<http::Response<Body>, Infallible> {
        self.handle.count_request();
        let path = request.uri().path().to_owned();
        match path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(service, _)| service) {
            Some("etcdserverpb.KV") => self.kv.call(request).await,
            Some("etcdserverpb.Watch") => self.watch.call(request).await,
            Some("etcdserverpb.Lease") => self.lease.call(request).await,
            Some("etcdserverpb.Cluster") => self.cluster.call(request).await,
            Some("etcdserverpb.Maintenance") => self.maintenance.call(request).await,
            // As grpc-go answers.
            service => {
                Ok(Status::unimplemented(format!("unknown service {}", service.unwrap_or_default())).into_http())
            }
        }
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
    handle: EtcdHandle,
    clock: Arc<Clock>,
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
}

#[tonic::async_trait]
impl Kv for Service {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        self.ask(|etcd, now| etcd.range(now, request.get_ref()))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.ask(|etcd, now| etcd.put(now, request.into_inner()))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        self.ask(|etcd, now| etcd.delete_range(now, request.get_ref()))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        self.ask(|etcd, now| etcd.txn(now, request.into_inner()))
    }

    async fn compact(&self, request: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        self.ask(|etcd, now| etcd.compact(now, request.into_inner()))
    }
}

#[tonic::async_trait]
impl Watch for Service {
    type WatchStream = Peekable<Watching>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        once_it_speaks(Watching::new(&self.handle, self.clock.clone(), request.into_inner())).await
    }
}

#[tonic::async_trait]
impl Lease for Service {
    type LeaseKeepAliveStream = Peekable<KeepingAlive>;

    async fn lease_grant(&self, request: Request<LeaseGrantRequest>) -> Result<Response<LeaseGrantResponse>, Status> {
        self.ask(|etcd, now| etcd.lease_grant(now, request.into_inner()))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        self.ask(|etcd, now| etcd.lease_revoke(now, request.into_inner()))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        once_it_speaks(KeepingAlive::new(&self.handle, self.clock.clone(), request.into_inner())).await
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        self.tell(|etcd, now| etcd.lease_time_to_live(now, request.into_inner()))
    }

    async fn lease_leases(
        &self,
        _request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        self.tell(super::Etcd::lease_leases)
    }
}

#[tonic::async_trait]
impl Cluster for Service {
    async fn member_list(&self, _request: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        self.tell(super::Etcd::member_list)
    }
}

#[tonic::async_trait]
impl Maintenance for Service {
    async fn status(&self, _request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        self.tell(super::Etcd::status)
    }
}
