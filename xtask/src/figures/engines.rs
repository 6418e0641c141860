//! What the engines cost: tables of what was measured, beside what issue 3 asks for, and a chart. It computes with rates and
//! knows no files.

use std::error::Error;
use std::fmt::Write as _;

use plotters::style::RGBColor;

use super::chart::{Axis, BLUE, Chart, GREEN, Line, VERMILION};
use super::estimates::{Figures, Rate};
use super::write::{met, significant};

/// The chart beside the tables.
pub(super) const CHART: &str = "engines-hosts.svg";

/// What the chart is drawn against.
const HOSTS: [u32; 3] = [10, 50, 200];

/// What the chart shows.
const CONTENDERS: [(&str, RGBColor); 3] = [("turmoil", VERMILION), ("turmoil-net", BLUE), (EVENT, GREEN)];

/// What is ours.
const EVENT: &str = "event";

/// What a rate of a group is, and what it is written as.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// Elements are simulated milliseconds.
    SimulatedTime,
    /// Elements are calls.
    Calls,
    /// Elements are seeds.
    Seeds,
}

/// What is asked of `event`.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// To be this many times as fast as the peer.
    Times(f64),
    /// To take at most this share of the peer's CPU time.
    Cost(f64),
}

struct Group {
    name: &'static str,
    load: &'static str,
    unit: Unit,
    /// Beside `event`, each with what is asked.
    peers: &'static [(&'static str, Option<Target>)],
}

const GROUPS: [Group; 7] = [
    Group {
        name: "paced/10",
        load: "10 hosts, 100 ms between calls",
        unit: Unit::SimulatedTime,
        peers: &[("turmoil", Some(Target::Times(8.0))), ("turmoil-net", None)],
    },
    Group {
        name: "paced/50",
        load: "50 hosts, 100 ms between calls",
        unit: Unit::SimulatedTime,
        peers: &[("turmoil", Some(Target::Times(25.0))), ("turmoil-net", None)],
    },
    Group {
        name: "paced/200",
        load: "200 hosts, 100 ms between calls",
        unit: Unit::SimulatedTime,
        peers: &[("turmoil", Some(Target::Times(150.0))), ("turmoil-net", None)],
    },
    Group {
        name: "idle/10",
        load: "10 hosts, 10 s between calls",
        unit: Unit::SimulatedTime,
        peers: &[("turmoil", Some(Target::Times(600.0))), ("turmoil-net", None)],
    },
    Group {
        name: "closed/10",
        load: "10 hosts, calls back to back; `memory` makes the same calls without a network",
        unit: Unit::SimulatedTime,
        peers: &[("turmoil", None), ("turmoil-net", None), ("memory", Some(Target::Cost(1.25)))],
    },
    Group {
        name: "call",
        load: "one client, one server, calls back to back",
        unit: Unit::Calls,
        peers: &[("memory", Some(Target::Cost(1.25)))],
    },
    Group {
        name: "seeds",
        load: "9 hosts, 30 simulated s, 10 calls per second and host, from the making of the world to its end",
        unit: Unit::Seeds,
        peers: &[("turmoil", None)],
    },
];

/// Seeds per second and core, at least.
const SEEDS_MIN: f64 = 10.0;

/// KiB per host, less than.
const HOST_KIB_MAX: f64 = 200.0;

/// The document.
///
/// # Errors
/// When something was not measured.
pub(super) fn text(machine: &[String], figures: &Figures) -> Result<String, String> {
    let mut text = String::from("# What the engines cost\n\n");
    text.push_str("Written by `cargo xtask figures` from the last `cargo bench`; do not edit. ");
    text.push_str("Every host is a tonic server and a client that calls its neighbour over one HTTP/2 connection ");
    text.push_str("(unary, 64 bytes, one-way latency 1 ms); all contenders run the same service. ");
    text.push_str(
        "A second is one of CPU time of one thread, of the fastest of twenty samples (ten where a sample takes ",
    );
    text.push_str(
        "seconds), beside their median. How `event` compares with a peer is the median of turns in which both made a \
         sample, one after the other, because a machine that others share changes its pace. `turmoil` has ticks of 1 ms, `turmoil-net` the smallest loop that drives ",
    );
    text.push_str(
        "many hosts, also with ticks of 1 ms; `event` takes the digest of its trace. All allocate with mimalloc, as ",
    );
    text.push_str("the program `shaketable` does. Targets are those of the issue that asked for the engine.\n\n");
    for line in machine {
        let _ = writeln!(text, "- {line}");
    }
    let _ = writeln!(text, "\n![CPU time per simulated second against hosts]({CHART})");
    for group in &GROUPS {
        push_group(&mut text, group, figures)?;
    }
    push_memory(&mut text, figures.kib_per_host);
    Ok(text)
}

