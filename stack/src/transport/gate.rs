//! What every socket and listener shares: an operation ends when this end is closed, and when the transport's time limit
//! has passed. Knows nothing of what is waited for.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;

use crate::env::Env;
use crate::{Error, ErrorKind, Result};

/// Open until it is closed, once and for all.
#[derive(Debug)]
pub(super) struct Gate {
    env: Env,
    timeout: Option<Duration>,
    closed: watch::Sender<bool>,
}

impl Gate {
    pub(super) fn new(env: Env, timeout: Option<Duration>) -> Self {
        Self { env, timeout, closed: watch::Sender::new(false) }
    }

    /// Releases whoever waits in [`pass`](Self::pass), and refuses whoever comes later.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits for `work`, unless the gate is closed (`Closed`) or the time limit passes (`Timeout`) first. Work that is
    /// ready counts, even when it is late.
    pub(super) async fn pass<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        if self.is_closed() {
            return Err(Error::new(ErrorKind::Closed, operation));
        }
        let mut watcher = self.closed.subscribe();
        let mut work = pin!(work);
        let mut closing = pin!(async move {
            let _ = watcher.wait_for(|closed| *closed).await;
        });
        let mut limit = self.timeout.map(|timeout| (self.env.sleep(timeout), timeout));
        poll_fn(|context| {
            match work.as_mut().poll(context) {
                // Closing is also what made it fail.
                Poll::Ready(Err(_)) if self.is_closed() => {}
                Poll::Ready(output) => return Poll::Ready(output),
                Poll::Pending => {}
            }
            if closing.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(Error::new(ErrorKind::Closed, operation)));
            }
            if let Some((sleep, timeout)) = &mut limit
                && Pin::new(sleep).poll(context).is_ready()
            {
                return Poll::Ready(Err(
                    Error::new(ErrorKind::Timeout, operation).with("limit", format!("{timeout:?}"))
                ));
            }
            Poll::Pending
        })
        .await
    }
}
