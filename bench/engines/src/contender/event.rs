//! Our engine `event`, through the trait that scenarios use, with the digest of the trace that a sweep takes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::unfold;
use shaketable_sim::determinism::{Guard, activate};
use shaketable_sim::engine::{Setup, world};
use shaketable_sim::scenario::model::Network;
use shaketable_sim::trace::Tracer;
use shaketable_sim::world::{Distribution, HostSpec, Program, World};
use shaketable_stack::Env;
use shaketable_stack::env::{Listener, Namespace};

use super::Contender;
use crate::load::{LATENCY, Load};
use crate::service::{Accepted, Pace, call_for_ever, serve};

const SEED: u64 = 1;

/// Engine `event`.
pub struct Event {
    world: Box<dyn World>,
    calls: Arc<AtomicU64>,
    /// Dropped last: a world ends within the interposition.
    _guard: Guard,
}

impl Contender for Event {
    fn new(load: Load) -> Self {
        let mut event = machines(0);
        for host in 0..load.hosts {
            let neighbour = format!("host{}:80", (host + 1) % load.hosts);
            let pace = Pace { offset: load.offset(host), think: load.think };
            let (calls, is_caller) = (event.calls.clone(), host < load.callers);
            let program: Program = Arc::new(move |env| {
                let (neighbour, calls) = (neighbour.clone(), calls.clone());
                Box::pin(async move {
                    let listener = env.network().listen(":80").await.expect("the port is free");
                    let server = env.spawn("server", serve(unfold(listener, accept)));
                    if is_caller {
                        call(env, neighbour, pace, calls).await;
                    }
                    server.join().await;
                })
            });
            event.world.add_host(HostSpec { name: format!("host{host}"), program }).expect("its name is new");
        }
        event
    }

    fn advance(&mut self, span: Duration) {
        let until = self.world.now() + span;
        self.world.advance(until).expect("the world holds");
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Event {
    /// Adds `count` hosts to those that there are; each is a machine whose program does nothing.
    pub fn add_machines(&mut self, prefix: &str, count: usize) {
        for number in 0..count {
            let program: Program = Arc::new(|_| Box::pin(std::future::pending()));
            self.world.add_host(HostSpec { name: format!("{prefix}{number}"), program }).expect("its name is new");
        }
    }
}

/// A world of `count` hosts that do nothing.
///
/// # Panics
/// When the engine cannot work here.
pub fn machines(count: usize) -> Event {
    let guard = activate(SEED);
    let network = Network { latency: Distribution::constant(LATENCY), ..Network::default() };
    let setup = Setup { seed: SEED, network, tracer: Tracer::new(false), namespace: Namespace::new("bench") };
    let world = world("event", setup).expect("the engine works here");
    let mut event = Event { world, calls: Arc::default(), _guard: guard };
    event.add_machines("machine", count);
    event
}

async fn accept(
    mut listener: Box<dyn Listener>,
) -> Option<(io::Result<Accepted<shaketable_stack::env::Stream>>, Box<dyn Listener>)> {
    let accepted = listener.accept().await.map(Accepted);
    Some((accepted, listener))
}

async fn call(env: Env, neighbour: String, pace: Pace, calls: Arc<AtomicU64>) {
    let (network, sleeper) = (env.network().clone(), env.clone());
    let connect = move || {
        let (network, neighbour) = (network.clone(), neighbour.clone());
        async move { network.connect(&neighbour).await }
    };
    call_for_ever(connect, pace, calls, move |span| sleeper.sleep(span)).await;
}
