//! The server, through the generated clients, over in-memory pipes and a paused clock.

use std::future::{Ready, ready};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use shaketable_proto::etcd::v3::rpc::{
    DeleteRangeRequest, LeaseKeepAliveRequest, MemberListRequest, StatusRequest, WatchCreateRequest, WatchRequest,
    cluster_client::ClusterClient, kv_client::KvClient, lease_client::LeaseClient,
    maintenance_client::MaintenanceClient, watch_client::WatchClient, watch_request::RequestUnion,
};
use shaketable_stack::env::{Env, Namespace, Task, os};
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request};

use super::super::{Etcd, EtcdConfig, EtcdHandle, server::serve};
use super::{at, bytes, get, grant, put};

/// A server without a network: whoever connects hands it one end of a pipe.
struct Served {
    env: Env,
    handle: EtcdHandle,
    connector: Connector,
    server: Task,
}

impl Served {
    fn start(env: &Env, handle: EtcdHandle) -> Self {
        let (sender, receiver) = unbounded_channel();
        let serving = serve(env.clone(), UnboundedReceiverStream::new(receiver), handle.clone());
        let server = env.spawn("etcd", async move { serving.await.unwrap() });
        Self { env: env.clone(), handle, connector: Connector(Arc::new(sender)), server }
    }

    fn new() -> Self {
        let env = os::env(Namespace::new("test"));
        let now = env.now().since_origin();
        Self::start(&env, EtcdHandle::new(Etcd::new(EtcdConfig::default(), now)))
    }

    async fn connect(&self) -> Channel {
        let endpoint = Endpoint::from_static("http://etcd").executor(self.env.executor("client"));
        endpoint.connect_with_connector(self.connector.clone()).await.unwrap()
    }
}

#[derive(Clone)]
struct Connector(Arc<UnboundedSender<io::Result<DuplexStream>>>);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let (near, far) = tokio::io::duplex(64 << 10);
        ready(match self.0.send(Ok(far)) {
            Ok(()) => Ok(TokioIo::new(near)),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        })
    }
}

fn watch_from(key: &str, start_revision: i64) -> WatchRequest {
    let create = WatchCreateRequest { key: bytes(key), start_revision, ..WatchCreateRequest::default() };
    WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_and_refusals_carry_their_code() {
    let served = Served::new();
    let channel = served.connect().await;
    let mut kv = KvClient::new(channel.clone());
    kv.put(put("a", "1", 0)).await.unwrap();
    let found = kv.range(get("a", "")).await.unwrap().into_inner();
    assert_eq!((found.count, found.kvs[0].value.clone()), (1, bytes("1")));
    let refused = kv.delete_range(DeleteRangeRequest::default()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "etcdserver: key is not provided"));
    let status = MaintenanceClient::new(channel.clone()).status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.version, "3.4.23");
    let members = ClusterClient::new(channel).member_list(MemberListRequest::default()).await.unwrap().into_inner();
    assert_eq!(members.members[0].id, status.leader);
}

