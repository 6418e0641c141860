//! A copy of this process for each job. It costs a tenth of starting the program again, and is as fresh: what is copied has
//! done nothing but wait for jobs.

use std::fs::File;
use std::io;

/// What the caller of [`copy`] is.
pub(super) enum Copied {
    /// The copy, or, where there are no copies, the only process that there is.
    Me,
    /// What was copied; the copy has ended so.
    Ended(String),
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) use with_fork::copy;

/// Where nothing makes runs deterministic, nothing has to be fast: a process serves one job.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn copy(_jobs: &File) -> io::Result<Copied> {
    Ok(Copied::Me)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod with_fork {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{
        Pid, PidfdFlags, Signal, WaitOptions, getppid, pidfd_open, set_parent_process_death_signal, waitpid,
    };

    use super::{Copied, File, io};

    /// Copies this process and waits until the copy has ended. Once nobody holds the other end of `jobs`, nobody waits for an
    /// answer: this process ends then, and the copy with it. A process with several threads is not copied, since a copy has
    /// but one of them; it does the job itself.
    ///
    /// # Errors
    /// When the system has no process left.
    pub(in crate::run) fn copy(jobs: &File) -> io::Result<Copied> {
        let original = rustix::process::getpid();
        let is_alone = std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
        // Before Linux 5.3, or within some sandboxes, nobody could wait for the copy.
        if !is_alone || pidfd_open(original, PidfdFlags::empty()).is_err() {
            return Ok(Copied::Me);
        }
        let Some(copy) = fork()? else {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // It may have ended before that.
            if getppid() != Some(original) {
                std::process::exit(1);
            }
            return Ok(Copied::Me);
        };
        let end = pidfd_open(copy, PidfdFlags::empty())?;
        let mut watched = [PollFd::new(&end, PollFlags::IN), PollFd::new(jobs, PollFlags::empty())];
        while !watched[0].revents().contains(PollFlags::IN) {
            match poll(&mut watched, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if watched[1].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
                std::process::exit(1);
            }
        }
        let status = waitpid(Some(copy), WaitOptions::empty())?.map(|(_, status)| status.as_raw()).unwrap_or_default();
        Ok(Copied::Ended(ExitStatus::from_raw(status).to_string()))
    }

    /// The process that is a copy of this one; within that, nothing.
    #[expect(unsafe_code, reason = "a process with one thread is copied")]
    fn fork() -> io::Result<Option<Pid>> {
        // SAFETY: there is no other thread that could hold a lock, or leave anything half done, in the copy.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            pid => Ok(Pid::from_raw(pid)),
        }
    }
}
