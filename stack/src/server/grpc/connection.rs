//! One HTTP/2 connection of the `grpc` server: accepts requests, watches the peer by pings, goes away in order when the
//! server stops. It does not know what a request is.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use h2::Ping;
use tokio::sync::watch;

use super::{Serving, request};
use crate::env::Stream;
use crate::grpc::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use crate::server::shared::Group;

/// Limit for the connection's first bytes.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the peer is pinged, and how long it has to answer: a peer that vanished without a word is noticed within two.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Serves until the peer closes, is found dead, or the server stops and the last request has ended.
pub(super) async fn serve(stream: Stream, serving: Arc<Serving>, requests: Group, mut stopping: watch::Receiver<bool>) {
    let remote = stream.peer_address();
    let local = stream.local_address();
    let handshake = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake::<Stream, bytes::Bytes>(stream);
    let Ok(Ok(mut connection)) = serving.env.timeout(HANDSHAKE_TIMEOUT, handshake).await else { return };
    let mut pings = connection.ping_pong();
    let mut pinged = false;
    let mut going = false;
    loop {
        enum Wake<T> {
            Accepted(T),
            Stopping,
            Tick,
        }
        let wake = {
            let accept = pin!(connection.accept());
            let stop = pin!(async {
                // An end of the sender is a stop too: the server is gone.
                let _ = stopping.wait_for(|stopping| *stopping && !going).await;
            });
            match select(accept, select(stop, serving.env.sleep(PING_INTERVAL))).await {
                Either::Left((accepted, _)) => Wake::Accepted(accepted),
                Either::Right((Either::Left(_), _)) => Wake::Stopping,
                Either::Right((Either::Right(_), _)) => Wake::Tick,
            }
        };
        match wake {
            Wake::Accepted(Some(Ok((request, respond)))) => {
                requests.spawn(request::serve(request, respond, serving.clone(), local, remote));
            }
            Wake::Accepted(_) => return,
            Wake::Stopping if going => return,
            Wake::Stopping => {
                going = true;
                connection.graceful_shutdown();
            }
            Wake::Tick => {
                let Some(pings) = &mut pings else { continue };
                let ponged = poll_fn(|context| Poll::Ready(pings.poll_pong(context).is_ready())).await;
                if pinged && !ponged {
                    return;
                }
                pinged = pings.send_ping(Ping::opaque()).is_ok();
            }
        }
    }
}