#[tokio::test(start_paused = true)]
async fn a_method_that_is_not_there_is_unimplemented() {
    let served = Served::new();
    let mut client = tonic::client::Grpc::new(served.connect().await);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<StatusRequest, StatusRequest>::default();
    let path = http::uri::PathAndQuery::from_static("/etcdserverpb.Maintenance/Downgrade");
    let refused = client.unary(Request::new(StatusRequest {}), path, codec).await.unwrap_err();
    let message = "unknown method Downgrade for service etcdserverpb.Maintenance";
    assert_eq!((refused.code(), refused.message()), (Code::Unimplemented, message));
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_woken_by_other_clients_by_time_and_by_the_world() {
    let served = Served::new();
    let channel = served.connect().await;
    let (requests, receiver) = unbounded_channel();
    requests.send(watch_from("a", 0)).unwrap();
    let mut watch = WatchClient::new(channel.clone()).watch(UnboundedReceiverStream::new(receiver)).await.unwrap();
    let watch = watch.get_mut();
    assert!(watch.message().await.unwrap().unwrap().created);
    let mut lease = LeaseClient::new(channel);
    lease.lease_grant(grant(7, 5)).await.unwrap();
    KvClient::new(served.connect().await).put(put("a", "1", 7)).await.unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().events.len(), 1);
    // Nobody renews: the lease ends by the server's own clock.
    let expired = served.env.timeout(at(6000), watch.message()).await.expect("expiry in time").unwrap().unwrap();
    assert_eq!(expired.events[0].r#type, 1);
    let now = served.env.now().since_origin();
    served.handle.with(|etcd| etcd.put(now, put("a", "2", 0)).unwrap());
    assert_eq!(watch.message().await.unwrap().unwrap().events.len(), 1);
    // A watch from the past is served by the driver at the next sync.
    requests.send(watch_from("a", 1)).unwrap();
    assert!(watch.message().await.unwrap().unwrap().created);
    let history = served.env.timeout(at(200), watch.message()).await.expect("history in time").unwrap().unwrap();
    assert_eq!((history.watch_id, history.events.len()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn keep_alives_renew_and_one_that_comes_too_late_is_answered_when_the_lease_is_gone() {
    let served = Served::new();
    let mut lease = LeaseClient::new(served.connect().await);
    served.env.sleep(at(100)).await;
    lease.lease_grant(grant(7, 2)).await.unwrap();
    let (requests, receiver) = unbounded_channel();
    requests.send(LeaseKeepAliveRequest { id: 404 }).unwrap();
    let mut answers = lease.lease_keep_alive(UnboundedReceiverStream::new(receiver)).await.unwrap();
    let answers = answers.get_mut();
    assert_eq!(answers.message().await.unwrap().unwrap().ttl, 0);
    served.env.sleep(at(1500)).await;
    requests.send(LeaseKeepAliveRequest { id: 7 }).unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().ttl, 2);
    served.env.sleep(at(2100)).await;
    requests.send(LeaseKeepAliveRequest { id: 7 }).unwrap();
    let asked_at = served.env.now();
    assert_eq!(answers.message().await.unwrap().unwrap().ttl, 0);
    assert!(served.env.now() > asked_at, "the answer waits for the check");
    drop(requests);
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_sends_no_headers_before_its_first_message() {
    let served = Served::new();
    let mut lease = LeaseClient::new(served.connect().await);
    let (requests, receiver) = unbounded_channel();
    let mut opening = pin!(lease.lease_keep_alive(UnboundedReceiverStream::new(receiver)));
    assert!(served.env.timeout(at(10_000), &mut opening).await.is_err());
    requests.send(LeaseKeepAliveRequest { id: 7 }).unwrap();
    let answer = served.env.timeout(at(10), opening).await.expect("headers in time").unwrap().get_mut().message().await;
    assert_eq!(answer.unwrap().unwrap().ttl, 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_server_keeps_data_and_ends_streams_and_tasks() {
    let served = Served::new();
    let channel = served.connect().await;
    KvClient::new(channel.clone()).put(put("a", "1", 0)).await.unwrap();
    let (requests, receiver) = unbounded_channel();
    requests.send(watch_from("a", 0)).unwrap();
    let mut watch = WatchClient::new(channel).watch(UnboundedReceiverStream::new(receiver)).await.unwrap();
    assert!(watch.get_mut().message().await.unwrap().unwrap().created);
    let Served { env, handle, server, .. } = served;
    server.abort();
    server.join().await;
    assert!(watch.get_mut().message().await.is_err());
    let again = Served::start(&env, handle);
    let found = KvClient::new(again.connect().await).range(get("a", "")).await.unwrap().into_inner();
    assert_eq!((found.count, found.header.unwrap().raft_term), (1, 3));
    assert_eq!(again.handle.with(|etcd| etcd.watch_streams()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let served = Served::new();
    let before = served.env.live_tasks().total();
    let channel = served.connect().await;
    let (requests, receiver) = unbounded_channel();
    requests.send(watch_from("a", 0)).unwrap();
    let mut watch =
        WatchClient::new(channel.clone()).watch(UnboundedReceiverStream::new(receiver)).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().unwrap().created);
    assert_eq!(served.handle.with(|etcd| etcd.watch_streams()), 1);
    drop((watch, requests, channel));
    served.env.sleep(at(100)).await;
    assert_eq!(served.handle.with(|etcd| etcd.watch_streams()), 0);
    // The driver has been started by then; everything else that came with the client has ended.
    assert_eq!(served.env.live_tasks().total(), before + 1, "{:?}", served.env.live_tasks().counts());
}
