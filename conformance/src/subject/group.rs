//! The processes of an adapter: a group of their own, which ends with this, and also when the harness itself is killed or
//! interrupted.
#![expect(clippy::disallowed_methods, reason = "a process lives in real time")]

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long an adapter may take to end by itself when its standard input closes.
const END_WITHIN: Duration = Duration::from_secs(1);

/// What the guard does, a shell in the adapter's group: the end of its standard input, whose other end the harness alone
/// holds, tells that there is no harness any more. Then it gives the adapter longer than [`END_WITHIN`], and kills the group,
/// itself included. A signal for the death of a parent would do less: it comes when a thread ends, and to no children of the
/// adapter.
const GUARD: &str = "read -r _; sleep 2; kill -KILL 0";

/// A running adapter, what it has started, and its guard.
#[derive(Debug)]
pub(super) struct Group {
    adapter: Child,
    /// An adapter ends when this closes.
    stdin: Option<ChildStdin>,
    /// While it is not waited for, nobody else gets the number of the group.
    guard: Child,
}

impl Group {
    /// Starts `line`. It begins once its guard is there: the shell waits for a word before it becomes the adapter.
    pub(super) fn start(line: &str) -> io::Result<Self> {
        let mut adapter = Command::new("sh")
            .args(["-c", &format!("read -r _ || exit\nexec {line}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let stdin = adapter.stdin.take();
        let guarded = Command::new("sh")
            .args(["-c", GUARD])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(adapter.id().cast_signed())
            .spawn();
        let guard = match guarded {
            Ok(guard) => guard,
            Err(error) => {
                drop(stdin);
                let _ = adapter.wait();
                return Err(error);
            }
        };
        let mut group = Self { adapter, stdin, guard };
        group.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(b"\n"))?;
        Ok(group)
    }

    /// What the adapter says, on its standard output and its standard error stream; once.
    pub(super) fn streams(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.adapter.stdout.take(), self.adapter.stderr.take())
    }

    /// How the adapter has ended, or ends `within`.
    pub(super) fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Ok(Some(status)) = self.adapter.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.ended(END_WITHIN);
        // What it has started may live on without it.
        if let Some(group) = Pid::from_raw(self.adapter.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.adapter.wait();
        let _ = self.guard.wait();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::Group;

    /// An adapter that ends for nothing but SIGKILL, as does what it has started; the ids of both are in `file`.
    pub(in crate::subject) fn stubborn(file: &Path, says: &str) -> String {
        let file = file.display();
        format!("sh -c 'trap \"\" INT TERM HUP; sleep 300 & echo $$ $! > {file}; {says}; while :; do sleep 300; done'")
    }

    /// Waits until `file` names processes and none of them lives any more.
    pub(in crate::subject) fn all_end(file: &Path) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let ids = std::fs::read_to_string(file).unwrap_or_default();
            let living: Vec<&str> = ids.split_whitespace().filter(|id| lives(id)).collect();
            if !ids.is_empty() && living.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "of '{}' these live on: {living:?}", ids.trim());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn lives(id: &str) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // A zombie waits for its new parent only.
        !status.is_empty() && !status.contains(") Z ")
    }

    fn started(line: &str) -> Group {
        let mut group = Group::start(line).unwrap();
        let (stdout, _) = group.streams();
        let mut said = [0; 1];
        stdout.unwrap().read_exact(&mut said).unwrap();
        group
    }

    #[test]
    fn what_an_adapter_has_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ids");
        drop(started(&stubborn(&file, "echo ready")));
        all_end(&file);
    }

    #[test]
    fn a_guard_that_hears_of_the_harness_no_more_ends_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ids");
        let mut group = started(&stubborn(&file, "echo ready"));
        drop(group.guard.stdin.take());
        all_end(&file);
    }

    #[test]
    fn an_adapter_sees_the_input_that_it_would_see_without_a_guard() {
        let mut group = Group::start("cat").unwrap();
        let (stdout, _) = group.streams();
        drop(group.stdin.take());
        let mut said = Vec::new();
        stdout.unwrap().read_to_end(&mut said).unwrap();
        assert_eq!(said, b"");
    }
}
