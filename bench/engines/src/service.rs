//! The service that every contender runs, as tonic's generator would write it, and the client that calls it. It knows no
//! network: connections are given.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use shaketable_proto::probe::v1::{ProbeRequest, ProbeResponse};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::body::Body;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::load::HEAD_START;

/// The body of requests and answers.
const PAYLOAD: [u8; 64] = [7; 64];

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Serves every connection of `incoming`.
pub(crate) async fn serve<T>(incoming: impl Stream<Item = io::Result<Accepted<T>>>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Server::builder().serve_with_incoming(Echo, incoming).await.expect("the server serves");
}

/// Answers with what it is asked.
#[derive(Clone)]
struct Echo;

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let codec = ProstCodec::<ProbeResponse, ProbeRequest>::default();
            Ok(tonic::server::Grpc::new(codec).unary(Answer, request).await)
        })
    }
}

struct Answer;

impl Service<Request<ProbeRequest>> for Answer {
    type Response = Response<ProbeResponse>;
    type Error = Status;
    type Future = std::future::Ready<Result<Response<ProbeResponse>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ProbeRequest>) -> Self::Future {
        let payload = request.into_inner().payload;
        std::future::ready(Ok(Response::new(ProbeResponse { payload, ..ProbeResponse::default() })))
    }
}

/// A client with one connection, which counts its calls.
#[derive(Clone)]
pub(crate) struct Client {
    grpc: tonic::client::Grpc<Channel>,
    calls: Arc<AtomicU64>,
}

impl Client {
    /// Opens the connection.
    pub(crate) async fn connect<F, R, T>(connect: F, calls: Arc<AtomicU64>) -> Self
    where
        F: Fn() -> R + Send + 'static,
        R: Future<Output = io::Result<T>> + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let endpoint = Endpoint::from_static("http://neighbour");
        let channel = endpoint.connect_with_connector(Connector(connect)).await.expect("the neighbour listens");
        Self { grpc: tonic::client::Grpc::new(channel), calls }
    }

    /// Calls, and counts it.
    pub(crate) async fn call(&mut self) {
        self.grpc.ready().await.expect("the connection is open");
        let request = ProbeRequest { payload: PAYLOAD.to_vec().into(), ..ProbeRequest::default() };
        let codec = ProstCodec::<ProbeRequest, ProbeResponse>::default();
        let path = PathAndQuery::from_static("/probe.v1.Probe/Echo");
        let response = self.grpc.unary(Request::new(request), path, codec).await.expect("an answer");
        assert_eq!(response.get_ref().payload.len(), PAYLOAD.len());
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

/// When a client calls.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Between the first call and the second.
    pub(crate) offset: Duration,
    /// Between an answer and the next call.
    pub(crate) think: Duration,
}

/// Connects and then calls for ever; time passes in `sleep`.
pub(crate) async fn call_for_ever<F, R, T, S>(
    connect: F,
    pace: Pace,
    calls: Arc<AtomicU64>,
    sleep: impl Fn(Duration) -> S,
) where
    F: Fn() -> R + Send + 'static,
    R: Future<Output = io::Result<T>> + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Future<Output = ()>,
{
    sleep(HEAD_START).await;
    let mut client = Client::connect(connect, calls).await;
    client.call().await;
    if !pace.offset.is_zero() {
        sleep(pace.offset).await;
    }
    loop {
        client.call().await;
        if !pace.think.is_zero() {
            sleep(pace.think).await;
        }
    }
}

struct Connector<F>(F);

impl<F, R, T> Service<http::Uri> for Connector<F>
where
    F: Fn() -> R,
    R: Future<Output = io::Result<T>> + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Response = TokioIo<T>;
    type Error = io::Error;
    type Future = Boxed<io::Result<TokioIo<T>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let connecting = (self.0)();
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}

/// A connection that a server has accepted, as tonic wants it.
pub(crate) struct Accepted<T>(pub(crate) T);

impl<T> Connected for Accepted<T> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl<T: AsyncRead + Unpin> AsyncRead for Accepted<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, to)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Accepted<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
