//! A process and what it has started, as one: they end with this, and also when this process is killed or interrupted.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::guard::{Guard, Guarded, Post};
use crate::mark::{Mark, VARIABLE};

/// A process in a group of its own, and its guard, which also looks after what has left the group.
#[derive(Debug)]
pub struct Group {
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it has started has been ended, and its number may be somebody else's.
    has_ended: bool,
    mark: Mark,
    guard: Guard,
}

/// A shell that waits for a word before it becomes what `script` says, so that nothing runs that is not guarded yet. `script`
/// is given `arguments` as its own.
pub fn shell(script: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("read -r _ || exit\n{script}"), "server"]).args(arguments);
    command
}

impl Group {
    /// Starts a [`shell`]. When this process dies, `directory` is removed, too, and all may end by themselves within `grace`,
    /// which is cut to whole seconds: what they read from has ended then.
    ///
    /// # Errors
    /// What the operating system says about it.
    pub fn start(shell: Command, directory: Option<&Path>, grace: Duration) -> io::Result<Self> {
        let (mark, mut guard) = (Mark::new(), Guard::new(Post { directory, socket: None, grace })?);
        let (child, stdin) = spawn(shell, &mark, &mut guard)?;
        Ok(Self { child, stdin, has_ended: false, mark, guard })
    }

    /// Starts one again, once the one before has ended.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_again(&mut self, shell: Command) -> io::Result<()> {
        self.kill()?;
        (self.child, self.stdin) = spawn(shell, &self.mark, &mut self.guard)?;
        self.has_ended = false;
        Ok(())
    }

    /// The number of the process, which is also that of its group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it says, on its standard output and its standard error stream; once.
    pub fn streams(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// Ends what it reads from.
    pub fn close_input(&mut self) {
        drop(self.stdin.take());
    }

    /// How it has ended, if it has. What it has left behind ends then.
    ///
    /// # Errors
    /// What the operating system says about it.
    pub fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        if !self.has_ended && self.is_over()? {
            // Its number is still its own: what it has left behind ends with it.
            let _ = self.signal(Signal::KILL);
            self.all_ended()?;
        }
        self.child.try_wait()
    }

    /// Sends `signal` to it and to what it has started, but for what has left the group.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it has ended; otherwise what the operating system says about it.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        // The number of a process that was waited for may be somebody else's.
        let group = (!self.has_ended).then(|| Pid::from_raw(self.child.id().cast_signed())).flatten();
        Ok(kill_process_group(group.ok_or(io::ErrorKind::NotFound)?, signal)?)
    }

    /// Ends it and all that it has started.
    ///
    /// # Errors
    /// What the operating system says about it.
    pub fn kill(&mut self) -> io::Result<()> {
        if self.exited()?.is_some() {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        self.all_ended()?;
        self.child.wait().map(|_| ())
    }

    /// Its group was killed: what has left that follows, and nothing is to be guarded any more.
    fn all_ended(&mut self) -> io::Result<()> {
        self.mark.kill();
        self.has_ended = true;
        self.guard.guard(Guarded::Nothing)
    }

    /// Whether it has ended, without waiting for it.
    fn is_over(&self) -> io::Result<bool> {
        let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) else { return Ok(true) };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(pid), options)?.is_some())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody left to tell about anything else.
        let _ = self.kill();
    }
}

/// The process, told to begin once it is guarded, and what it reads from.
fn spawn(mut shell: Command, mark: &Mark, guard: &mut Guard) -> io::Result<(Child, Option<ChildStdin>)> {
    let mut child = shell.env(VARIABLE, mark.variable()).stdin(Stdio::piped()).process_group(0).spawn()?;
    let mut stdin = child.stdin.take();
    let begun = guard
        .guard(Guarded::Group(child.id(), mark))
        .and_then(|()| stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(b"\n")));
    if let Err(error) = begun {
        // It ends when nobody says a word.
        drop(stdin);
        let _ = child.wait();
        return Err(error);
    }
    Ok((child, stdin))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "processes live in real time")]
mod tests {
    use std::io::Read;
    use std::path::Path;
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    use super::{Group, shell};
    use crate::guard::{Guard, Post};

    /// Ends for nothing but SIGKILL, as does what it has started, in its group and in a session of its own.
    const STUBBORN: &str = "trap '' INT TERM HUP\nsleep 300 & a=$!\nsetsid sh -c 'echo $$ > out; exec sleep 300' &\n\
                            until [ -s out ]; do sleep 0.01; done\necho $$ $a $(cat out) > ids; echo\n\
                            while :; do sleep 300; done";

    fn started(folder: &Path) -> Group {
        let mut shell = shell(STUBBORN, [""; 0]);
        shell.current_dir(folder).stdout(Stdio::piped());
        let mut group = Group::start(shell, None, Duration::ZERO).unwrap();
        group.streams().0.unwrap().read_exact(&mut [0]).unwrap();
        group
    }

    /// Waits until none of the processes lives any more that are named in `folder`.
    fn all_end(folder: &Path) {
        let lives = |id: &&str| {
            let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            // A zombie waits for its new parent only.
            !status.is_empty() && !status.contains(") Z ")
        };
        let ids = std::fs::read_to_string(folder.join("ids")).unwrap();
        assert_eq!(ids.split_whitespace().count(), 3);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let living: Vec<&str> = ids.split_whitespace().filter(lives).collect();
            if living.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "of '{}' these live on: {living:?}", ids.trim());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn what_was_started_ends_with_it_in_a_session_of_its_own_too() {
        let folder = tempfile::tempdir().unwrap();
        drop(started(folder.path()));
        all_end(folder.path());
    }

    #[test]
    fn what_has_ended_by_itself_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = shell(
            "setsid sh -c 'echo $$ > out; exec sleep 300' &\nuntil [ -s out ]; do sleep 0.01; done\n\
                               echo $$ $$ $(cat out) > ids; exit 3",
            [""; 0],
        );
        shell.current_dir(folder.path());
        let mut group = Group::start(shell, None, Duration::ZERO).unwrap();
        let status = loop {
            if let Some(status) = group.exited().unwrap() {
                break status;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(3));
        all_end(folder.path());
    }

    #[test]
    fn a_guard_that_hears_of_nobody_any_more_ends_all() {
        let folder = tempfile::tempdir().unwrap();
        let mut group = started(folder.path());
        drop(std::mem::replace(&mut group.guard, Guard::new(Post::default()).unwrap()));
        all_end(folder.path());
    }

    #[test]
    fn a_process_reads_what_it_would_read_without_a_guard() {
        let mut shell = shell("exec cat", [""; 0]);
        shell.stdout(Stdio::piped());
        let mut group = Group::start(shell, None, Duration::ZERO).unwrap();
        group.close_input();
        let mut said = Vec::new();
        group.streams().0.unwrap().read_to_end(&mut said).unwrap();
        assert_eq!(said, b"");
    }
}
