//! A process of its own for each run: the program that is running, started again. Fresh processes agree where threads of one
//! do not (tokio's and fastrand's counters), and a process that hangs can be ended.

use std::io::{Read, Write};
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shaketable_stack::plugin::Plugins;

use super::result::{Job, RunFailure, RunReport};
use crate::determinism::activate;

/// What a process may be started again for, by the variable that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// One run of a scenario.
    Run,
    /// One check of a plugin.
    Check,
}

impl Purpose {
    /// Set in a child's environment: to the seed of a simulation, or to `live` where nothing is simulated.
    fn variable(self) -> &'static str {
        match self {
            Self::Run => "SHAKETABLE_CHILD_SEED",
            Self::Check => "SHAKETABLE_CHILD_CHECK",
        }
    }
}

/// Does what a parent process of this program has asked for, if it has. To be called first in `main`, before anything asks
/// the system for randomness; a program that gets an exit code must end with it.
pub fn run_child_if_asked(plugins: &Plugins) -> Option<ExitCode> {
    serve_child(Purpose::Run, |input| {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let job: Job = serde_json::from_slice(input)
                .map_err(|error| RunFailure::Harness(format!("failed to read the job: {error}")))?;
            super::world::run(&job, plugins)
        }));
        outcome.unwrap_or_else(|_| Err(RunFailure::Harness("the run panicked; see above".to_owned())))
    })
}

/// Does `work` with what a parent has written, if one has asked for it, and gives it the answer. Within a simulation the
/// interposition is active.
pub fn serve_child<T: Serialize>(purpose: Purpose, work: impl FnOnce(&[u8]) -> T) -> Option<ExitCode> {
    let asked = std::env::var(purpose.variable()).ok()?;
    let guard = asked.parse().ok().map(activate);
    let mut input = Vec::new();
    let read = std::io::stdin().read_to_end(&mut input);
    let outcome = read.map(|_| work(&input));
    drop(guard);
    let written = outcome.and_then(|outcome| {
        let bytes = serde_json::to_vec(&outcome).map_err(std::io::Error::other)?;
        let mut output = std::io::stdout().lock();
        output.write_all(&bytes)?;
        output.flush()
    });
    Some(if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
    let (outcome, errors) =
        ask_child::<Result<RunReport, RunFailure>>(Purpose::Run, Some(job.seed), job, timeout, environment)?;
    outcome.map_err(|failure| match failure {
        RunFailure::Harness(text) if !errors.is_empty() => RunFailure::Harness(format!("{text}\n{errors}")),
        failure => failure,
    })
}

/// Starts this program again for `purpose`, gives it `job` and waits for its answer, at most for `timeout` of real time.
/// `seed` decides a simulation; without one nothing is simulated. Beside the answer comes what the process said on its
/// standard error stream.
///
/// # Errors
/// That the process broke or took too long.
pub fn ask_child<T: DeserializeOwned>(
    purpose: Purpose,
    seed: Option<u64>,
    job: &impl Serialize,
    timeout: Duration,
    environment: &[(String, String)],
) -> Result<(T, String), RunFailure> {
    let broke = |what: &str, error: &dyn std::fmt::Display| RunFailure::Harness(format!("failed to {what}: {error}"));
    let program = std::env::current_exe().map_err(|error| broke("find this program", &error))?;
    let input = serde_json::to_vec(job).map_err(|error| broke("write the job", &error))?;
    let mut child = Command::new(program)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env(purpose.variable(), seed.map_or_else(|| "live".to_owned(), |seed| seed.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| broke("start the run's process", &error))?;
    let (output, errors) = converse(&mut child, &input, timeout)?;
    let status = child.wait().map_err(|error| broke("wait for the run's process", &error))?;
    let errors = String::from_utf8_lossy(&errors).trim().to_owned();
    let answer = serde_json::from_slice(&output)
        .map_err(|_| RunFailure::Harness(format!("the run's process ended with {status} and no report: {errors}")))?;
    Ok((answer, errors))
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
