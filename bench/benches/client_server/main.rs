//! What a whole call costs: this stack's clients and servers, which find each other in the registry, select a node in turns,
//! take a connection from the pool, encode and decode, beside the same call on bare tonic and on bare hyper, which know their
//! server and have one connection; bare hyper, which has no message to encode either, is the limit. With 1, 8 and 64 calls
//! under way, over TCP on loopback, both ends on one thread of one core.

#[path = "../peers/bare_hyper.rs"]
mod bare_hyper;
#[path = "../peers/bare_tonic.rs"]
mod bare_tonic;
#[path = "../peers/echo.rs"]
mod echo;
#[path = "../peers/pair.rs"]
mod pair;
#[path = "../peers/stack.rs"]
mod stack;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use shaketable_bench_room::{Amount, Contest, Kind, Placement, Role};

use echo::on_lanes;
use stack::{Stack, calls};

/// As the program `shaketable` allocates, and the same for every contender.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A small user record in protobuf.
const BYTES: usize = 89;

/// Many calls on each of many lanes.
const TURN: Duration = Duration::from_millis(12);

fn call(criterion: &mut Criterion) {
    for lanes in [1, 8, 64] {
        let load = (lanes, BYTES);
        Contest::new("client-server", format!("call/{lanes}"), Amount::Elements(lanes))
            .on(Placement::OneCore, Kind::Loopback)
            .in_turns_of(TURN)
            .enter_batch("grpc", Role::Ours, move || {
                on_lanes(load, async |lanes| calls(lanes, &Stack::start("grpc", "memory").await))
            })
            .enter_batch("grpc, known address", Role::Ours, move || {
                on_lanes(load, async |lanes| calls(lanes, &Stack::start("grpc", "memory").await.with_known_address()))
            })
            .enter_batch("rpc over http", Role::Ours, move || {
                on_lanes(load, async |lanes| calls(lanes, &Stack::start("rpc", "http").await))
            })
            .enter_batch("rpc over grpc", Role::Ours, move || {
                on_lanes(load, async |lanes| calls(lanes, &Stack::start("rpc", "grpc").await))
            })
            .enter_batch("tonic", Role::Peer, move || on_lanes(load, bare_tonic::unary))
            .enter_batch("hyper HTTP/2", Role::Limit, move || on_lanes(load, bare_hyper::http2))
            .enter_batch("hyper HTTP/1.1", Role::Limit, move || on_lanes(load, bare_hyper::http1))
            .hold(criterion);
    }
}

criterion_group!(benches, call);
criterion_main!(benches);
