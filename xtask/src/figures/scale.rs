//! What scale costs: a table of the runs that the bench `scale` has made, what a second core brings, and two charts, beside
//! what issue 3 asks for.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::chart::{Axis, Chart, GREEN, GREY, Line};
use super::estimates::json;
use super::write::{met, significant};

/// Cost against hosts.
pub(super) const HOSTS_CHART: &str = "scale-hosts.svg";

/// Cost against events.
pub(super) const EVENTS_CHART: &str = "scale-events.svg";

/// Seconds of CPU time of the whole file, at most.
const WHOLE_S_MAX: f64 = 60.0;

/// MiB of the whole file, at most.
const WHOLE_MIB_MAX: f64 = 1_024.0;

/// How much faster a sweep is on two cores, at least.
const SWEEP_TIMES_MIN: f64 = 1.9;

/// The share of a core that one run at a time has when nobody else wants it, at least.
const UNDISTURBED_SHARE: f64 = 0.95;

/// What the bench has measured.
#[derive(Debug)]
pub(super) struct Scale {
    /// In the order in which they were made.
    runs: Vec<Run>,
    /// Nothing on a machine with one core.
    sweep: Option<Sweep>,
}

/// A run.
#[derive(Clone, Debug)]
struct Run {
    hosts: f64,
    simulated_s: f64,
    calls: f64,
    events: f64,
    packets: f64,
    cpu_s: f64,
    resident_mib_max: f64,
    /// Of the file as it is.
    whole: bool,
}

/// Sweeps, one run at a time and two; medians of all rounds.
#[derive(Clone, Debug)]
struct Sweep {
    seeds: f64,
    rounds: f64,
    /// Real time and CPU time, one run at a time.
    one_s: f64,
    one_cpu_s: f64,
    /// Two runs at a time.
    two_s: f64,
    two_cpu_s: f64,
    /// How much less real time two took, of each round.
    times: f64,
}

/// Reads what the bench has left in the folder `target`.
///
/// # Errors
/// When it was not run, or what it left cannot be read.
pub(super) fn read(target: &Path) -> Result<Scale, String> {
    let path = target.join("bench/scale.json");
    scale(&json(&path)?).map_err(|wrong| format!("{}: {wrong}; run `cargo bench` first", path.display()))
}

fn scale(value: &Value) -> Result<Scale, String> {
    let runs = value.get("runs").and_then(Value::as_array).ok_or("no runs")?;
    let sweep = value.get("sweep").filter(|sweep| !sweep.is_null());
    Ok(Scale {
        runs: runs.iter().map(run).collect::<Result<_, _>>()?,
        sweep: sweep
            .map(|sweep| {
                let names = ["seeds", "rounds", "one_s", "one_cpu_s", "two_s", "two_cpu_s", "times"];
                let [seeds, rounds, one_s, one_cpu_s, two_s, two_cpu_s, times] = numbers(sweep, names)?;
                Ok::<_, String>(Sweep { seeds, rounds, one_s, one_cpu_s, two_s, two_cpu_s, times })
            })
            .transpose()?,
    })
}

fn run(value: &Value) -> Result<Run, String> {
    let names = ["hosts", "simulated_s", "calls", "events", "packets", "cpu_s", "resident_mib_max"];
    let [hosts, simulated_s, calls, events, packets, cpu_s, resident_mib_max] = numbers(value, names)?;
    let whole = value.get("whole").and_then(Value::as_bool).ok_or("no whole")?;
    Ok(Run { hosts, simulated_s, calls, events, packets, cpu_s, resident_mib_max, whole })
}

/// The numbers with these names, all above zero.
fn numbers<const COUNT: usize>(value: &Value, names: [&str; COUNT]) -> Result<[f64; COUNT], String> {
    let mut numbers = [0.0; COUNT];
    for (number, name) in numbers.iter_mut().zip(names) {
        let found = value.get(name).and_then(Value::as_f64).filter(|number| *number > 0.0);
        *number = found.ok_or_else(|| format!("no {name}"))?;
    }
    Ok(numbers)
}