fn push_group(text: &mut String, group: &Group, figures: &Figures) -> Result<(), String> {
    let Group { name, load, unit, peers } = group;
    let (rate, comparison) = match unit {
        Unit::SimulatedTime => ("simulated s per s", "event is"),
        Unit::Calls => ("CPU time per call", "event takes"),
        Unit::Seeds => ("seeds per s", "event is"),
    };
    let _ = write!(text, "\n## {name}: {load}\n\n| contender | {rate} | median | {comparison} | target | met |\n");
    text.push_str("|---|--:|--:|--:|---|---|\n");
    let rate = figures.rate(name, EVENT)?;
    let event = rate.best;
    let own = matches!(unit, Unit::Seeds).then(|| (format!("at least {SEEDS_MIN:.0}"), event >= SEEDS_MIN));
    push_row(text, EVENT, *unit, rate, "", own);
    for (peer, target) in *peers {
        let rate = figures.rate(name, peer)?;
        let times = figures.times_as_fast(name, peer)?;
        let met = target.map(|target| match target {
            Target::Times(least) => (format!("at least {least:.0} times as fast"), times >= least),
            Target::Cost(most) => (format!("at most {most} of its CPU time"), 1.0 / times <= most),
        });
        let compared = match (unit, target) {
            (Unit::Calls, _) | (_, Some(Target::Cost(_))) => format!("{:.2} of its CPU time", 1.0 / times),
            _ => format!("{} times as fast", significant(times)),
        };
        push_row(text, peer, *unit, rate, &compared, met);
    }
    Ok(())
}

fn push_row(text: &mut String, name: &str, unit: Unit, rate: Rate, compared: &str, target: Option<(String, bool)>) {
    let (target, met) = target.map_or((String::new(), ""), |(target, is_met)| (target, met(is_met)));
    let (best, median) = (shown(unit, rate.best), shown(unit, rate.median));
    let _ = writeln!(text, "| {name} | {best} | {median} | {compared} | {target} | {met} |");
}

fn push_memory(text: &mut String, kib_per_host: f64) {
    text.push_str("\n## Memory per host: 1,000 hosts that do nothing against 100\n\n");
    text.push_str("| contender | resident KiB per host | target | met |\n|---|--:|---|---|\n");
    let met = met(kib_per_host < HOST_KIB_MAX);
    let _ = writeln!(text, "| {EVENT} | {kib_per_host:.0} | under {HOST_KIB_MAX:.0} | {met} |");
}

fn shown(unit: Unit, rate: f64) -> String {
    match unit {
        Unit::SimulatedTime => significant(rate / 1e3),
        Unit::Calls => format!("{:.1} µs", 1e6 / rate),
        Unit::Seeds => significant(rate),
    }
}

/// The chart: CPU time per simulated second against hosts, at paced load.
///
/// # Errors
/// When something was not measured.
pub(super) fn chart(figures: &Figures) -> Result<String, Box<dyn Error>> {
    let mut lines = Vec::new();
    for (name, colour) in CONTENDERS {
        let mut points = Vec::new();
        for hosts in HOSTS {
            // A rate is simulated milliseconds per second, so its inverse is seconds per simulated millisecond.
            let cost_ms = 1e6 / figures.rate(&format!("paced/{hosts}"), name)?.best;
            points.push((f64::from(hosts), cost_ms));
        }
        lines.push(Line { name, colour, points });
    }
    let costs_ms = lines.iter().flat_map(|line| line.points.iter().map(|(_, cost_ms)| *cost_ms));
    let chart = Chart {
        caption: "CPU time per simulated second, each host calling once in 100 ms",
        x: Axis { name: "hosts", range: 8.0..250.0, ticks: HOSTS.map(f64::from).to_vec() },
        y: Axis::around("ms of CPU time per simulated second", costs_ms),
        lines,
    };
    chart.svg()
}

