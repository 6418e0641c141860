//! The accepting end: calls of the one method become sockets, all others are refused.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use async_trait::async_trait;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use tokio::sync::mpsc;
use tonic::Code;

use super::super::config::HEADER_BYTES_MAX;
use super::super::connect::Arrival;
use super::super::{Socket, TransportOptions};
use super::link::{Hold, Holders, Holding, LINGER, WeakHold, hold};
use super::socket::{GrpcSocket, Side};
use super::tracked::Tracked;
use super::{CONNECTION_WINDOW_BYTES, CONTENT_TYPE, PATH, TASK, WINDOW_BYTES, is_grpc};
use crate::env::{Env, Stream};
use crate::grpc::status;

/// How long a peer may take to begin HTTP/2.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Sockets on one connection.
const STREAMS_MAX: u32 = 128;

/// Every accepted stream is a connection with a task of its own.
pub(super) struct Accepted {
    env: Env,
    options: TransportOptions,
    /// The listener's holds; they go with it.
    connections: Vec<Hold>,
}

impl Accepted {
    pub(super) fn new(env: &Env, options: TransportOptions) -> Self {
        Self { env: env.clone(), options, connections: Vec::new() }
    }
}

#[async_trait]
impl Arrival for Accepted {
    async fn arrive(&mut self, stream: Stream, sockets: &mpsc::Sender<Arc<dyn Socket>>) {
        let (hold, holders) = hold(&self.env);
        let served = Served {
            env: self.env.clone(),
            options: self.options.clone(),
            sockets: sockets.clone(),
            hold: hold.downgrade(),
            addresses: (stream.local_address(), stream.peer_address()),
        };
        self.env.spawn(TASK, served.run(stream, holders)).detach();
        self.connections.retain(|connection| !connection.is_over());
        self.connections.push(hold);
    }
}

/// What a connection's task needs.
struct Served {
    env: Env,
    options: TransportOptions,
    sockets: mpsc::Sender<Arc<dyn Socket>>,
    hold: WeakHold,
    addresses: (SocketAddr, SocketAddr),
}

impl Served {
    async fn run(self, stream: Stream, mut holders: Holders) {
        let mut builder = h2::server::Builder::new();
        builder
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_BYTES_MAX as u32);
        let stream = Tracked::new(stream, Arc::default());
        let rest = stream.rest();
        let handshake = builder.handshake::<_, Bytes>(stream);
        let Ok(Ok(mut connection)) = self.env.timeout(HANDSHAKE_TIMEOUT, handshake).await else { return };
        let ended = poll_fn(|context| {
            loop {
                match connection.poll_accept(context) {
                    Poll::Ready(Some(Ok((request, response)))) => self.open(request, response),
                    Poll::Ready(_) => return Poll::Ready(true),
                    Poll::Pending => match holders.poll(context) {
                        Holding::Unchanged => return Poll::Pending,
                        // It says good-bye, and waits for what its sockets have sent to go out.
                        Holding::LetGo => connection.graceful_shutdown(),
                        Holding::Over => return Poll::Ready(false),
                    },
                }
            }
        })
        .await;
        if ended {
            rest.end(&self.env, LINGER).await;
        }
    }

    /// Makes a socket of a call, unless it is another method's or there is no room for it.
    fn open(&self, request: Request<RecvStream>, mut response: SendResponse<Bytes>) {
        let mut head = Response::new(());
        head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(status) = refused_as(&request) {
            *head.status_mut() = status;
            head.headers_mut().extend(status::plain(Code::Unimplemented, "unknown method"));
            // It fails when the peer has gone, who needs no answer then.
            let _ = response.send_response(head, true);
            return;
        }
        let (Ok(place), Some(hold)) = (self.sockets.try_reserve(), self.hold.upgrade()) else {
            response.send_reset(Reason::REFUSED_STREAM);
            return;
        };
        if let Ok(sender) = response.send_response(head, false) {
            let side = Side::Accepting { body: request.into_body() };
            let socket = GrpcSocket::new(&self.env, side, sender, hold, self.addresses, &self.options);
            place.send(Arc::new(socket));
        }
    }
}

/// The HTTP status with which a request is refused that is no call of the method. What is gRPC is refused by its own status
/// alone; who speaks something else must not take the answer for a success.
fn refused_as(request: &Request<RecvStream>) -> Option<StatusCode> {
    if !is_grpc(request.headers()) {
        return Some(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let is_call = request.method() == Method::POST && request.uri().path() == PATH;
    (!is_call).then_some(StatusCode::OK)
}