impl Run {
    fn cpu_s_per_minute(&self) -> f64 {
        self.cpu_s / (self.simulated_s / 60.0)
    }

    fn events_m(&self) -> f64 {
        self.events / 1e6
    }
}

impl Scale {
    /// The run of the whole file.
    fn whole(&self) -> Result<&Run, String> {
        self.runs
            .iter()
            .find(|run| run.whole)
            .ok_or_else(|| "no run of the whole file; run `cargo bench` first".to_owned())
    }

    /// The runs that are as short as the shortest, with ever more hosts.
    fn by_hosts(&self) -> Vec<&Run> {
        let shortest_s = self.runs.iter().map(|run| run.simulated_s).fold(f64::INFINITY, f64::min);
        self.runs.iter().filter(|run| run.simulated_s <= shortest_s).collect()
    }

    /// The runs with as many hosts as the whole file has, for ever longer.
    fn by_events(&self) -> Result<Vec<&Run>, String> {
        let hosts = self.whole()?.hosts;
        Ok(self.runs.iter().filter(|run| run.hosts >= hosts).collect())
    }
}

/// The document.
///
/// # Errors
/// When the whole file was not run.
pub(super) fn text(machine: &[String], scale: &Scale) -> Result<String, String> {
    let whole = scale.whole()?;
    let mut text = String::from("# What scale costs\n\n");
    text.push_str("Written by `cargo xtask figures` from the last `cargo bench`; do not edit. ");
    text.push_str(
        "What runs is `scenarios/large/churn-of-1000-hosts.yaml` on engine `event` with seed 0: thirty services of ",
    );
    text.push_str(
        "thirty replicas each, ninety clients that call ten times a second each, etcd, and a hub that watches ",
    );
    text.push_str(
        "everything, while replicas come, go and crash. Fewer hosts are fewer of its services, each with its ",
    );
    text.push_str(
        "replicas, clients, churn and crashes, so that every host does the same; less time is a shorter `shake`. ",
    );
    text.push_str(
        "Events are those of the history, packets what passed through streams; the oracles judged every run and ",
    );
    text.push_str("found nothing.\n\n");
    text.push_str(
        "A run is a process of its own with one thread, and allocates with mimalloc, as the program `shaketable` ",
    );
    text.push_str(
        "does. CPU time is all that the process took, from its start over the verdicts to its report, the best ",
    );
    text.push_str(
        "of three runs; memory is the most that it ever kept resident. Targets are those of the issue that asked for ",
    );
    text.push_str("the engine.\n\n");
    for line in machine {
        let _ = writeln!(text, "- {line}");
    }
    text.push_str("\n## Runs\n\n");
    text.push_str(
        "| hosts | simulated s | calls | events | packets | CPU s | simulated s per CPU s | CPU µs per event | MiB |\n",
    );
    text.push_str("|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for run in &scale.runs {
        let Run { hosts, simulated_s, calls, events, packets, cpu_s, resident_mib_max: mib, .. } = run;
        let [calls, events, packets, cpu] = [*calls, *events, *packets, *cpu_s].map(significant);
        let (pace, each) = (significant(simulated_s / cpu_s), significant(cpu_s * 1e6 / run.events));
        let _ = writeln!(
            text,
            "| {hosts} | {simulated_s:.0} | {calls} | {events} | {packets} | {cpu} | {pace} | {each} | {mib:.0} |"
        );
    }
    let _ = writeln!(text, "\n![CPU time per simulated minute against hosts]({HOSTS_CHART})");
    let _ = writeln!(text, "\n![CPU time against events]({EVENTS_CHART})");
    text.push_str("\n## The whole file: ten simulated minutes of a thousand hosts\n\n");
    text.push_str("| | measured | target | met |\n|---|--:|---|---|\n");
    let (cpu_s, mib) = (whole.cpu_s, whole.resident_mib_max);
    let _ = writeln!(
        text,
        "| CPU time | {cpu_s:.1} s | at most {WHOLE_S_MAX:.0} s on one core | {} |",
        met(cpu_s <= WHOLE_S_MAX)
    );
    let _ = writeln!(text, "| memory | {mib:.0} MiB | at most 1,024 MiB | {} |", met(mib <= WHOLE_MIB_MAX));
    push_sweep(&mut text, scale.sweep.as_ref());
    Ok(text)
}

