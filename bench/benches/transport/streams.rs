//! A message each way on a tonic stream that stays open: a stream for each lane, all on one channel.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::StreamingService;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::bare_tonic::connect;
use crate::echo::{Echo, Lane, Wire, held};

pub(crate) struct Stream {
    requests: mpsc::Sender<Echo>,
    answers: Streaming<Echo>,
}

pub(crate) async fn tonic(lanes: usize) -> Wire<Stream> {
    let (channel, tasks) = connect(Answer).await;
    let mut all = Vec::new();
    for _ in 0..lanes {
        let (requests, outgoing) = mpsc::channel(1);
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.expect("the connection holds");
        let (path, codec) = (PathAndQuery::from_static("/bench.Echo/Stream"), ProstCodec::<Echo, Echo>::default());
        let request = Request::new(ReceiverStream::new(outgoing));
        let answers = client.streaming(request, path, codec).await.expect("a stream").into_inner();
        all.push(Stream { requests, answers });
    }
    Wire { lanes: all, _held: held(tasks) }
}

impl Lane for Stream {
    async fn exchange(&mut self, payload: &Bytes, read: impl Fn(&[u8])) {
        self.requests.send(Echo { payload: payload.clone() }).await.expect("the stream is open");
        read(&self.answers.message().await.expect("the stream is open").expect("an answer").payload);
    }
}

/// Answers each message with itself.
#[derive(Clone)]
struct Answer;

impl StreamingService<Echo> for Answer {
    type Response = Echo;
    type ResponseStream = Streaming<Echo>;
    type Future = Ready<Result<Response<Streaming<Echo>>, Status>>;

    fn call(&mut self, request: Request<Streaming<Echo>>) -> Self::Future {
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
            Ok(tonic::server::Grpc::new(codec).streaming(Self, request).await)
        })
    }
}
