//! One HTTP/2 connection of the `grpc` server: accepts requests, watches the peer by pings, goes away in order when the
//! server stops. It does not know what a request is.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use h2::Ping;
use tokio::sync::watch;

use super::Serving;
use super::request::{self, Ends};
use crate::env::Stream;
use crate::grpc::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use crate::server::shared::Group;

/// Limit for the connection's first bytes.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the peer is pinged, and how long it has to answer: a peer that vanished without a word is noticed within two.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Why a connection is looked at.
enum Wake {
    Ended,
    Stopping,
    Tick,
}

/// Serves until the peer closes, is found dead, or the server stops and the last request has ended.
pub(super) async fn serve(stream: Stream, serving: Arc<Serving>, requests: Group, mut stopping: watch::Receiver<bool>) {
    let ends = Arc::new(Ends::new(stream.local_address(), stream.peer_address()));
    let handshake = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake::<Stream, bytes::Bytes>(stream);
    let Ok(Ok(mut connection)) = serving.env.timeout(HANDSHAKE_TIMEOUT, handshake).await else { return };
    let mut pings = connection.ping_pong();
    let mut pinged = false;
    let mut going = false;
    // A connection from which requests come is not pinged. The timer is set anew when it rings and not for every request.
    let mut quiet_since = serving.env.now();
    let mut tick = serving.env.sleep(PING_INTERVAL);
    loop {
        let wake = {
            let mut stop = pin!(async {
                // An end of the sender is a stop too: the server is gone.
                let _ = stopping.wait_for(|stopping| *stopping && !going).await;
            });
            poll_fn(|context| {
                while let Poll::Ready(accepted) = connection.poll_accept(context) {
                    let Some(Ok((request, respond))) = accepted else { return Poll::Ready(Wake::Ended) };
                    quiet_since = serving.env.now();
                    requests.spawn(request::serve(request, respond, serving.clone(), ends.clone()));
                }
                if stop.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Wake::Stopping);
                }
                Pin::new(&mut tick).poll(context).map(|()| Wake::Tick)
            })
            .await
        };
        let due = quiet_since + PING_INTERVAL;
        if matches!(wake, Wake::Tick) && serving.env.now() < due {
            tick = serving.env.clock().sleep_until(due);
            continue;
        }
        quiet_since = serving.env.now();
        tick = serving.env.sleep(PING_INTERVAL);
        match wake {
            Wake::Ended => return,
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