fn push_sweep(text: &mut String, sweep: Option<&Sweep>) {
    text.push_str("\n## Two cores\n\n");
    let Some(Sweep { seeds, rounds, one_s, one_cpu_s, two_s, two_cpu_s, times }) = sweep else {
        text.push_str("Not measured: the machine has one core.\n");
        return;
    };
    let _ = write!(
        text,
        "A sweep of {seeds} seeds of `scenarios/lease-expiry-crash.yaml` with `registry=etcd`, first one run "
    );
    let _ = write!(
        text,
        "at a time and then two, {rounds} times; medians. Where two bring less than twice as much, the CPU "
    );
    let _ = write!(
        text,
        "time tells why: what it grows by is what runs on two cores take from each other (caches, memory), "
    );
    let _ = write!(text, "and what is missing to twice the real time is a core that waits.\n\n");
    text.push_str("| runs at a time | s | CPU s | seeds per s | against one | target | met |\n");
    text.push_str("|--:|--:|--:|--:|--:|---|---|\n");
    let _ = writeln!(text, "| 1 | {one_s:.2} | {one_cpu_s:.2} | {} | | | |", significant(seeds / one_s));
    let disturbed = one_cpu_s / one_s < UNDISTURBED_SHARE;
    let met = if disturbed { "not measured" } else { met(*times >= SWEEP_TIMES_MIN) };
    let _ = writeln!(
        text,
        "| 2 | {two_s:.2} | {two_cpu_s:.2} | {} | {times:.2} times as fast | at least {SWEEP_TIMES_MIN} times as fast | {met} |",
        significant(seeds / two_s),
    );
    if disturbed {
        text.push_str(
            "\nOthers used the cores at the same time: one run at a time took less CPU time than real time. What two \
                       bring is not measured, and CPU times are higher than they need be; run the bench again on a machine that does nothing else.\n",
        );
    }
}

/// Cost against hosts as SVG.
///
/// # Errors
/// When it cannot be drawn.
pub(super) fn hosts_chart(scale: &Scale) -> Result<String, Box<dyn Error>> {
    let points: Vec<(f64, f64)> = scale.by_hosts().iter().map(|run| (run.hosts, run.cpu_s_per_minute())).collect();
    chart(
        "CPU time per simulated minute, each host doing the same",
        ["hosts", "s of CPU time per simulated minute"],
        "in proportion to hosts",
        points,
    )
}

/// Cost against events as SVG.
///
/// # Errors
/// When the whole file was not run, or it cannot be drawn.
pub(super) fn events_chart(scale: &Scale) -> Result<String, Box<dyn Error>> {
    let points: Vec<(f64, f64)> = scale.by_events()?.iter().map(|run| (run.events_m(), run.cpu_s)).collect();
    chart(
        "CPU time of a thousand hosts for ever longer",
        ["millions of events", "s of CPU time"],
        "in proportion to events",
        points,
    )
}

