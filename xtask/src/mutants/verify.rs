//! `shaketable verify` of the program with mutants: asked, and its report read. It knows the command line and the report's
//! JSON.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;

/// A check that takes longer hangs; the slowest takes half a second of one processor.
const CHECK_SECONDS_MAX: &str = "20s";

/// The whole suite that takes longer hangs, outside of its checks.
const SUITE_WITHIN: Duration = Duration::from_secs(600);

/// Kilobytes of address space that a process may take: a mutant may well ask for all that there is.
const ADDRESS_SPACE_MAX: &str = "8388608";

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Verify {
    pub(super) interface: String,
    pub(super) plugin: String,
    /// By which requirements; by all where there are none.
    pub(super) only: Vec<String>,
    pub(super) places: Places,
    /// Which mutant is switched on.
    pub(super) mutant: Option<usize>,
    /// Where to write down which ones are passed.
    pub(super) reached: Option<PathBuf>,
}

/// With which seeds, in which weathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Places {
    /// Seed 0 in calm weather.
    First,
    /// Three seeds, in each weather.
    All,
}

/// What `verify` says, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
}

/// What came of one requirement.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) checks: u64,
    pub(super) failures: Vec<Failure>,
}

/// A check that found something.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) seed: Option<u64>,
    pub(super) weather: Option<String>,
    pub(super) observed: String,
}

impl Row {
    /// It is not upheld. A MAY counts, too: the reference upholds all of them. What was not checked to the end does not.
    pub(super) fn is_bad(&self) -> bool {
        matches!(self.status.as_str(), "fail" | "error" | "noted")
    }
}

impl Verify {
    /// All requirements in the first place.
    pub(super) fn whole(interface: &str, plugin: &str) -> Self {
        Self {
            interface: interface.to_owned(),
            plugin: plugin.to_owned(),
            only: Vec::new(),
            places: Places::First,
            mutant: None,
            reached: None,
        }
    }
}

/// The report; none when it takes too long.
///
/// # Errors
/// When there is no report, with what was said instead.
pub(super) fn verify(program: &Path, asked: &Verify) -> Result<Option<Report>, String> {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v \"$0\" && exec \"$@\"", ADDRESS_SPACE_MAX]).arg(program);
    command.args(["verify", &asked.interface, "--plugin", &asked.plugin, "--strict", "--fail-fast", "--jobs", "1"]);
    command.args(["--format", "json", "--check-timeout", CHECK_SECONDS_MAX]);
    match asked.places {
        Places::First => command.args(["--seed", "0", "--weather", "calm"]),
        Places::All => command.args(["--seeds", "3"]),
    };
    if !asked.only.is_empty() {
        command.args(["--only", &asked.only.join(",")]);
    }
    if let Some(mutant) = asked.mutant {
        command.env("SHAKETABLE_MUTANT", mutant.to_string());
    }
    if let Some(folder) = &asked.reached {
        command.env("SHAKETABLE_MUTANTS_REACHED", folder);
    }
    // Its checks are processes of their own; a group can be ended as a whole.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let group = child.id();
    let (sender, output) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.send(Child::wait_with_output(child)));
        let output = match output.recv_timeout(SUITE_WITHIN) {
            Ok(output) => output.map_err(|error| format!("cannot read what verify says: {error}"))?,
            Err(_) => {
                let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
                return Ok(None);
            }
        };
        serde_json::from_slice(&output.stdout).map(Some).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            format!("verify ended with {} and no report: {said}", output.status)
        })
    })
}
