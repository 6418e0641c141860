//! This stack's transports, and its client and server `grpc` with an address that is known beforehand.

use std::sync::Arc;

use bytes::Bytes;
use shaketable_stack::ErrorKind;
use shaketable_stack::client::{CallOptions, ClientStream, Context};
use shaketable_stack::env::{Env, Namespace, os};
use shaketable_stack::transport::grpc::GrpcTransport;
use shaketable_stack::transport::http::HttpTransport;
use shaketable_stack::transport::memory::MemoryTransport;
use shaketable_stack::transport::{DialOptions, ListenOptions, Message, Socket, Transport, TransportOptions};
use tokio::task::JoinSet;

use crate::echo::{Echo, Lane, Wire, held};
use crate::stack::{Call, Stack, calls};

/// A message each way on a socket of its own.
pub(crate) struct OnSocket(Arc<dyn Socket>);

/// `http`: a POST for each message.
pub(crate) async fn http(lanes: usize) -> Wire<OnSocket> {
    sockets(lanes, |env| Arc::new(HttpTransport::new(env, TransportOptions::default()))).await
}

/// `grpc`: a call that stays open for each socket.
pub(crate) async fn grpc(lanes: usize) -> Wire<OnSocket> {
    sockets(lanes, |env| Arc::new(GrpcTransport::new(env, TransportOptions::default()))).await
}

/// `memory`: queues.
pub(crate) async fn memory(lanes: usize) -> Wire<OnSocket> {
    sockets(lanes, |env| Arc::new(MemoryTransport::new(env, TransportOptions::default()))).await
}

async fn sockets(lanes: usize, make: impl FnOnce(Env) -> Arc<dyn Transport>) -> Wire<OnSocket> {
    let transport = make(os::env(Namespace::new("bench")));
    let listener = transport.listen("127.0.0.1:0", ListenOptions::default()).await.expect("a port is free");
    let (mut all, mut tasks) = (Vec::new(), JoinSet::new());
    for _ in 0..lanes {
        let options = DialOptions { stream: true, ..DialOptions::default() };
        let address = listener.address();
        // A transport may hand over an accepted socket with its first message only.
        let near = transport.dial(&address, options).await.expect("it listens");
        near.send(&Message::default()).await.expect("the socket is open");
        tasks.spawn(answer(listener.accept().await.expect("it was dialled")));
        near.recv().await.expect("an answer");
        all.push(OnSocket(near));
    }
    Wire { lanes: all, _held: held((transport, listener, tasks)) }
}

/// Answers each message with itself until the other end is gone.
async fn answer(socket: Arc<dyn Socket>) {
    loop {
        match socket.recv().await {
            Ok(message) => socket.send(&message).await.expect("the other end is there"),
            Err(error) if matches!(error.kind(), ErrorKind::EndOfStream | ErrorKind::Disconnected) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Lane for OnSocket {
    async fn exchange(&mut self, payload: &Bytes, read: impl Fn(&[u8])) {
        let message = Message { body: payload.clone(), ..Message::default() };
        self.0.send(&message).await.expect("the socket is open");
        read(&self.0.recv().await.expect("an answer").body);
    }
}

/// Client and server `grpc`, a call for each exchange.
pub(crate) async fn grpc_client(lanes: usize) -> Wire<Call> {
    calls(lanes, &Stack::start("grpc", "memory").await.with_known_address())
}

/// A stream of the client `grpc`.
pub(crate) struct OnStream(Box<dyn ClientStream>);

/// Client and server `grpc`, a stream that stays open for each lane.
pub(crate) async fn grpc_client_stream(lanes: usize) -> Wire<OnStream> {
    let stack = Stack::start("grpc", "memory").await.with_known_address();
    let mut all = Vec::new();
    for _ in 0..lanes {
        let request = stack.request("Echo.Stream", &Bytes::new());
        // The request itself opens the stream and is no message of the handler's.
        let stream = stack.client.stream(&Context::new(), &request, CallOptions::default()).await.expect("a stream");
        all.push(OnStream(stream));
    }
    Wire { lanes: all, _held: held(stack) }
}

impl Lane for OnStream {
    async fn exchange(&mut self, payload: &Bytes, read: impl Fn(&[u8])) {
        self.0.send(&Echo { payload: payload.clone() }).await.expect("the stream is open");
        let mut answer = Echo::default();
        self.0.recv(&mut answer).await.expect("an answer");
        read(&answer.payload);
    }
}
