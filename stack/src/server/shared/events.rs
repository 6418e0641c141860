//! Gives a broker's events to the functions that subscribed. It knows no broker in particular. go-micro:
//! `server/rpc_events.go`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::watch;

use super::router::{decode_by, panic_text};
use crate::broker::{Event, Handler, Message, SubscribeOptions};
use crate::client::Context;
use crate::codec::Codecs;
use crate::metadata::{get_ignoring_case, names};
use crate::server::Subscription;
use crate::{Error, ErrorKind, Result};

/// What a broker calls for the events of one subscription. An error means that the event is not acknowledged.
#[derive(Debug)]
pub(super) struct EventHandler {
    pub(super) subscription: Subscription,
    pub(super) codecs: Codecs,
    pub(super) server: Arc<str>,
    pub(super) under_way: Arc<UnderWay>,
}

impl EventHandler {
    pub(super) fn options(&self) -> SubscribeOptions {
        SubscribeOptions { auto_ack: self.subscription.auto_ack, queue: self.subscription.queue.clone() }
    }
}

#[async_trait]
impl Handler for EventHandler {
    async fn handle(&self, event: Event) -> Result<()> {
        let _under_way = self.under_way.begin();
        let Message { header, body } = Arc::unwrap_or_clone(event.message);
        let content_type = get_ignoring_case(&header, names::CONTENT_TYPE).unwrap_or(super::FALLBACK_CONTENT_TYPE);
        let codec = self.codecs.marshaler_by_content_type(content_type).cloned().ok_or_else(|| {
            Error::new(ErrorKind::InvalidMessage, "handle event")
                .detail(format!("unsupported Content-Type: {content_type}"))
                .with("topic", &*event.topic)
        })?;
        let decode = decode_by(codec, body, self.server.clone());
        let context = Context { deadline: None, metadata: header };
        let work = AssertUnwindSafe(async { (self.subscription.function)(context, decode).await });
        work.catch_unwind().await.unwrap_or_else(|panic| {
            Err(Error::new(ErrorKind::Internal, "handle event")
                .detail(format!("panic recovered: {}", panic_text(&*panic)))
                .with("topic", &*event.topic))
        })
    }
}

/// Counts events that are being handled, so that a stop can wait for them.
#[derive(Debug)]
pub(super) struct UnderWay(watch::Sender<usize>);

impl Default for UnderWay {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl UnderWay {
    fn begin(self: &Arc<Self>) -> Counted {
        self.0.send_modify(|count| *count += 1);
        Counted(self.clone())
    }

    /// Waits until no event is being handled.
    pub(super) async fn idle(&self) {
        // The sender is `self`: it cannot be gone.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

struct Counted(Arc<UnderWay>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
