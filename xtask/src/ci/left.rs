//! What the whole of a run of CI leaves behind: everything that it starts is marked and has one directory for temporary files,
//! and in the end there must be nothing of it, neither on this machine nor at the engine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use shaketable_reaper::guard::{Guard, Guarded, Post};
use shaketable_reaper::left::{Left, Scope, Watch};
use shaketable_reaper::mark::VARIABLE;

use crate::step::root;

/// How long all may take to be gone.
const WITHIN: Duration = Duration::from_secs(30);

/// The exit code where all went well but that something is left behind.
const LEFT_BEHIND: u8 = 5;

/// How long what was started may take to end when this program is killed or interrupted; then it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// The directory for temporary files of a run, and what looks for its remains.
#[derive(Debug)]
pub(super) struct Temporary {
    folder: PathBuf,
    /// Where logs of failed tests are kept, those of the last run.
    logs: PathBuf,
    watch: Watch,
    guard: Guard,
}

impl Temporary {
    /// Looks at what is there already.
    pub(super) fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("shaketable-ci-").tempdir()?.keep();
        let mut guard = Guard::new(Post { directory: Some(&folder), grace: GRACE, ..Post::default() })?;
        let watch = Watch::set(Scope::Machine, &folder)?;
        guard.guard(Guarded::Marked(watch.mark()))?;
        Ok(Self { folder, logs: root().join("target/ci-logs"), watch, guard })
    }

    /// What the environment has of everything that is started.
    pub(super) fn variables(&self) -> [(&'static str, String); 2] {
        [(VARIABLE, self.watch.mark().variable()), ("TMPDIR", self.folder.display().to_string())]
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The exit code of a run that came to `outcome`, which is another one when it left something behind.
    pub(super) fn close(self, outcome: Result<(), ExitCode>) -> ExitCode {
        self.close_within(WITHIN, outcome)
    }

    fn close_within(mut self, within: Duration, outcome: Result<(), ExitCode>) -> ExitCode {
        let left = match self.watch.gone(within) {
            Ok(Ok(logs) | Err(logs)) => logs,
            Err(error) => {
                eprintln!("xtask: cannot look for what is left behind: {error}");
                return outcome.err().unwrap_or(ExitCode::from(3));
            }
        };
        // Who fails keeps logs, also who then does well alone.
        let (logs, left): (Vec<Left>, Vec<Left>) = left.into_iter().partition(|left| matches!(left, Left::Log(_)));
        keep(&logs, &self.logs);
        let code = if left.is_empty() {
            eprintln!("xtask: left behind: no process, container, network, volume, temporary file or directory");
            outcome.err().unwrap_or(ExitCode::SUCCESS)
        } else {
            eprintln!(
                "xtask: left behind, {within:?} after the end (others who use this machine's engine may have made some):"
            );
            left.iter().for_each(|left| eprintln!("xtask:   {left}"));
            outcome.err().unwrap_or(ExitCode::from(LEFT_BEHIND))
        };
        // Processes that are left are ended, and the directory is removed; the rest is for whoever looks into it.
        self.watch.mark().kill();
        if let Err(error) = self.guard.guard(Guarded::Nothing) {
            eprintln!("xtask: {} stays: {error}", self.folder.display());
        }
        code
    }
}

/// Copies logs to where they stay until the next run.
fn keep(logs: &[Left], kept: &Path) {
    // It may not be there.
    let _ = fs::remove_dir_all(kept);
    for log in logs {
        let Left::Log(path) = log else { continue };
        let to = kept.join(path.file_name().unwrap_or_default());
        match fs::create_dir_all(kept).and_then(|()| fs::copy(path, &to)) {
            Ok(_) => eprintln!("xtask: {} is kept as {}", path.display(), to.display()),
            Err(error) => eprintln!("xtask: {} could not be kept: {error}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, ExitCode};
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use super::{LEFT_BEHIND, Temporary};

    /// Each looks at all of this machine, and finds the others' directories.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// What a run comes to that went so, and left `what` in its directory, or as a process; and the names of the logs that are
    /// kept.
    fn came_to(what: &str, outcome: Result<(), ExitCode>) -> (ExitCode, Vec<String>) {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = tempfile::tempdir().unwrap();
        let mut temporary = Temporary::new().unwrap();
        temporary.logs = kept.path().join("logs");
        let folder = temporary.folder().to_owned();
        let mut shell = Command::new("sh");
        shell.args(["-c", what]).envs(temporary.variables());
        assert!(shell.status().unwrap().success());
        let code = temporary.close_within(Duration::from_millis(200), outcome);
        assert!(!folder.exists());
        let names = fs::read_dir(kept.path().join("logs")).into_iter().flatten().flatten();
        (code, names.map(|name| name.file_name().to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn what_is_left_has_an_exit_code_of_its_own_where_all_else_went_well() {
        for what in ["mkdir \"$TMPDIR/a\"", "setsid sleep 300 > /dev/null 2>&1 &"] {
            assert_eq!(came_to(what, Ok(())), (ExitCode::from(LEFT_BEHIND), Vec::new()), "{what}");
            assert_eq!(came_to(what, Err(ExitCode::from(101))), (ExitCode::from(101), Vec::new()), "{what}");
        }
    }

    #[test]
    fn logs_of_what_has_failed_are_kept_also_where_it_did_well_in_the_end() {
        let what = "echo > \"$TMPDIR/shaketable-log-etcd-1.txt\"";
        let kept = vec!["shaketable-log-etcd-1.txt".to_owned()];
        assert_eq!(came_to(what, Ok(())), (ExitCode::SUCCESS, kept.clone()));
        assert_eq!(came_to(what, Err(ExitCode::FAILURE)), (ExitCode::FAILURE, kept));
    }
}
