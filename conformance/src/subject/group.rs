//! The processes of an adapter: they end with this, and also when the harness itself is killed or interrupted.
#![expect(clippy::disallowed_methods, reason = "a process lives in real time")]

use std::io;
use std::process::{ChildStderr, ChildStdout, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use shaketable_reaper::group::{self, shell};

/// How long an adapter may take to end by itself when its standard input closes.
const END_WITHIN: Duration = Duration::from_secs(1);

/// The same where nobody closes it but the end of the harness.
const GRACE: Duration = Duration::from_secs(2);

/// A running adapter, and what it has started.
#[derive(Debug)]
pub(super) struct Group(group::Group);

impl Group {
    /// Starts `line`.
    pub(super) fn start(line: &str) -> io::Result<Self> {
        let mut command = shell(&format!("exec {line}"), [""; 0]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        group::Group::start(command, None, GRACE).map(Self)
    }

    /// What the adapter says, on its standard output and its standard error stream; once.
    pub(super) fn streams(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        self.0.streams()
    }

    /// How the adapter has ended, or ends `within`.
    pub(super) fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Ok(Some(status)) = self.0.exited() {
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
        self.0.close_input();
        // What does not end by itself is killed then, with what it has started.
        self.ended(END_WITHIN);
    }
}
