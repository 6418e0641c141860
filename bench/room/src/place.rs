//! Where work is done: on which cores, and on what kind of ground. Placement changes a figure more than a library does: a
//! message between two cores that sleep costs several times one that stays on its core, so each result says where it was got.

use std::fmt;
use std::sync::Barrier;
use std::time::Duration;

use crate::clock::{Spent, spent, wall_time};

/// On which cores a contest is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Everything on one core, the last that this process may use: the first is where a system does its own work.
    OneCore,
    /// Threads on cores of their own, as far as there are cores.
    CoreEach,
}

/// What stands between a caller and what it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Memory of one process.
    InProcess,
    /// TCP on the loopback interface, both ends on one thread.
    Loopback,
    /// A server in a container of this machine.
    ServerInContainer,
    /// A server that was started as a process of this machine.
    ServerProcess,
    /// A server that somebody else runs.
    SomebodysServer,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::InProcess => "in process",
            Self::Loopback => "TCP on loopback, both ends on one thread",
            Self::ServerInContainer => "a server in a container",
            Self::ServerProcess => "a server as a process",
            Self::SomebodysServer => "a server that somebody else runs",
        })
    }
}

/// The cores that this thread, and those that it starts, are kept to until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// Empty where the system does not let a program choose.
    cores: Vec<usize>,
    before: Vec<usize>,
}

impl Place {
    /// Keeps this thread to the cores of `placement`.
    pub(crate) fn take(placement: Placement) -> Self {
        let before = allowed();
        let wanted = match (placement, before.last()) {
            (Placement::OneCore, Some(last)) => vec![*last],
            (_, _) => before.clone(),
        };
        let cores = if keep_to(&wanted) { wanted } else { Vec::new() };
        Self { cores, before }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cores.as_slice() {
            [] => formatter.write_str("wherever the system puts it"),
            [one] => write!(formatter, "core {one}"),
            several => {
                let several: Vec<String> = several.iter().map(ToString::to_string).collect();
                write!(formatter, "cores {}", several.join(", "))
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.cores.is_empty() {
            keep_to(&self.before);
        }
    }
}

/// Runs `work` on `threads` threads, each on a core of its own as far as there are, which begin together; it is told its
/// thread's number. The time is from their beginning to the end of the last.
///
/// # Panics
/// When one of them panics.
pub fn side_by_side(threads: usize, work: impl Fn(usize) + Sync) -> Spent {
    let (cores, begin) = (allowed(), Barrier::new(threads));
    let one = |number: usize| {
        if !cores.is_empty() {
            keep_to(&[cores[number % cores.len()]]);
        }
        begin.wait();
        let began = wall_time();
        work(number);
        (began, wall_time())
    };
    let mut times: Vec<(Duration, Duration)> = Vec::new();
    let Spent { cpu, .. } = spent(|| {
        std::thread::scope(|scope| {
            let started: Vec<_> = (0..threads).map(|number| scope.spawn(move || one(number))).collect();
            times.extend(started.into_iter().map(|thread| thread.join().expect("every thread does its work")));
        });
    });
    let (began, ended) = (times.iter().map(|(began, _)| *began).min(), times.iter().map(|(_, ended)| *ended).max());
    Spent { wall: ended.unwrap_or_default().saturating_sub(began.unwrap_or_default()), cpu }
}

/// The cores that this thread may use; empty where nobody tells.
#[cfg(target_os = "linux")]
fn allowed() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// Keeps this thread to `cores`; says whether it could.
#[cfg(target_os = "linux")]
fn keep_to(cores: &[usize]) -> bool {
    let mut set = rustix::thread::CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    rustix::thread::sched_setaffinity(None, &set).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> Vec<usize> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
fn keep_to(_cores: &[usize]) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Place, Placement, allowed, side_by_side};

    #[test]
    fn a_place_is_one_core_until_it_is_left() {
        let before = allowed();
        let place = Place::take(Placement::OneCore);
        assert_eq!(allowed(), [*before.last().unwrap()]);
        assert_eq!(place.to_string(), format!("core {}", before.last().unwrap()));
        drop(place);
        assert_eq!(allowed(), before);
    }

    #[test]
    fn threads_side_by_side_each_do_their_work_once() {
        let sum = AtomicUsize::new(0);
        let spent = side_by_side(3, |number| {
            sum.fetch_add(10 + number, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 33);
        assert!(!spent.wall.is_zero());
    }
}
