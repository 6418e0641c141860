//! How a contest ended: as a table for people and as JSON for programs, in `bench/contests` of the build folder. It judges
//! nothing.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::turns::{Clock, Measured, Turns};
use super::{Amount, Role};
use crate::folder::folder;
use crate::place::Kind;
use crate::ratio::{Ratio, median};

/// Turns, and where they were taken.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) group: &'static str,
    pub(super) case: String,
    pub(super) amount: Amount,
    pub(super) place: String,
    pub(super) kind: Kind,
    pub(super) clock: Clock,
    pub(super) turns: Turns,
}

impl Outcome {
    /// A line for each contender: what it takes for doing the work once, how much that makes in a second, and how many times
    /// as long each of ours takes.
    pub(super) fn table(&self) -> String {
        let contenders = &self.turns.contenders;
        let count = contenders.first().map_or(0, |first| first.wall_ns.len());
        let width = contenders.iter().map(|one| one.name.chars().count()).max().unwrap_or(0);
        let clock = self.clock_name();
        let mut text = format!("\n{}/{}: {count} turns on {}, {}, ", self.group, self.case, self.place, self.kind);
        let _ = writeln!(text, "compared by {clock} time");
        for one in contenders {
            let (wall, cpu) = (middle(&one.wall_ns), middle(&one.cpu_ns));
            let rate = self.rate(middle(one.of(self.clock)));
            let _ = write!(text, "  {:width$}  {:>9}  CPU {:>9}  {rate:>14}", one.name, time(wall), time(cpu));
            for ours in contenders.iter().filter(|ours| ours.role == Role::Ours && one.role != Role::Ours) {
                if let Some(ratio) = self.ratio(ours, one) {
                    let _ = write!(text, "  {} takes {ratio}", ours.name);
                }
            }
            text.push_str(if one.role == Role::Limit { "  (the limit)\n" } else { "\n" });
        }
        text
    }

    fn ratio(&self, one: &Measured, other: &Measured) -> Option<Ratio> {
        Ratio::of(one.of(self.clock), other.of(self.clock))
    }

    fn clock_name(&self) -> &'static str {
        match self.clock {
            Clock::Cpu => "CPU",
            Clock::Wall => "wall",
        }
    }

    /// How much is done in a second.
    fn rate(&self, once_ns: f64) -> String {
        let (amount, unit) = amount(self.amount);
        let rate = amount as f64 * 1e9 / once_ns;
        match rate {
            rate if rate >= 1e9 => format!("{:.2} G{unit}/s", rate / 1e9),
            rate if rate >= 1e6 => format!("{:.2} M{unit}/s", rate / 1e6),
            rate => format!("{:.2} k{unit}/s", rate / 1e3),
        }
    }

    /// Writes it where programs find it.
    pub(super) fn keep(&self) -> io::Result<()> {
        let path = path(self.group, &self.case)?;
        fs::write(path, format!("{:#}\n", self.json()))
    }

    fn json(&self) -> Value {
        let contenders = &self.turns.contenders;
        let (amount, unit) = amount(self.amount);
        let each = |one: &Measured| {
            json!({
                "name": one.name, "role": role(one.role),
                "wall_ns_median": middle(&one.wall_ns), "cpu_ns_median": middle(&one.cpu_ns),
                "wall_ns": one.wall_ns, "cpu_ns": one.cpu_ns,
            })
        };
        let ours = contenders.iter().filter(|one| one.role == Role::Ours);
        let others = || contenders.iter().filter(|one| one.role != Role::Ours);
        let pairs = ours.flat_map(|ours| others().map(move |other| (ours, other)));
        let ratios = pairs.filter_map(|(ours, other)| {
            let ratio = self.ratio(ours, other)?;
            let interval = ratio.interval.map(|(low, high)| [low, high]);
            Some(json!({ "of": ours.name, "to": other.name, "median": ratio.median, "interval": interval }))
        });
        json!({
            "group": self.group, "case": self.case, "place": self.place, "kind": self.kind.to_string(),
            "compared_by": self.clock_name(), "machine": machine(), "optimised": !cfg!(debug_assertions),
            "once": { "amount": amount, "unit": unit },
            "contenders": contenders.iter().map(each).collect::<Vec<_>>(),
            "ratios": ratios.collect::<Vec<_>>(),
        })
    }
}

fn path(group: &str, case: &str) -> io::Result<PathBuf> {
    let contests = folder()?.join("contests");
    fs::create_dir_all(&contests)?;
    Ok(contests.join(format!("{group}-{}.json", case.replace(['/', ' '], "-"))))
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Ours => "ours",
        Role::Peer => "peer",
        Role::Limit => "limit",
    }
}

fn amount(amount: Amount) -> (usize, &'static str) {
    match amount {
        Amount::Bytes(bytes) => (bytes, "B"),
        Amount::Elements(elements) => (elements, " elements"),
    }
}

/// The median of the turns.
fn middle(turns: &[f64]) -> f64 {
    let mut sorted = turns.to_vec();
    sorted.sort_by(f64::total_cmp);
    median(&sorted).unwrap_or(f64::NAN)
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

/// What the figures were got on.
fn machine() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    json!({
        "processor": cpu.map_or(std::env::consts::ARCH, |(_, name)| name.trim()),
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Amount, Clock, Measured, Outcome, Role, Turns};
    use crate::place::Kind;

    fn outcome(turns: usize) -> Outcome {
        let measured = |name: &str, role, ns| Measured {
            name: name.to_owned(),
            role,
            wall_ns: vec![ns; turns],
            cpu_ns: vec![ns / 2.0; turns],
        };
        let contenders = vec![
            measured("ours", Role::Ours, 3_000.0),
            measured("another", Role::Peer, 2_000.0),
            measured("copy", Role::Limit, 10.0),
        ];
        Outcome {
            group: "work",
            case: "one thing/twice".to_owned(),
            amount: Amount::Bytes(1_000),
            place: "core 1".to_owned(),
            kind: Kind::InProcess,
            clock: Clock::Wall,
            turns: Turns { contenders },
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_and_ratios_to_peer_and_limit() {
        assert_eq!(
            outcome(31).table(),
            "\nwork/one thing/twice: 31 turns on core 1, in process, compared by wall time\n\
             \x20 ours       3.00 µs  CPU   1.50 µs     333.33 MB/s\n\
             \x20 another    2.00 µs  CPU   1.00 µs     500.00 MB/s  ours takes 1.50 (1.50 to 1.50)\n\
             \x20 copy       10.0 ns  CPU    5.0 ns     100.00 GB/s  ours takes 300.00 (300.00 to 300.00)  (the limit)\n"
        );
    }

    #[test]
    fn programs_are_told_every_turn_and_where_it_was_taken() {
        let json = outcome(1).json();
        assert_eq!(json["place"], "core 1");
        assert_eq!(json["kind"], "in process");
        assert_eq!(json["once"], json!({ "amount": 1_000, "unit": "B" }));
        assert_eq!(json["contenders"][1]["wall_ns"], json!([2_000.0]));
        assert_eq!(json["ratios"][0], json!({ "of": "ours", "to": "another", "median": 1.5, "interval": null }));
        assert_eq!(json["compared_by"], "wall");
        assert!(json["machine"]["cores"].as_u64() > Some(0));
    }
}
