//! Steps of a chore: a command that is shown, run, and timed.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Runs cargo at the root of the workspace with `words`, and with `environment` beside what is set.
///
/// # Errors
/// How it ended: its exit code, or 3 when it could not be started or a signal ended it.
pub(crate) fn cargo(words: &[&str], environment: &[(&str, &str)]) -> Result<(), ExitCode> {
    let settings: String = environment.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    let shown = format!("{settings}cargo {}", words.join(" "));
    eprintln!("xtask: {shown}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let started = now();
    let status = Command::new(cargo).args(words).envs(environment.iter().copied()).current_dir(root()).status();
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
            eprintln!("xtask: cannot start cargo: {error}");
            Err(ExitCode::from(3))
        }
    }
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
