//! A process of its own for each run: the program that is running, started again. Fresh processes agree where threads of one
//! do not (tokio's and fastrand's counters), and a process that hangs can be ended.

use std::io::{Read, Write};
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use shaketable_stack::plugin::Plugins;

use super::result::{Job, RunFailure, RunReport};
use crate::determinism::activate;

/// Set in a child's environment to the seed.
const SEED: &str = "SHAKETABLE_CHILD_SEED";

/// Does what a parent process of this program has asked for, if it has. To be called first in `main`, before anything asks
/// the system for randomness; a program that gets an exit code must end with it.
pub fn run_child_if_asked(plugins: &Plugins) -> Option<ExitCode> {
    let seed: u64 = std::env::var(SEED).ok()?.parse().ok()?;
    let guard = activate(seed);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run_job(plugins)))
        .unwrap_or_else(|_| Err(RunFailure::Harness("the run panicked; see above".to_owned())));
    drop(guard);
    let written = serde_json::to_vec(&outcome).map_err(std::io::Error::other).and_then(|bytes| {
        let mut output = std::io::stdout().lock();
        output.write_all(&bytes)?;
        output.flush()
    });
    Some(if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_job(plugins: &Plugins) -> Result<RunReport, RunFailure> {
    let mut input = Vec::new();
    std::io::stdin()
        .read_to_end(&mut input)
        .map_err(|error| RunFailure::Harness(format!("failed to read the job: {error}")))?;
    let job: Job = serde_json::from_slice(&input)
        .map_err(|error| RunFailure::Harness(format!("failed to read the job: {error}")))?;
    super::world::run(&job, plugins)
}

/// Runs `job` in a process of its own, which is ended after `timeout` of real time.
///
/// # Errors
/// What the run answers, or that its process broke or took too long.
pub fn run_in_process(job: &Job, timeout: Duration) -> Result<RunReport, RunFailure> {
    run_in_process_with(job, timeout, &[])
}

/// The same with more variables in the process's environment, for tests that show that they change nothing.
///
/// # Errors
/// As [`run_in_process`].
pub fn run_in_process_with(
    job: &Job,
    timeout: Duration,
    environment: &[(String, String)],
) -> Result<RunReport, RunFailure> {
    let broke = |what: &str, error: &dyn std::fmt::Display| RunFailure::Harness(format!("failed to {what}: {error}"));
    let program = std::env::current_exe().map_err(|error| broke("find this program", &error))?;
    let input = serde_json::to_vec(job).map_err(|error| broke("write the job", &error))?;
    let mut child = Command::new(program)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env(SEED, job.seed.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| broke("start the run's process", &error))?;
    let (output, errors) = converse(&mut child, &input, timeout)?;
    let status = child.wait().map_err(|error| broke("wait for the run's process", &error))?;
    let outcome: Result<RunReport, RunFailure> = serde_json::from_slice(&output).map_err(|_| {
        let last_words = String::from_utf8_lossy(&errors);
        RunFailure::Harness(format!("the run's process ended with {status} and no report: {}", last_words.trim()))
    })?;
    outcome.map_err(|failure| match failure {
        RunFailure::Harness(text) if !errors.is_empty() => {
            RunFailure::Harness(format!("{text}\n{}", String::from_utf8_lossy(&errors).trim()))
        }
        failure => failure,
    })
}

/// Writes the job and reads both streams to their ends, each on a thread of its own so that no pipe fills up.
fn converse(child: &mut Child, input: &[u8], timeout: Duration) -> Result<(Vec<u8>, Vec<u8>), RunFailure> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let (done, output) = mpsc::channel();
        scope.spawn(move || {
            // A child that has died does not read; its exit status tells.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        scope.spawn(move || {
            let mut bytes = Vec::new();
            let _ = stdout.map(|mut stdout| stdout.read_to_end(&mut bytes));
            let _ = done.send(bytes);
        });
        let errors = scope.spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.map(|mut stderr| stderr.read_to_end(&mut bytes));
            bytes
        });
        let output = output.recv_timeout(timeout);
        if output.is_err() {
            // Ends the readers too.
            let _ = child.kill();
        }
        let errors = errors.join().unwrap_or_default();
        match output {
            Ok(output) => Ok((output, errors)),
            Err(_) => {
                let _ = child.wait();
                Err(RunFailure::TimedOut(timeout))
            }
        }
    })
}
