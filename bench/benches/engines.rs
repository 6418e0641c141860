//! Engine `event` beside its peers: simulated time per CPU second under loads of many hosts, CPU time per call, CPU time per
//! seed. Figures are CPU time of one thread; `cargo xtask figures` makes tables of them.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use shaketable_bench::{Contender, Event, Load, Measured, Memory, Runner, Turmoil, TurmoilNet, measured};

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
        let mut group = group(criterion, &format!("paced/{hosts}"));
        pace::<Event>(&mut group, "event", load, Duration::from_millis(event));
        pace::<TurmoilNet>(&mut group, "turmoil-net", load, Duration::from_millis(turmoil_net));
        if hosts == 200 {
            // Seconds for each sample.
            group.sample_size(10);
        }
        pace::<Turmoil>(&mut group, "turmoil", load, Duration::from_millis(turmoil));
    }
}

fn idle(criterion: &mut Criterion) {
    let load = Load::new(10, IDLE);
    let mut group = group(criterion, "idle/10");
    pace::<Event>(&mut group, "event", load, Duration::from_secs(1_000));
    pace::<TurmoilNet>(&mut group, "turmoil-net", load, Duration::from_secs(100));
    pace::<Turmoil>(&mut group, "turmoil", load, Duration::from_secs(20));
}

fn closed(criterion: &mut Criterion) {
    let load = Load::new(10, Duration::ZERO);
    let mut group = group(criterion, "closed/10");
    pace::<Event>(&mut group, "event", load, Duration::from_secs(1));
    pace::<TurmoilNet>(&mut group, "turmoil-net", load, Duration::from_secs(1));
    pace::<Turmoil>(&mut group, "turmoil", load, Duration::from_secs(1));
    pace::<Memory>(&mut group, "memory", load, Duration::from_secs(1));
}

/// What a call costs: one client, one server, one call at a time.
fn call(criterion: &mut Criterion) {
    let load = Load { callers: 1, ..Load::new(2, Duration::ZERO) };
    let mut group = group(criterion, "call");
    per_call::<Event>(&mut group, "event", load);
    per_call::<Memory>(&mut group, "memory", load);
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
}

fn per_seed<C: Contender>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, load: Load, span: Duration) {
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| measured::<C>(load, span).cpu).sum());
    });
}

criterion_group!(benches, paced, idle, closed, call, seeds);
criterion_main!(benches);
