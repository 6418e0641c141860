//! What it costs to get a payload there and the same back over TCP on loopback: this stack's transports and gRPC beside a raw
//! ping-pong over tokio's sockets, which is the limit, hyper, tonic, tarpc and volo-grpc. With 1, 8 and 64 exchanges under way,
//! in payloads of 64 B, 1 KiB and 64 KiB; each exchange a call, or a message each way on a stream that stays open.
//!
//! Both ends share one thread on one core: what is measured is what a library does, and not how long a machine takes to wake
//! another core. Every socket sends at once what is written (`TCP_NODELAY`); windows and buffers are as each library has them
//! by default. Of the transports, `http` posts a message over a kept connection and `grpc` sends it on a call that stays open,
//! one connection each socket, as go-micro's do; a call with the name `grpc client` is that of this stack's client and server
//! `grpc`, to a known address. volo-grpc's service is written by hand as its generator writes it, because the generator alone
//! takes longer to build than all else here. tarpc has no streams.

mod in_memory;
mod ours;
mod streams;
mod with_tarpc;
mod with_volo;

#[path = "../peers/bare_hyper.rs"]
mod bare_hyper;
#[path = "../peers/bare_tonic.rs"]
mod bare_tonic;
#[path = "../peers/echo.rs"]
mod echo;
#[path = "../peers/pair.rs"]
mod pair;
#[path = "../peers/raw_tcp.rs"]
mod raw_tcp;
#[path = "../peers/stack.rs"]
mod stack;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use shaketable_bench_room::{Amount, Contest, Kind, Placement, Role};

use echo::on_lanes;

/// As the program `shaketable` allocates, and the same for every contender.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exchanges under way, and what a payload has.
const LOADS: [(usize, usize); 9] = [
    (1, 64),
    (8, 64),
    (64, 64),
    (1, 1 << 10),
    (8, 1 << 10),
    (64, 1 << 10),
    (1, 64 << 10),
    (8, 64 << 10),
    (64, 64 << 10),
];

/// Many exchanges on each of many lanes.
const TURN: Duration = Duration::from_millis(12);

fn contest(name: &str, (lanes, bytes): (usize, usize), kind: Kind) -> Contest<'static> {
    let size = if bytes < 1 << 10 { format!("{bytes}B") } else { format!("{}KiB", bytes >> 10) };
    Contest::new("transport", format!("{name}/{size}-{lanes}"), Amount::Elements(lanes))
        .on(Placement::OneCore, kind)
        .in_turns_of(TURN)
}

fn unary(criterion: &mut Criterion) {
    for load in LOADS {
        contest("unary", load, Kind::Loopback)
            .enter_batch("http", Role::Ours, move || on_lanes(load, ours::http))
            .enter_batch("grpc client", Role::Ours, move || on_lanes(load, ours::grpc_client))
            .enter_batch("raw TCP", Role::Limit, move || on_lanes(load, raw_tcp::wire))
            .enter_batch("hyper HTTP/1.1", Role::Peer, move || on_lanes(load, bare_hyper::http1))
            .enter_batch("hyper HTTP/2", Role::Peer, move || on_lanes(load, bare_hyper::http2))
            .enter_batch("tonic", Role::Peer, move || on_lanes(load, bare_tonic::unary))
            .enter_batch("tarpc", Role::Peer, move || on_lanes(load, with_tarpc::unary))
            .enter_batch("volo-grpc", Role::Peer, move || on_lanes(load, with_volo::unary))
            .hold(criterion);
    }
}

fn stream(criterion: &mut Criterion) {
    for load in LOADS {
        contest("stream", load, Kind::Loopback)
            .enter_batch("grpc", Role::Ours, move || on_lanes(load, ours::grpc))
            .enter_batch("grpc client", Role::Ours, move || on_lanes(load, ours::grpc_client_stream))
            .enter_batch("raw TCP", Role::Limit, move || on_lanes(load, raw_tcp::wire))
            .enter_batch("tonic", Role::Peer, move || on_lanes(load, streams::tonic))
            .enter_batch("volo-grpc", Role::Peer, move || on_lanes(load, with_volo::stream))
            .hold(criterion);
    }
}

/// Without a network.
fn memory(criterion: &mut Criterion) {
    for load in LOADS {
        contest("memory", load, Kind::InProcess)
            .enter_batch("memory", Role::Ours, move || on_lanes(load, ours::memory))
            .enter_batch("tokio duplex", Role::Limit, move || on_lanes(load, in_memory::duplex))
            .hold(criterion);
    }
}

criterion_group!(benches, unary, stream, memory);
criterion_main!(benches);
