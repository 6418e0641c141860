//! The processes that count: this program, started again for one work, ended when it takes too long.
#![expect(clippy::disallowed_methods, reason = "a process lives in real time")]

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::counts::Counts;
use crate::meter::COUNT;

/// Longer than this no work takes, even where callgrind watches it on a machine that others keep busy.
const TIMEOUT: Duration = Duration::from_secs(180);

/// How often one looks whether it is over.
const POLL: Duration = Duration::from_millis(5);

/// What `work` comes to.
///
/// # Errors
/// What went wrong, with what the process said.
pub fn counted(work: &str) -> Result<Counts, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program has no path: {error}"))?;
    let text = run(Command::new(program).args([COUNT, work]), TIMEOUT)?;
    serde_json::from_str(text.trim()).map_err(|error| format!("{work} tells no counts but '{}': {error}", text.trim()))
}

/// What `command` prints, when it succeeds in time.
///
/// # Errors
/// How it ended, with what it said.
pub(crate) fn run(command: &mut Command, within: Duration) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no directory for its output: {error}"))?;
    let (printed, said) = (folder.path().join("stdout"), folder.path().join("stderr"));
    let create = |path: &Path| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
    let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let mut child = Owned(
        command
            .stdin(Stdio::null())
            .stdout(create(&printed)?)
            .stderr(create(&said)?)
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", command.get_program().to_string_lossy()))?,
    );
    let began = Instant::now();
    loop {
        match child.0.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(read(&printed)),
            Ok(Some(status)) => return Err(format!("{status}: {}", read(&said).trim())),
            Ok(None) if began.elapsed() < within => std::thread::sleep(POLL),
            Ok(None) => return Err(format!("it has not ended within {} s: {}", within.as_secs(), read(&said).trim())),
            Err(error) => return Err(format!("nobody can say whether it has ended: {error}")),
        }
    }
}

/// A process that ends with whoever has it.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::run;

    #[test]
    fn a_process_tells_what_it_prints_or_how_it_failed() {
        let shell = |script: &str| run(Command::new("sh").args(["-c", script]), Duration::from_secs(20));
        assert_eq!(shell("echo 7"), Ok("7\n".to_owned()));
        assert_eq!(shell("echo why >&2; exit 3"), Err("exit status: 3: why".to_owned()));
        assert!(
            run(&mut Command::new("/nowhere"), Duration::from_secs(20))
                .unwrap_err()
                .starts_with("/nowhere cannot be started")
        );
    }

    #[test]
    fn a_process_that_hangs_is_ended() {
        let error = run(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error, "it has not ended within 0 s: ");
    }
}
