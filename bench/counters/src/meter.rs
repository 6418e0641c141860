//! Counts what a work does, within the process that does nothing else. Random bytes come from a seed and clocks stand still, so
//! that hash maps and timers are the same every time.

use std::process::ExitCode;

use shaketable_sim::allocation::allocated;
use shaketable_sim::determinism::activate;

use crate::counts::Counts;

/// The first word of a process that counts; the second is the work's name.
pub const COUNT: &str = "--count-one-work";

/// The seed of everything that is random.
const SEED: u64 = 7;

/// Is told to do the work, and counts meanwhile.
#[derive(Debug, Default)]
pub struct Meter {
    counts: Counts,
}

impl Meter {
    /// Does the work `times` times and counts what it allocates, and instructions where callgrind watches; anything before and
    /// after is not counted. Once for each meter.
    pub fn count<T>(&mut self, times: u64, mut work: impl FnMut(u64) -> T) {
        let before = allocated();
        let mut result = None;
        measured_by_callgrind(&mut || result = Some(work(times)));
        let after = allocated();
        self.counts.add("times", times);
        self.counts.add("allocations", after.calls - before.calls);
        self.counts.add("allocated bytes", after.bytes - before.bytes);
        // Dropped after it was counted: nobody asked what that costs.
        drop(result);
    }

    /// As [`count`](Self::count), where nobody asks for allocations: those of a backend in the same process are among them.
    pub fn time<T>(&mut self, times: u64, work: impl FnOnce(u64) -> T) {
        self.counts.add("times", times);
        drop(work(times));
    }

    /// Adds what the work has counted itself.
    pub fn add(&mut self, what: &str, count: u64) {
        self.counts.add(what, count);
    }
}

/// Callgrind begins to count where this is entered and ends where it is left; it finds it by its name.
#[inline(never)]
fn measured_by_callgrind(work: &mut dyn FnMut()) {
    work();
    // What follows the call keeps it from becoming a jump, after which nobody would see this left.
    std::hint::black_box(&());
}

/// In a process that was started to count, counts `work` of the name that it was given and tells it; `None` elsewhere.
pub fn count_if_asked(work: impl FnOnce(&str, &mut Meter) -> Result<(), String>) -> Option<ExitCode> {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() != Some(COUNT) {
        return None;
    }
    let name = words.next().unwrap_or_default();
    let _guard = activate(SEED);
    let mut meter = Meter::default();
    let told =
        work(&name, &mut meter).and_then(|()| serde_json::to_string(&meter.counts).map_err(|error| error.to_string()));
    Some(match told {
        Ok(counts) => {
            println!("{counts}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::from(2)
        }
    })
}
