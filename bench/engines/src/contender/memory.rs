//! No simulation: pairs of a tonic client and a tonic server over pipes in memory, on one runtime. What their calls cost is
//! what tonic, h2 and hyper cost.
#![expect(clippy::disallowed_methods, reason = "there is no host that could own a task")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{StreamExt, iter, pending};
use tokio::io::{DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};

use super::Contender;
use crate::load::{Load, ROUND_TRIP};
use crate::service::{Accepted, Client, serve};

/// What a pipe holds, in bytes: as much as HTTP/2's first window.
const PIPE: usize = 65_535;

/// Pairs without a network.
pub struct Memory {
    runtime: Runtime,
    clients: Vec<Client>,
    calls: Arc<AtomicU64>,
    load: Load,
}

impl Contender for Memory {
    fn new(load: Load) -> Self {
        assert!(load.think.is_zero(), "there is no time that could be waited for");
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
        let calls: Arc<AtomicU64> = Arc::default();
        let clients = runtime.block_on(join_all((0..load.callers).map(|_| pair(calls.clone()))));
        Self { runtime, clients, calls, load }
    }

    /// Makes as many calls as a simulated network would let through in `span`.
    fn advance(&mut self, span: Duration) {
        let calls = (self.load.calls(span, ROUND_TRIP) / self.clients.len() as f64).round() as u64;
        let callers = self.clients.iter().cloned().map(|mut client| {
            self.runtime.spawn(async move {
                for _ in 0..calls {
                    client.call().await;
                }
            })
        });
        let callers: Vec<_> = callers.collect();
        for caller in self.runtime.block_on(join_all(callers)) {
            caller.expect("every call is answered");
        }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

async fn pair(calls: Arc<AtomicU64>) -> Client {
    let (here, there) = duplex(PIPE);
    drop(tokio::spawn(serve(iter([Ok(Accepted(there))]).chain(pending()))));
    let here: Mutex<Option<DuplexStream>> = Mutex::new(Some(here));
    let connect = move || {
        let here = here.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(here.ok_or_else(|| std::io::ErrorKind::ConnectionRefused.into()))
    };
    Client::connect(connect, calls).await
}
