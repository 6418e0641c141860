//! turmoil 0.7.2 with ticks of 1 ms, without any code of ours: host programs as its users write them.
#![expect(clippy::disallowed_methods, reason = "a program on turmoil spawns and sleeps with tokio")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::unfold;
use turmoil::net::{TcpListener, TcpStream};
use turmoil::{Builder, Sim};

use super::Contender;
use crate::load::{LATENCY, Load};
use crate::service::{Accepted, Pace, call_for_ever, serve};

const TICK: Duration = Duration::from_millis(1);
const PORT: u16 = 80;

/// A simulation of turmoil's.
pub struct Turmoil {
    sim: Sim<'static>,
    calls: Arc<AtomicU64>,
}

impl Contender for Turmoil {
    fn new(load: Load) -> Self {
        let mut sim = Builder::new()
            .rng_seed(1)
            .tick_duration(TICK)
            .min_message_latency(LATENCY)
            .max_message_latency(LATENCY)
            .simulation_duration(Duration::from_secs(u64::from(u32::MAX)))
            .build();
        let calls: Arc<AtomicU64> = Arc::default();
        for host in 0..load.hosts {
            let neighbour = format!("host{}", (host + 1) % load.hosts);
            let pace = Pace { offset: load.offset(host), think: load.think };
            let (calls, is_caller) = (calls.clone(), host < load.callers);
            sim.host(format!("host{host}"), move || {
                let (neighbour, calls) = (neighbour.clone(), calls.clone());
                async move {
                    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
                    let server = tokio::spawn(serve(unfold(listener, async |listener| {
                        let accepted = listener.accept().await.map(|(stream, _)| Accepted(stream));
                        Some((accepted, listener))
                    })));
                    if is_caller {
                        let connect = move || TcpStream::connect((neighbour.clone(), PORT));
                        call_for_ever(connect, pace, calls, tokio::time::sleep).await;
                    }
                    Ok(server.await?)
                }
            });
        }
        Self { sim, calls }
    }

    fn advance(&mut self, span: Duration) {
        let until = self.sim.elapsed() + span;
        while self.sim.elapsed() < until {
            self.sim.step().expect("the simulation holds");
        }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}
