//! What scale costs: one scenario with ever more hosts and for ever longer, each run in a process of its own, and one sweep on
//! one core and on two. The figures go to `bench/scale.json` in the build folder, where `cargo xtask figures` finds them.
//! Arguments that are meant for criterion are ignored, but for `--test`: one small run, and no figures.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use shaketable_bench_room::folder;
use shaketable_sim::engine::{EngineInfo, engine};
use shaketable_sim::plan::Plan;
use shaketable_sim::run::{
    Case, Children, Job, Purpose, Seeds, SweepRequest, Verdict, cases_of, run_child_if_asked, sweep,
};
use shaketable_sim::scenario::Overrides;
use shaketable_stack::plugin::Plugins;

/// As the program `shaketable` allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHURN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/large/churn-of-1000-hosts.yaml"));
const CRASH: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/lease-expiry-crash.yaml"));

/// How many services the file has, each with its clients, calls, churn and crashes. One with all that is 33 hosts.
const SERVICES: u32 = 30;

/// What is run: how many of the services, and how many minutes of `shake`. The last is the file as it is.
const VARIANTS: [(u32, u32); 5] = [(3, 1), (9, 1), (SERVICES, 1), (SERVICES, 3), (SERVICES, 9)];

/// Every run is made so often, and the one that took least is told: the runs are the same, so whatever makes one slower comes
/// from outside.
const REPEATS: usize = 3;

/// A call is an operation of the client and one of the selector's, each with its beginning and end, and what the server did.
const EVENTS_PER_CALL_MIN: f64 = 5.0;

const SWEEP_SEEDS: u32 = 200;

/// So often a sweep is made with one job and then with two; the median of what two bring is told, because a machine that
/// others share may change its pace from one sweep to the next.
const SWEEP_ROUNDS: usize = 5;

/// Real time that a run may take.
const RUN_TIMEOUT: Duration = Duration::from_secs(600);

/// Where a run's process tells what it took.
const USAGE: &str = "SHAKETABLE_BENCH_USAGE";

