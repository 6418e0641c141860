//! How a contest ended: as a table for people, and as the file in `bench/contests` of the build folder of which
//! `shaketable bench-report` makes its report. It judges nothing.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use shaketable_reports::bench::{
    Clock, Contender, Contest, Ground, Machine, Once, Ratio, Role, median_of_turns, nanoseconds,
};

use super::Amount;
use super::turns::Turns;
use crate::folder::folder;
use crate::place::Kind;
use crate::versions::versions;

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
        let clock = self.clock.name();
        let mut text = format!("\n{}/{}: {count} turns on {}, {}, ", self.group, self.case, self.place, self.kind);
        let _ = writeln!(text, "compared by {clock} time");
        for one in contenders {
            let (wall, cpu) = (middle(&one.wall_ns), middle(&one.cpu_ns));
            let rate = self.rate(middle(one.of(self.clock)));
            let _ = write!(
                text,
                "  {:width$}  {:>9}  CPU {:>9}  {rate:>14}",
                one.name,
                nanoseconds(wall),
                nanoseconds(cpu)
            );
            for ours in contenders.iter().filter(|ours| ours.role == Role::Ours && one.role != Role::Ours) {
                if let Some(ratio) = self.ratio(ours, one) {
                    let _ = write!(text, "  {} takes {ratio}", ours.name);
                }
            }
            text.push_str(if one.role == Role::Limit { "  (the limit)\n" } else { "\n" });
        }
        text
    }

    fn ratio(&self, one: &Contender, other: &Contender) -> Option<Ratio> {
        Ratio::of(one.of(self.clock), other.of(self.clock))
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
        fs::write(path, self.contest().text().map_err(io::Error::other)?)
    }

    fn contest(&self) -> Contest {
        let (amount, unit) = amount(self.amount);
        let (place, kind) = (self.place.clone(), self.kind.to_string());
        let ground = Ground { place, kind, machine: machine(), versions: versions() };
        let once = Once { amount, unit: unit.trim().to_owned() };
        let contenders = self.turns.contenders.clone();
        let mut contest = Contest::new((self.group, &self.case), ground, self.clock, once, contenders);
        contest.optimised = !cfg!(debug_assertions);
        contest
    }
}

fn path(group: &str, case: &str) -> io::Result<PathBuf> {
    let contests = folder()?.join("contests");
    fs::create_dir_all(&contests)?;
    Ok(contests.join(format!("{group}-{}.json", case.replace(['/', ' '], "-"))))
}

fn amount(amount: Amount) -> (usize, &'static str) {
    match amount {
        Amount::Bytes(bytes) => (bytes, "B"),
        Amount::Elements(elements) => (elements, " elements"),
    }
}

/// The median of the turns.
fn middle(turns: &[f64]) -> f64 {
    median_of_turns(turns).unwrap_or(f64::NAN)
}

/// What the figures were got on.
fn machine() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    Machine {
        processor: cpu.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned(),
        cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use shaketable_reports::bench::{Contender, Published};

    use super::{Amount, Clock, Contest, Outcome, Role, Turns};
    use crate::place::Kind;

    fn outcome(turns: usize) -> Outcome {
        let measured = |name: &str, role, ns| Contender {
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
    fn what_is_kept_is_what_the_report_reads() {
        let contest = outcome(31).contest();
        assert_eq!(Contest::read(&contest.text().unwrap()), Ok(contest.clone()));
        assert_eq!((contest.ground.place.as_str(), contest.ground.kind.as_str()), ("core 1", "in process"));
        assert_eq!(contest.optimised, !cfg!(debug_assertions));
        assert!(contest.ground.machine.cores > 0 && contest.ground.versions.rustc.starts_with("rustc "));
        assert_eq!((contest.once.amount, contest.once.unit.as_str()), (1_000, "B"));
        let published = Published::of(&[contest]);
        let pair = &published.contests[0].ratios[0];
        assert_eq!((pair.of.as_str(), pair.to.as_str(), pair.median), ("ours", "another", 1.5));
        assert_eq!(published.contests[0].contenders[0].wall_ns, 3_000.0);
    }
}
