//! What time is read from: the wall's and the processor's. It goes around the clocks that a simulation interposes, which tell
//! simulated time.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Time that work took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// By the wall clock.
    pub wall: Duration,
    /// Of the processor, for all threads of the process.
    pub cpu: Duration,
}

/// What `work` takes.
pub fn spent<T>(work: impl FnOnce() -> T) -> Spent {
    let (wall, cpu) = (wall_time(), process_cpu_time());
    let result = work();
    let spent = Spent { wall: wall_time() - wall, cpu: process_cpu_time() - cpu };
    // Dropped after the time was taken: nobody asked what that costs.
    drop(result);
    spent
}

/// Time by a clock that is never put back.
pub(crate) fn wall_time() -> Duration {
    since_origin(clock_gettime(ClockId::Monotonic))
}

/// The CPU time of this thread.
pub fn thread_cpu_time() -> Duration {
    since_origin(clock_gettime(ClockId::ThreadCPUTime))
}

/// The CPU time of all threads of this process.
fn process_cpu_time() -> Duration {
    since_origin(clock_gettime(ClockId::ProcessCPUTime))
}

fn since_origin(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{spent, wall_time};

    #[test]
    fn work_that_reads_the_clock_a_thousand_times_takes_time_of_both_kinds() {
        let spent = spent(|| (0..1_000).map(|_| wall_time()).max());
        assert!(!spent.wall.is_zero() && !spent.cpu.is_zero(), "{spent:?}");
    }
}
