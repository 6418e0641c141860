//! volo-grpc: a call for each exchange, or a message each way on a stream that stays open; one client for all lanes. Message,
//! client and server are written by hand as its generator writes them.
#![expect(clippy::disallowed_types, reason = "a peer on the system's own sockets")]

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use pilota::LinkedBytes;
use pilota::pb::encoding::{DecodeContext, EncodeLengthContext, WireType, bytes as field, skip_field};
use pilota::pb::{DecodeError, Message};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use volo::net::Address;
use volo::net::incoming::DefaultIncoming;
use volo::service::{BoxCloneService, Service};
use volo_grpc::body::BoxBody;
use volo_grpc::client::ClientBuilder;
use volo_grpc::codec::compression::CompressionEncoding;
use volo_grpc::codec::decode::Kind;
use volo_grpc::codec::encode::encode;
use volo_grpc::codegen::Frame;
use volo_grpc::context::{ClientContext, ServerContext};
use volo_grpc::server::{NamedService, Server, ServiceBuilder};
use volo_grpc::{BoxStream, Client, RecvEntryMessage, RecvStream, Request, Response, SendEntryMessage, Status};

use crate::echo::{Lane, Wire, held};

const UNARY: &str = "/bench.Echo/Unary";
const STREAM: &str = "/bench.Echo/Stream";

#[derive(Clone, Debug, Default)]
struct Echo {
    payload: Bytes,
}

impl Message for Echo {
    fn encoded_len(&self, context: &mut EncodeLengthContext) -> usize {
        field::encoded_len(context, 1, &self.payload)
    }

    fn encode_raw(&self, buffer: &mut LinkedBytes) {
        field::encode(1, &self.payload, buffer);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut Bytes,
        context: &mut DecodeContext,
        _is_root: bool,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => field::merge(wire_type, &mut self.payload, buffer, context),
            _ => skip_field(wire_type, tag, buffer, context),
        }
    }
}

/// What either end sends.
struct Outgoing(BoxStream<'static, Result<Echo, Status>>);

impl SendEntryMessage for Outgoing {
    fn into_body(self, compression: Option<CompressionEncoding>) -> BoxStream<'static, Result<Frame<Bytes>, Status>> {
        encode(self.0, compression)
    }
}

/// What either end receives.
struct Incoming(RecvStream<Echo>);

impl RecvEntryMessage for Incoming {
    fn from_body(
        _method: Option<&str>,
        body: BoxBody,
        kind: Kind,
        compression: Option<CompressionEncoding>,
    ) -> Result<Self, Status> {
        Ok(Self(RecvStream::new(body, kind, compression)))
    }
}

type EchoClient = Client<BoxCloneService<ClientContext, Request<Outgoing>, Response<Incoming>, Status>>;

struct MakeClient;

impl<S> volo::client::MkClient<Client<S>> for MakeClient {
    type Target = Client<S>;

    fn mk_client(&self, service: Client<S>) -> Client<S> {
        service
    }
}

/// Answers with what it is asked.
#[derive(Clone)]
struct Answer;

impl NamedService for Answer {
    const NAME: &'static str = "bench.Echo";
}

impl Service<ServerContext, Request<Incoming>> for Answer {
    type Response = Response<Outgoing>;
    type Error = Status;

    async fn call(&self, context: &mut ServerContext, request: Request<Incoming>) -> Result<Self::Response, Status> {
        let Incoming(mut messages) = request.into_inner();
        match context.rpc_info.method().as_str() {
            UNARY => {
                let message = messages.try_next().await?.ok_or_else(|| Status::internal("no message"))?;
                messages.trailers().await?;
                Ok(Response::new(Outgoing(Box::pin(stream::once(future::ok(message))))))
            }
            _ => Ok(Response::new(Outgoing(Box::pin(messages)))),
        }
    }
}

pub(crate) struct Unary(EchoClient);

pub(crate) async fn unary(lanes: usize) -> Wire<Unary> {
    let (client, tasks) = connect().await;
    Wire { lanes: (0..lanes).map(|_| Unary(client.clone())).collect(), _held: held(tasks) }
}

impl Lane for Unary {
    async fn exchange(&mut self, payload: &Bytes, read: impl Fn(&[u8])) {
        let message = Echo { payload: payload.clone() };
        let mut answers = call(&self.0, UNARY, stream::once(future::ok(message))).await;
        read(&answers.try_next().await.expect("an answer").expect("an answer").payload);
        answers.trailers().await.expect("the end of an answer");
    }
}

pub(crate) struct Stream {
    requests: mpsc::Sender<Echo>,
    answers: RecvStream<Echo>,
}

pub(crate) async fn stream(lanes: usize) -> Wire<Stream> {
    let (client, tasks) = connect().await;
    let mut all = Vec::new();
    for _ in 0..lanes {
        let (requests, outgoing) = mpsc::channel(1);
        let answers = call(&client, STREAM, ReceiverStream::new(outgoing).map(Ok)).await;
        all.push(Stream { requests, answers });
    }
    Wire { lanes: all, _held: held((tasks, client)) }
}

impl Lane for Stream {
    async fn exchange(&mut self, payload: &Bytes, read: impl Fn(&[u8])) {
        self.requests.send(Echo { payload: payload.clone() }).await.expect("the stream is open");
        read(&self.answers.try_next().await.expect("an answer").expect("an answer").payload);
    }
}

async fn call(
    client: &EchoClient,
    path: &'static str,
    messages: impl stream::Stream<Item = Result<Echo, Status>> + Send + 'static,
) -> RecvStream<Echo> {
    let mut context = client.make_cx(path);
    let request = Request::new(Outgoing(Box::pin(messages)));
    Service::call(client, &mut context, request).await.expect("an answer").into_inner().0
}

async fn connect() -> (EchoClient, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = Address::from(listener.local_addr().expect("it is bound"));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let server = Server::new().add_service(ServiceBuilder::new(Answer).build::<Incoming, Outgoing>());
        server.run(DefaultIncoming::from(listener)).await.expect("it serves");
    });
    let builder: ClientBuilder<_, _, MakeClient, _, Outgoing, Incoming> = ClientBuilder::new(MakeClient, "echo");
    (builder.address(address).build(), tasks)
}