fn main() -> ExitCode {
    let plugins = Plugins::reference();
    let asked = run_child_if_asked(&plugins);
    let done = match asked {
        Some(_) => tell_usage(),
        None => measure(&plugins),
    };
    match done {
        Ok(()) => asked.unwrap_or(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(plugins: &Plugins) -> Result<(), Box<dyn Error>> {
    let event = engine("event").ok_or("there is no engine `event`")?;
    if std::env::args().any(|word| word == "--test") {
        return run(&variant(1, 1)?, plugins, &event, 1).map(drop);
    }
    let mut runs = Vec::new();
    for (services, shake_min) in VARIANTS {
        runs.push(run(&variant(services, shake_min)?, plugins, &event, REPEATS)?);
    }
    let figures = json!({ "runs": runs, "sweep": sweeps(plugins, &event)? });
    fs::write(folder()?.join("scale.json"), format!("{figures:#}\n"))?;
    Ok(())
}

/// The text of the file with the first `services` of its services and another length of `shake`. Whatever belongs to a service
/// has lines of its own, so that hosts, calls, churn and crashes shrink alike.
fn variant(services: u32, shake_min: u32) -> Result<String, Box<dyn Error>> {
    let of_others = |line: &&str| {
        let mut others = (services + 1)..=SERVICES;
        others.any(|number| ["s", "c"].iter().any(|kind| line.contains(&format!("{kind}{number:02}"))))
    };
    let kept: Vec<&str> = CHURN.lines().filter(|line| !of_others(line)).collect();
    let text = kept.join("\n");
    let (before, after) = text.split_once("shake: 9m").ok_or("the file should shake for 9m")?;
    Ok(format!("{before}shake: {shake_min}m{after}"))
}

/// Runs the scenario `text`, `repeats` times the same, and tells what the cheapest run took.
fn run(text: &str, plugins: &Plugins, event: &EngineInfo, repeats: usize) -> Result<Value, Box<dyn Error>> {
    let case = case(text, &Overrides::default(), plugins, event)?;
    let plan = Plan::draw(&case.scenario, 0, &["etcd".to_owned()])?;
    let rate = |entry: usize| case.scenario.load[entry].calls.as_ref().and_then(|calls| calls.rate).unwrap_or(0.0);
    let rates: f64 = plan.loads.iter().map(|load| rate(load.entry)).sum();
    let calls = rates * (plan.end_at - plan.loads_at).as_secs_f64();
    let job = Job {
        file: case.file.clone(),
        text: text.to_owned(),
        overrides: String::new(),
        seed: 0,
        engine: event.name.to_owned(),
        keep: false,
    };
    let usage = folder()?.join("usage.json");
    let environment = [(USAGE.to_owned(), usage.display().to_string())];
    let mut digests = Vec::new();
    let (mut cpu_s, mut resident_mib_max, mut told) = (f64::INFINITY, 0.0_f64, Value::Null);
    let children = Children::with_environment(Purpose::Run, &environment);
    for _ in 0..repeats {
        let report = children.run(&job, RUN_TIMEOUT).map_err(|failure| format!("{failure:?}"))?;
        let finding = report.judgements.iter().flat_map(|judgement| &judgement.findings).next();
        if let Some(finding) = finding {
            return Err(format!("the run should have found nothing: {}", finding.sentence).into());
        }
        if report.judgements.is_empty() || (report.events as f64) < EVENTS_PER_CALL_MIN * calls {
            return Err(format!("{} events are too few for {calls:.0} calls", report.events).into());
        }
        let used = used(&usage)?;
        cpu_s = cpu_s.min(used.0);
        resident_mib_max = resident_mib_max.max(used.1);
        let simulated_s = report.simulated.since_start().as_secs_f64();
        println!(
            "{} hosts, {simulated_s:.0} simulated s: {:.2} s of CPU time, {:.0} MiB, {} events, {} packets",
            plan.hosts.len(),
            used.0,
            used.1,
            report.events,
            report.packets
        );
        digests.push(report.digest);
        told = json!({
            "hosts": plan.hosts.len(),
            "simulated_s": simulated_s,
            "calls": calls.round(),
            "events": report.events,
            "packets": report.packets,
            "cpu_s": cpu_s,
            "resident_mib_max": resident_mib_max,
            "whole": text.trim_end() == CHURN.trim_end(),
        });
    }
    digests.dedup();
    if digests.len() > 1 {
        return Err(format!("one seed gave several runs: {}", digests.join(", ")).into());
    }
    Ok(told)
}

/// What sweeps take with one job and with two; nothing when there are no two cores.
fn sweeps(plugins: &Plugins, event: &EngineInfo) -> Result<Value, Box<dyn Error>> {
    let cores = std::thread::available_parallelism()?.get();
    if cores < 2 {
        println!("sweep: left out, because there is one core");
        return Ok(Value::Null);
    }
    let case = case(CRASH, &"registry=etcd".parse()?, plugins, event)?;
    let (mut ones, mut twos, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SWEEP_ROUNDS {
        let (one, two) = (timed_sweep(&case, event, 1)?, timed_sweep(&case, event, 2)?);
        times.push(one.0 / two.0);
        ones.push(one);
        twos.push(two);
    }
    let times = median(times);
    println!("sweep: two at a time are {times:.2} times as fast as one");
    let wall_s = |of: &[(f64, f64)]| median(of.iter().map(|(wall_s, _)| *wall_s).collect());
    let cpu_s = |of: &[(f64, f64)]| median(of.iter().map(|(_, cpu_s)| *cpu_s).collect());
    Ok(json!({
        "seeds": SWEEP_SEEDS,
        "rounds": SWEEP_ROUNDS,
        "one_s": wall_s(&ones),
        "one_cpu_s": cpu_s(&ones),
        "two_s": wall_s(&twos),
        "two_cpu_s": cpu_s(&twos),
        "times": times,
    }))
}

/// Seconds of real time, and of CPU time of all runs together, that one sweep takes.
fn timed_sweep(case: &Case, event: &EngineInfo, jobs: usize) -> Result<(f64, f64), Box<dyn Error>> {
    let request = SweepRequest {
        cases: vec![case.clone()],
        seeds: Seeds::Count(SWEEP_SEEDS),
        engine: event.name.to_owned(),
        jobs,
        run_timeout: RUN_TIMEOUT,
        time_limit: None,
        fail_fast: false,
        keep: false,
    };
    let (began, before_s) = (time(ClockId::Monotonic), children_cpu_s()?);
    let verdict = sweep(&request, &mut |_| {}).verdict();
    let (took_s, cpu_s) = ((time(ClockId::Monotonic) - began).as_secs_f64(), children_cpu_s()? - before_s);
    println!("sweep of {SWEEP_SEEDS} seeds, {jobs} at a time: {took_s:.2} s, {cpu_s:.2} s of CPU time");
    if verdict != Verdict::Held {
        return Err(format!("the sweep should have held: {verdict:?}").into());
    }
    Ok((took_s, cpu_s))
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The CPU time of the processes that this one has started and that have ended: fields 16 and 17 of proc_pid_stat(5). The
/// second field, a name in brackets, may contain spaces.
fn children_cpu_s() -> Result<f64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = text.rsplit_once(')').ok_or("/proc/self/stat is not as it should be")?;
    let ticks: Result<Vec<f64>, _> = fields.split_whitespace().skip(13).take(2).map(str::parse::<f64>).collect();
    Ok(ticks?.iter().sum::<f64>() / clock_ticks_per_second() as f64)
}

/// The one case that `text` is with `set`.
fn case(text: &str, set: &Overrides, plugins: &Plugins, event: &EngineInfo) -> Result<Case, Box<dyn Error>> {
    let loaded = cases_of("scale.yaml", text, set, plugins, event).map_err(|problems| problems.to_string())?;
    let [case] = <[Case; 1]>::try_from(loaded.cases).map_err(|cases| format!("{} cases, not one", cases.len()))?;
    Ok(case)
}

/// Tells what this process, which has made a run, took: all its CPU time, and the most that it ever kept in memory.
fn tell_usage() -> Result<(), Box<dyn Error>> {
    let Some(file) = std::env::var_os(USAGE) else { return Ok(()) };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kept = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
    let kib: f64 = kept.ok_or("this system does not tell what a process keeps")?.trim().parse()?;
    let cpu_s = time(ClockId::ProcessCPUTime).as_secs_f64();
    fs::write(file, json!({ "cpu_s": cpu_s, "resident_mib_max": kib / 1024.0 }).to_string())?;
    Ok(())
}

/// Seconds of CPU time and MiB, as a run's process has told them. The next one cannot be taken for it.
fn used(file: &Path) -> Result<(f64, f64), Box<dyn Error>> {
    let told: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    fs::remove_file(file)?;
    let number = |name: &str| told.get(name).and_then(Value::as_f64).ok_or_else(|| format!("no {name} was told"));
    Ok((number("cpu_s")?, number("resident_mib_max")?))
}

/// What `clock` says. It goes around the interposed clocks, which tell simulated time.
fn time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