/// What was measured, and what it would be if it followed what it is drawn against from the first point on.
fn chart(
    caption: &'static str,
    [x, y]: [&'static str; 2],
    proportion: &'static str,
    points: Vec<(f64, f64)>,
) -> Result<String, Box<dyn Error>> {
    let (first, cost) = *points.first().ok_or("no run to draw; run `cargo bench` first")?;
    let in_proportion: Vec<(f64, f64)> = points.iter().map(|(x, _)| (*x, cost * x / first)).collect();
    let heights = points.iter().chain(&in_proportion).map(|(_, y)| *y);
    Chart {
        caption,
        x: Axis::around(x, points.iter().map(|(x, _)| *x)),
        y: Axis::around(y, heights),
        lines: vec![
            Line { name: proportion, colour: GREY, points: in_proportion },
            Line { name: "event", colour: GREEN, points },
        ],
    }
    .svg()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::super::chart::tests::lines_of;
    use super::{GREEN, GREY, Scale, events_chart, hosts_chart, read, scale, text};

    fn run(hosts: u32, minutes: u32, cpu_s: f64, whole: bool) -> Value {
        json!({
            "hosts": hosts, "simulated_s": minutes * 60, "calls": hosts * minutes * 100, "events": hosts * minutes * 1_000,
            "packets": 250_000, "cpu_s": cpu_s, "resident_mib_max": 1_024.4, "whole": whole,
        })
    }

    fn figures(sweep: Value) -> Scale {
        let runs = [run(100, 2, 0.5, false), run(1_000, 2, 6.0, false), run(1_000, 10, 60.0, true)];
        scale(&json!({ "runs": runs, "sweep": sweep })).unwrap()
    }

    #[track_caller]
    fn has_row(text: &str, row: &str) {
        assert!(text.lines().any(|line| line == row), "{text}");
    }

    #[test]
    fn runs_stand_beside_what_is_asked() {
        let figures = figures(json!({
            "seeds": 40, "rounds": 7, "one_s": 19.0, "one_cpu_s": 18.5, "two_s": 10.0, "two_cpu_s": 19.5, "times": 1.9,
        }));
        let text = text(&["2 cores".to_owned()], &figures).unwrap();
        assert!(text.contains("\n- 2 cores\n"));
        has_row(&text, "| 100 | 120 | 20,000 | 200,000 | 250,000 | 0.500 | 240 | 2.50 | 1024 |");
        has_row(&text, "| 1000 | 600 | 1,000,000 | 10,000,000 | 250,000 | 60.0 | 10.0 | 6.00 | 1024 |");
        has_row(&text, "| CPU time | 60.0 s | at most 60 s on one core | yes |");
        has_row(&text, "| memory | 1024 MiB | at most 1,024 MiB | **no** |");
        has_row(&text, "| 1 | 19.00 | 18.50 | 2.11 | | | |");
        has_row(&text, "| 2 | 10.00 | 19.50 | 4.00 | 1.90 times as fast | at least 1.9 times as fast | yes |");
    }

    #[test]
    fn what_others_disturb_is_not_measured() {
        let sweep = json!({
            "seeds": 40, "rounds": 7, "one_s": 20.0, "one_cpu_s": 18.5, "two_s": 16.0, "two_cpu_s": 18.5, "times": 1.25,
        });
        let text = text(&[], &figures(sweep)).unwrap();
        has_row(&text, "| 2 | 16.00 | 18.50 | 2.50 | 1.25 times as fast | at least 1.9 times as fast | not measured |");
        assert!(text.contains("\nOthers used the cores at the same time"));
    }

    #[test]
    fn one_core_sweeps_nothing() {
        let text = text(&[], &figures(Value::Null)).unwrap();
        has_row(&text, "Not measured: the machine has one core.");
    }

    #[test]
    fn a_chart_has_what_was_measured_and_what_would_be_in_proportion() {
        let figures = figures(Value::Null);
        let costs: Vec<f64> = figures.by_hosts().iter().map(|run| run.cpu_s_per_minute()).collect();
        assert_eq!(costs, [0.25, 3.0]);
        let events: Vec<f64> = figures.by_events().unwrap().iter().map(|run| run.events_m()).collect();
        assert_eq!(events, [2.0, 10.0]);
        for svg in [hosts_chart(&figures).unwrap(), events_chart(&figures).unwrap()] {
            assert_eq!((lines_of(&svg, GREY), lines_of(&svg, GREEN)), (2, 2));
        }
    }

    #[test]
    fn without_a_bench_one_is_told_to_run_it() {
        let error = read(Path::new("/nowhere")).unwrap_err();
        assert!(
            error.starts_with("/nowhere/bench/scale.json: ") && error.ends_with("; run `cargo bench` first"),
            "{error}"
        );
        let short = scale(&json!({ "runs": [run(100, 2, 0.5, false)], "sweep": null })).unwrap();
        let error = text(&[], &short).unwrap_err();
        assert_eq!(error, "no run of the whole file; run `cargo bench` first");
        assert_eq!(scale(&json!({ "runs": [{}] })).unwrap_err(), "no hosts");
    }
}