#[cfg(test)]
mod tests {
    use super::super::chart::tests::lines_of;
    use super::super::estimates::{Figures, Rate};
    use super::{CONTENDERS, GROUPS, HOSTS, chart, text};

    fn best(best: f64) -> Rate {
        Rate { best, median: 500.0 }
    }

    /// Every contender does a thousand elements per second, but for what a test says.
    fn figures() -> Figures {
        let mut figures = Figures::default();
        figures.kib_per_host = 57.4;
        for group in &GROUPS {
            figures.add(group.name, "event", best(1_000.0));
            for (peer, _) in group.peers {
                figures.add(group.name, peer, best(1_000.0));
                figures.add_turns(group.name, peer, vec![1.0]);
            }
        }
        figures
    }

    #[track_caller]
    fn has_row(text: &str, heading: &str, row: &str) {
        let (_, section) = text.split_once(&format!("\n## {heading}")).expect("the section");
        let section = section.split("\n## ").next().unwrap();
        assert!(section.lines().any(|line| line == row), "{section}");
    }

    #[test]
    fn a_peer_stands_beside_event_with_what_is_asked() {
        let mut figures = figures();
        figures.add("paced/10", "event", best(500_000.0));
        figures.add("paced/10", "turmoil", best(50_000.0));
        figures.add_turns("paced/10", "turmoil", vec![10.0]);
        figures.add_turns("paced/10", "turmoil-net", vec![500.0]);
        figures.add_turns("idle/10", "turmoil", vec![40_000.0]);
        figures.add("call", "memory", best(50_000.0));
        figures.add_turns("call", "memory", vec![0.8]);
        figures.add("seeds", "event", best(9.96));
        let text = text(&["2 cores".to_owned()], &figures).unwrap();
        assert!(text.contains("\n- 2 cores\n"));
        has_row(&text, "paced/10", "| event | 500 | 0.500 |  |  |  |");
        has_row(&text, "paced/10", "| turmoil | 50.0 | 0.500 | 10.0 times as fast | at least 8 times as fast | yes |");
        has_row(&text, "paced/10", "| turmoil-net | 1.00 | 0.500 | 500 times as fast |  |  |");
        has_row(
            &text,
            "paced/50",
            "| turmoil | 1.00 | 0.500 | 1.00 times as fast | at least 25 times as fast | **no** |",
        );
        has_row(
            &text,
            "idle/10",
            "| turmoil | 1.00 | 0.500 | 40,000 times as fast | at least 600 times as fast | yes |",
        );
        has_row(
            &text,
            "closed/10",
            "| memory | 1.00 | 0.500 | 1.00 of its CPU time | at most 1.25 of its CPU time | yes |",
        );
        has_row(
            &text,
            "call",
            "| memory | 20.0 µs | 2000.0 µs | 1.25 of its CPU time | at most 1.25 of its CPU time | yes |",
        );
        has_row(&text, "seeds", "| event | 9.96 | 500 |  | at least 10 | **no** |");
        has_row(&text, "Memory", "| event | 57 | under 200 | yes |");
    }

    #[test]
    fn what_was_not_measured_is_told_by_name() {
        let error = text(&[], &Figures::default()).unwrap_err();
        assert_eq!(error, "no estimate of paced/10/event; run `cargo bench` first");
    }

    #[test]
    fn every_contender_has_its_line() {
        let mut figures = figures();
        for (index, (contender, _)) in CONTENDERS.iter().enumerate() {
            for hosts in HOSTS {
                figures.add(&format!("paced/{hosts}"), contender, best(f64::from(hosts) * (index + 1) as f64 * 1e3));
            }
        }
        let svg = chart(&figures).unwrap();
        for (contender, colour) in CONTENDERS {
            assert!(svg.contains(&format!("\n{contender}\n")), "its name");
            assert_eq!(lines_of(&svg, colour), 2, "its line, and a sample of that in the legend");
        }
    }
}
