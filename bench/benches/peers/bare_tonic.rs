//! tonic with its own codec over prost, as its generator would write it: one channel for all lanes, a unary call for each
//! exchange.
#![expect(clippy::disallowed_types, reason = "a peer on the system's own sockets")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::server::UnaryService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::echo::{Echo, Lane, Wire, held};

/// A lane of calls.
pub(crate) struct Unary(pub(crate) tonic::client::Grpc<Channel>);

pub(crate) async fn unary(lanes: usize) -> Wire<Unary> {
    let (channel, tasks) = connect(Answer).await;
    let lane = |_| Unary(tonic::client::Grpc::new(channel.clone()));
    Wire { lanes: (0..lanes).map(lane).collect(), _held: held(tasks) }
}

/// A channel to a server of `service`.
pub(crate) async fn connect<S>(service: S) -> (Channel, JoinSet<()>)
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { Server::builder().serve_with_incoming(service, incoming).await.expect("it serves") });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    (endpoint.connect().await.expect("it listens"), tasks)
}

impl Lane for Unary {
    async fn exchange(&mut self, payload: &Bytes, read: impl Fn(&[u8])) {
        self.0.ready().await.expect("the connection holds");
        let request = Request::new(Echo { payload: payload.clone() });
        let path = PathAndQuery::from_static("/bench.Echo/Unary");
        let codec = ProstCodec::<Echo, Echo>::default();
        let response: Response<Echo> = self.0.unary(request, path, codec).await.expect("an answer");
        read(&response.into_inner().payload);
    }
}

/// Answers with what it is asked.
#[derive(Clone)]
pub(crate) struct Answer;

impl UnaryService<Echo> for Answer {
    type Response = Echo;
    type Future = Ready<Result<Response<Echo>, Status>>;

    fn call(&mut self, request: Request<Echo>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl Service<http::Request<Body>> for Answer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let codec = ProstCodec::<Echo, Echo>::default();
            Ok(tonic::server::Grpc::new(codec).unary(Self, request).await)
        })
    }
}
