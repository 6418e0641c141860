//! Marks in the environment of processes: whatever such a process starts has them too, also in a session of its own and when
//! nobody is its parent any more. Who clears the environment escapes. Only Linux shows it to others; elsewhere none is found.

use std::env;
use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process};

/// The variable that has the marks, those of whoever started us first.
pub const VARIABLE: &str = "SHAKETABLE_MARK";

/// The variable that has them in a guard, written otherwise: who kills all that is marked spares guards, which have to clear
/// away after those, and end by themselves then.
pub(crate) const GUARD_VARIABLE: &str = "SHAKETABLE_GUARD";

/// How often is looked for processes that were started while others were killed.
const ROUNDS_MAX: usize = 20;

/// A text that the environment of no other process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark(String);

/// `marks` as guards have them.
pub(crate) fn of_guards(marks: &str) -> String {
    marks.replace('[', "(").replace(']', ")")
}

/// A living process that has a mark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marked {
    /// Its number.
    pub id: u32,
    /// Its command line.
    pub line: String,
}

impl Mark {
    /// One that nobody has had since this machine was started.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // A number of a process is given again, but not with the same start.
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let start = stat.rsplit(' ').nth(stat.split(' ').count().saturating_sub(22)).unwrap_or_default();
        Self(format!("[{}-{start}-{}]", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// What [`VARIABLE`] says in a process that is to have this mark, beside those that this process has.
    pub fn variable(&self) -> String {
        env::var(VARIABLE).unwrap_or_default() + &self.0
    }

    /// Whether `text`, such as a label, has it.
    pub fn is_in(&self, text: &str) -> bool {
        text.contains(&self.0)
    }

    /// The living processes that have it, guards among them, but for this one.
    pub fn processes(&self) -> Vec<Marked> {
        let of_guards = of_guards(&self.0);
        let line = |id: u32| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned()
        };
        let marked = others().filter(|id| has(*id, &self.0) || has(*id, &of_guards));
        marked.map(|id| Marked { id, line: line(id) }).collect()
    }

    /// Kills all that have it, but for this process and guards. Who is in the middle of a system call may take a moment to end.
    pub fn kill(&self) {
        for _ in 0..ROUNDS_MAX {
            let living: Vec<u32> = others().filter(|id| has(*id, &self.0)).collect();
            for id in &living {
                // Somebody else may have got the number meanwhile.
                if let Some(pid) = Pid::from_raw(id.cast_signed()).filter(|_| has(*id, &self.0)) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            if living.is_empty() {
                return;
            }
        }
    }
}

/// The numbers of all processes but this one.
fn others() -> impl Iterator<Item = u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|id| *id != std::process::id())
}

/// Whether the environment of the process with this number has `text`. One that has ended has no environment.
fn has(id: u32, text: &str) -> bool {
    let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    environment.windows(text.len()).any(|window| window == text.as_bytes())
}

impl Default for Mark {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::{Mark, VARIABLE};

    #[test]
    fn what_went_off_on_its_own_is_found_and_killed_and_nothing_else() {
        let (mark, other) = (Mark::new(), Mark::new());
        let script = "setsid sh -c 'echo; exec sleep 300' & read -r _";
        let started = |mark: &Mark| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).env(VARIABLE, mark.variable());
            let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
            child
        };
        let (mut ours, mut others) = (started(&mark), started(&other));
        drop(ours.stdin.take());
        ours.wait().unwrap();
        let living = mark.processes();
        assert!(living.len() == 1 && living[0].line.contains("sleep 300"), "{living:?}");
        mark.kill();
        while !mark.processes().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(other.processes().len(), 2);
        other.kill();
        others.wait().unwrap();
    }
}
