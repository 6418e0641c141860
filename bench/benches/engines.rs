//! Engine `event` beside its peers: simulated time per CPU second under loads of many hosts, CPU time per call, CPU time per
//! seed. Figures are CPU time of one thread; `cargo xtask figures` makes tables of them. How `event` compares with a peer is
//! measured by turns, because a machine that others share changes its pace from one second to the next.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use shaketable_bench_engines::{Contender, Event, Load, Measured, Memory, Runner, Turmoil, TurmoilNet, measured};
use shaketable_bench_room::keep_turns;

/// As the program `shaketable` allocates, and the same for every contender.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PACED: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_secs(10);

/// With the time that a call takes, ten calls per second and host.
const TEN_PER_SECOND: Duration = Duration::from_millis(98);

/// What one iteration of `call` makes.
const CALLS: u64 = 500;

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(20)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(4));
    group
}

/// How fast time passes: an element is a simulated millisecond. `span` is what an iteration simulates, so that it takes a
/// fraction of a second.
fn pace<C: Contender>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, load: Load, span: Duration) {
    group.throughput(Throughput::Elements(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)));
    let mut runner = None;
    group.bench_function(name, |bencher| {
        let runner = runner.get_or_insert_with(|| warm::<C>(name, load, span));
        bencher.iter_custom(|iterations| (0..iterations).map(|_| runner.advance(span).cpu).sum());
    });
}

/// CPU seconds per simulated second, each time it is called.
fn lap<C: Contender>(load: Load, span: Duration) -> impl FnMut() -> f64 {
    let runner = Runner::new::<C>(load);
    move || runner.advance(span).cpu.as_secs_f64() / span.as_secs_f64()
}

/// `event` and a peer by turns: how many times as fast `event` is goes to where `cargo xtask figures` looks. What criterion is
/// told is the time of both.
fn by_turns<E: FnMut() -> f64, P: FnMut() -> f64>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    (name, peer): (&str, &str),
    laps: impl Fn() -> (E, P),
) {
    let (mut turns, mut pair) = (Vec::new(), None);
    group.throughput(Throughput::Elements(1));
    group.bench_function(format!("event-and-{peer}"), |bencher| {
        let (event, peer) = pair.get_or_insert_with(&laps);
        bencher.iter_custom(|iterations| {
            let turn = |_| {
                let (event_s, peer_s) = (event(), peer());
                turns.push(peer_s / event_s);
                Duration::from_secs_f64(event_s + peer_s)
            };
            (0..iterations).map(turn).sum()
        });
    });
    keep_turns(name, peer, &turns).expect("what was measured can be kept");
}

/// A contender that has run once. What load it made is shown: figures compare when all made the same.
fn warm<C: Contender>(name: &str, load: Load, span: Duration) -> Runner {
    let runner = Runner::new::<C>(load);
    let Measured { calls, .. } = runner.advance(span);
    println!("{name}: {:.1} calls per simulated second", calls as f64 / span.as_secs_f64());
    runner
}

fn paced(criterion: &mut Criterion) {
    let spans_ms = [(10, 10_000, 2_000, 10_000), (50, 5_000, 1_000, 5_000), (200, 2_000, 150, 1_000)];
    for (hosts, event, turmoil, turmoil_net) in spans_ms {
        let load = Load::new(hosts, PACED);
        let spans = [event, turmoil, turmoil_net].map(Duration::from_millis);
        let seconds_each = hosts == 200;
        beside_turmoil(
            &mut group(criterion, &format!("paced/{hosts}")),
            &format!("paced/{hosts}"),
            load,
            spans,
            seconds_each,
        );
    }
}

/// `event`, turmoil and turmoil-net, each with what an iteration simulates in that order.
fn beside_turmoil(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    load: Load,
    [event, turmoil, turmoil_net]: [Duration; 3],
    seconds_each: bool,
) {
    pace::<Event>(group, "event", load, event);
    pace::<TurmoilNet>(group, "turmoil-net", load, turmoil_net);
    by_turns(group, (name, "turmoil-net"), || (lap::<Event>(load, event), lap::<TurmoilNet>(load, turmoil_net)));
    if seconds_each {
        group.sample_size(10);
    }
    pace::<Turmoil>(group, "turmoil", load, turmoil);
    by_turns(group, (name, "turmoil"), || (lap::<Event>(load, event), lap::<Turmoil>(load, turmoil)));
}

fn idle(criterion: &mut Criterion) {
    let load = Load::new(10, IDLE);
    beside_turmoil(&mut group(criterion, "idle/10"), "idle/10", load, [1_000, 20, 100].map(Duration::from_secs), false);
}

fn closed(criterion: &mut Criterion) {
    let load = Load::new(10, Duration::ZERO);
    let mut group = group(criterion, "closed/10");
    let (name, span) = ("closed/10", Duration::from_secs(1));
    beside_turmoil(&mut group, name, load, [span; 3], false);
    pace::<Memory>(&mut group, "memory", load, span);
    by_turns(&mut group, (name, "memory"), || (lap::<Event>(load, span), lap::<Memory>(load, span)));
}

/// What a call costs: one client, one server, one call at a time.
fn call(criterion: &mut Criterion) {
    let load = Load { callers: 1, ..Load::new(2, Duration::ZERO) };
    let mut group = group(criterion, "call");
    per_call::<Event>(&mut group, "event", load);
    per_call::<Memory>(&mut group, "memory", load);
    by_turns(&mut group, ("call", "memory"), || (lap_of_calls::<Event>(load), lap_of_calls::<Memory>(load)));
}

/// CPU seconds per call, each time it is called.
fn lap_of_calls<C: Contender>(load: Load) -> impl FnMut() -> f64 {
    let runner = Runner::new::<C>(load);
    move || {
        let Measured { cpu, calls } = runner.advance(Duration::from_secs(1));
        cpu.as_secs_f64() / calls as f64
    }
}

fn per_call<C: Contender>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, load: Load) {
    let span = Duration::from_secs(1);
    group.throughput(Throughput::Elements(CALLS));
    let mut runner = None;
    group.bench_function(name, |bencher| {
        let runner = runner.get_or_insert_with(|| warm::<C>(name, load, span));
        bencher.iter_custom(|iterations| {
            let advance = |_| {
                let measured = runner.advance(span);
                measured.cpu.mul_f64(CALLS as f64 / measured.calls as f64)
            };
            (0..iterations).map(advance).sum()
        });
    });
}

/// What a seed costs, from the making of its world to its end.
fn seeds(criterion: &mut Criterion) {
    let (load, span) = (Load::new(9, TEN_PER_SECOND), Duration::from_secs(30));
    let mut group = group(criterion, "seeds");
    per_seed::<Event>(&mut group, "event", load, span);
    per_seed::<Turmoil>(&mut group, "turmoil", load, span);
    let laps = || {
        (
            move || measured::<Event>(load, span).cpu.as_secs_f64(),
            move || measured::<Turmoil>(load, span).cpu.as_secs_f64(),
        )
    };
    by_turns(&mut group, ("seeds", "turmoil"), laps);
}

fn per_seed<C: Contender>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, load: Load, span: Duration) {
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| measured::<C>(load, span).cpu).sum());
    });
}

criterion_group!(benches, paced, idle, closed, call, seeds);
criterion_main!(benches);
