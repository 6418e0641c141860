//! What it costs to tell many: this stack's broker in memory beside tokio's broadcast channel, which is the limit, and one
//! channel for each subscriber; its broker over HTTP beside posting the same bytes with bare hyper. Doing the work once is one
//! message published and handled by every subscriber, and each of them sees that it is the one that was due.

mod channels;
mod http;
mod ours;
mod tally;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use shaketable_bench_room::{Amount, Contest, Kind, Placement, Role};
use shaketable_stack::env::{Env, Namespace, os};
use tokio::runtime::{Builder, Runtime};

use channels::{Broadcast, PerSubscriber};
use http::BareHyper;
use ours::{Ours, over_http};

/// As the program `shaketable` allocates, and the same for every contender.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What all listen to.
const TOPIC: &str = "news";

/// A message's body, in bytes: a small user record in protobuf.
const BODY_BYTES: usize = 89;

/// Messages on their way at once; fewer than any queue between has room for, so that nobody waits for room and nothing lags.
const WINDOW: u64 = 64;

/// Subscribers that have not heard a window's messages by then never will.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What sends messages to subscribers.
trait Publishes {
    /// Publishes message `number`; it may still be on its way.
    async fn publish(&mut self, number: u64);

    /// Waits until everything that was published has been handled by everyone.
    async fn handled(&mut self);
}

/// A publisher one of whose subscribers may leave while another comes.
trait Turnover: Publishes {
    /// The subscriber that has listened longest leaves, while messages may be on their way to it, and another comes; message
    /// `next` is the first that it hears.
    async fn turn_over(&mut self, next: u64);
}

fn memory(criterion: &mut Criterion) {
    for subscribers in [1, 16, 64, 1_000] {
        Contest::new("broker", format!("memory/{subscribers}"), Amount::Elements(subscribers))
            .enter_batch("memory", Role::Ours, || batches(|_| Ours::in_memory(subscribers)))
            .enter_batch("tokio broadcast of Arc", Role::Limit, || batches(|_| Broadcast::shared(subscribers)))
            .enter_batch("tokio broadcast", Role::Peer, || batches(|_| Broadcast::copied(subscribers)))
            .enter_batch("tokio mpsc each", Role::Peer, || batches(|_| PerSubscriber::new(subscribers)))
            .hold(criterion);
    }
}

/// While a subscriber of a thousand leaves and another comes in the midst of each 64 messages: half of them are on their way.
fn churn(criterion: &mut Criterion) {
    const SUBSCRIBERS: usize = 1_000;
    Contest::new("broker", format!("memory-churn/{SUBSCRIBERS}"), Amount::Elements(SUBSCRIBERS))
        .enter_batch("memory", Role::Ours, || churning(|_| Ours::in_memory(SUBSCRIBERS)))
        .enter_batch("tokio broadcast of Arc", Role::Limit, || churning(|_| Broadcast::shared(SUBSCRIBERS)))
        .enter_batch("tokio broadcast", Role::Peer, || churning(|_| Broadcast::copied(SUBSCRIBERS)))
        .hold(criterion);
}

fn over_the_network(criterion: &mut Criterion) {
    for subscribers in [1, 16, 64, 1_000] {
        Contest::new("broker", format!("http/{subscribers}"), Amount::Elements(subscribers))
            .on(Placement::OneCore, Kind::Loopback)
            .enter_batch("http", Role::Ours, || batches(|runtime| runtime.block_on(over_http(subscribers))))
            .enter_batch("bare hyper", Role::Limit, || batches(|runtime| runtime.block_on(BareHyper::new(subscribers))))
            .hold(criterion);
    }
}

/// Publishes as often as it is told, in windows, on a runtime of its own with one thread.
fn batches<P: Publishes>(make: impl FnOnce(&Runtime) -> P) -> impl FnMut(u64) {
    let (runtime, env, mut publisher) = on_runtime(make);
    let mut next = 0;
    move |times| {
        runtime.block_on(async {
            let end = next + times;
            while next < end {
                publish_window(&env, &mut publisher, &mut next, end).await;
            }
        });
    }
}

/// The same with a change of subscribers in the midst of each window.
fn churning<P: Turnover>(make: impl FnOnce(&Runtime) -> P) -> impl FnMut(u64) {
    let (runtime, env, mut publisher) = on_runtime(make);
    let mut next = 0;
    move |times| {
        runtime.block_on(async {
            let end = next + times;
            while next < end {
                publish(&mut publisher, &mut next, WINDOW / 2, end).await;
                publisher.turn_over(next).await;
                publish(&mut publisher, &mut next, WINDOW / 2, end).await;
                handled(&env, &mut publisher).await;
            }
        });
    }
}

fn on_runtime<P>(make: impl FnOnce(&Runtime) -> P) -> (Runtime, Env, P) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let guard = runtime.enter();
    let (env, publisher) = (os::env(Namespace::new("deadline")), make(&runtime));
    drop(guard);
    (runtime, env, publisher)
}

async fn publish_window(env: &Env, publisher: &mut impl Publishes, next: &mut u64, end: u64) {
    publish(publisher, next, WINDOW, end).await;
    handled(env, publisher).await;
}

async fn handled(env: &Env, publisher: &mut impl Publishes) {
    env.timeout(TIMEOUT, publisher.handled()).await.expect("every subscriber hears every message");
}

async fn publish(publisher: &mut impl Publishes, next: &mut u64, messages: u64, end: u64) {
    for _ in 0..messages.min(end - *next) {
        publisher.publish(*next).await;
        *next += 1;
    }
}

criterion_group!(benches, memory, churn, over_the_network);
criterion_main!(benches);
