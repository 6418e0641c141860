//! Steps of a chore: a command that is shown, run, and timed.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use shaketable_reaper::mark::VARIABLE;

use crate::failures::Failures;

/// How long after the end of cargo the rest of what tests printed may take.
const REST_WITHIN: Duration = Duration::from_secs(10);

/// What each run has of its own, and nobody types.
const UNSHOWN: [&str; 2] = ["TMPDIR", VARIABLE];

/// Runs cargo at the root of the workspace with `words`, and with `environment` beside what is set.
///
/// # Errors
/// How it ended: its exit code, or 3 when it could not be started or a signal ended it.
pub(crate) fn cargo(words: &[&str], environment: &[(&str, &str)]) -> Result<(), ExitCode> {
    step(words, environment, &mut |command| command.status())
}

/// Runs tests with cargo as [`cargo`] does, and shows at the end once more what those said that failed: of a long log people,
/// and CI, see the end.
///
/// # Errors
/// As for [`cargo`].
pub(crate) fn cargo_test(words: &[&str], environment: &[(&str, &str)]) -> Result<(), ExitCode> {
    let failures = Arc::new(Mutex::new(Failures::default()));
    let result = step(words, environment, &mut |command| {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let (ended, end) = mpsc::channel();
        if let Some(printed) = child.stdout.take() {
            let failures = Arc::clone(&failures);
            std::thread::Builder::new().spawn(move || {
                // Nobody waits for the answer any more when there is none to give it to.
                let _ = ended.send(pass_on(printed, &failures));
            })?;
        }
        let status = child.wait()?;
        // A process that a test has left behind may keep the pipe open: nobody waits for that.
        match end.recv_timeout(REST_WITHIN) {
            Ok(passed_on) => passed_on.map(|()| status),
            Err(_) => Ok(status),
        }
    });
    if result.is_err() {
        eprint!("{}", failures.lock().unwrap_or_else(PoisonError::into_inner));
    }
    result
}

/// Shows what was printed, line by line, and keeps what failed.
fn pass_on(printed: ChildStdout, failures: &Mutex<Failures>) -> io::Result<()> {
    let mut shown = io::stdout();
    for line in BufReader::new(printed).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(shown, "{line}")?;
        failures.lock().unwrap_or_else(PoisonError::into_inner).take(line);
    }
    Ok(())
}

/// Shows a command, has it run, and says how it ended and how long it took.
fn step(
    words: &[&str],
    environment: &[(&str, &str)],
    run: &mut dyn FnMut(&mut Command) -> io::Result<ExitStatus>,
) -> Result<(), ExitCode> {
    let shown = environment.iter().filter(|(name, _)| !UNSHOWN.contains(name));
    let settings: String = shown.map(|(name, value)| format!("{name}={value} ")).collect();
    let shown = format!("{settings}cargo {}", words.join(" "));
    eprintln!("xtask: {shown}");
    let started = now();
    let status = run(command(words).envs(environment.iter().copied()));
    let took = started.elapsed();
    match status {
        Ok(status) if status.success() => {
            eprintln!("xtask: {shown}: ok after {}", seconds(took));
            Ok(())
        }
        Ok(status) => {
            eprintln!("xtask: {shown}: {status} after {}", seconds(took));
            Err(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(3)))
        }
        Err(error) => {
            eprintln!("xtask: cannot run cargo: {error}");
            Err(ExitCode::from(3))
        }
    }
}

/// Cargo with `words`, at the root of the workspace.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(root());
    command
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

fn seconds(span: Duration) -> String {
    format!("{:.1}s", span.as_secs_f64())
}

#[expect(clippy::disallowed_methods, reason = "how long a chore takes is real time")]
fn now() -> Instant {
    Instant::now()
}
