//! A unary call of a small message over pipes: this stack's client and server, and bare tonic's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use shaketable_bench_counters::Meter;
use shaketable_stack::env::{Env, Listener, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use tonic::transport::server::Connected;
use tonic::transport::{Endpoint, Server};
use tower_service::Service;

use crate::bare_tonic::{Answer, Unary};
use crate::echo::{Lane, Wire as Lanes, held};
use crate::runtime;
use crate::stack::{Stack, calls};
use crate::wire::Wire;

/// As many as a record of a user has.
const BYTES: usize = 89;

/// Before anything is counted: connections are open, buffers have grown, HPACK's tables are filled.
const WARM_UP: u64 = 20;

/// How often.
const TIMES: u64 = 100;

/// The port at which tonic's server listens.
const TONIC: &str = "tonic:50051";

/// Counts calls by `who`.
///
/// # Errors
/// When there is nobody of such a name.
pub(crate) fn count(who: &str, meter: &mut Meter) -> Result<(), String> {
    let (runtime, wire) = (runtime()?, Wire::default());
    match who {
        "ours" => count_on(&runtime, meter, &wire, async |wire: &Wire| {
            calls(1, &Stack::start_in(wire.env(), "grpc", "memory").await.with_known_address())
        }),
        "ours, with registry and selector" => count_on(&runtime, meter, &wire, async |wire: &Wire| {
            calls(1, &Stack::start_in(wire.env(), "grpc", "memory").await)
        }),
        "tonic" => count_on(&runtime, meter, &wire, async |wire: &Wire| bare_tonic(wire.env()).await),
        _ => return Err(format!("nobody is called {who}")),
    }
    Ok(())
}

fn count_on<L: Lane>(
    runtime: &tokio::runtime::Runtime,
    meter: &mut Meter,
    wire: &Wire,
    make: impl AsyncFnOnce(&Wire) -> Lanes<L>,
) {
    let payload = Bytes::from(vec![7; BYTES]);
    let exchange = async |lanes: &mut Lanes<L>, times: u64| {
        for _ in 0..times {
            lanes.lanes[0].exchange(&payload, |answer| assert_eq!(answer, payload)).await;
        }
    };
    let mut lanes = runtime.block_on(async {
        let mut lanes = make(wire).await;
        exchange(&mut lanes, WARM_UP).await;
        lanes
    });
    let before = wire.bytes();
    meter.count(TIMES, |times| runtime.block_on(exchange(&mut lanes, times)));
    let after = wire.bytes();
    meter.add("bytes sent", after.0 - before.0);
    meter.add("bytes answered", after.1 - before.1);
}

/// tonic's client with one channel, and its server, on `env`'s network.
async fn bare_tonic(env: Env) -> Lanes<Unary> {
    let listener = env.network().listen(TONIC).await.expect("the port is free");
    let incoming = futures_util::stream::unfold(listener, |mut listener: Box<dyn Listener>| async move {
        let accepted = listener.accept().await.map(Accepted);
        Some((accepted, listener))
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { Server::builder().serve_with_incoming(Answer, incoming).await.expect("it serves") });
    let endpoint = Endpoint::from_static("http://tonic:50051");
    let channel = endpoint.connect_with_connector(Connector(env)).await.expect("it listens");
    Lanes { lanes: vec![Unary(tonic::client::Grpc::new(channel))], _held: held(tasks) }
}

/// Connects tonic's client.
struct Connector(Env);

impl Service<http::Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let network = self.0.network().clone();
        Box::pin(async move { network.connect(TONIC).await.map(TokioIo::new) })
    }
}

/// A connection as tonic's server wants it.
struct Accepted(Stream);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, to)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
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

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
