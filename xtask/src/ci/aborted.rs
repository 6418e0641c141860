//! A bench that is ended in the middle of its work, by an interrupt and by kill -9, leaves nothing behind. It is the one that
//! has servers. Tests cannot show this, since they build no bench.
#![expect(clippy::disallowed_methods, reason = "processes live in real time")]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use shaketable_reaper::left::{Left, Scope, Watch};
use shaketable_reaper::mark::VARIABLE;

use crate::step::command;

/// What is run. The bench was built before.
const WORDS: [&str; 4] = ["test", "--workspace", "--bench", "registry"];

/// What the bench's process has in its line, unlike cargo.
const PROGRAM: &str = "/deps/registry-";

/// How long the bench may take to have its server, and to end.
const WORKS_WITHIN: Duration = Duration::from_secs(120);

/// How long all may take to be gone.
const WITHIN: Duration = Duration::from_secs(30);

/// Ends the bench each way; `folder` is for temporary files.
pub(super) fn run(folder: &Path) -> Result<(), ExitCode> {
    for (way, signal) in [("interrupted", Signal::INT), ("killed", Signal::KILL)] {
        match Aborted::start(folder).and_then(|mut aborted| aborted.end(signal)) {
            Ok(()) => eprintln!("xtask: the bench of registries, {way} in the middle, leaves nothing behind"),
            Err(why) => {
                eprintln!("xtask: the bench of registries, {way} in the middle: {why}");
                return Err(ExitCode::FAILURE);
            }
        }
    }
    Ok(())
}

/// A bench at work. It ends with this.
#[derive(Debug)]
struct Aborted {
    cargo: Child,
    watch: Watch,
    temporary: PathBuf,
    output: PathBuf,
}

impl Aborted {
    fn start(folder: &Path) -> io::Result<Self> {
        let (temporary, output) = (folder.join("aborted"), folder.join("aborted-output"));
        fs::create_dir(&temporary)?;
        let watch = Watch::set(Scope::Marked, &temporary)?;
        let said = File::create(&output)?;
        let mut cargo = heedful(&command(&WORDS));
        cargo.env(VARIABLE, watch.mark().variable()).env("TMPDIR", &temporary);
        let cargo = cargo.stdout(said.try_clone()?).stderr(said).spawn()?;
        Ok(Self { cargo, watch, temporary, output })
    }

    fn end(&mut self, signal: Signal) -> io::Result<()> {
        let deadline = Instant::now() + WORKS_WITHIN;
        let mut is_ended = false;
        let status = loop {
            let there = self.watch.look()?;
            if let Some(status) = self.cargo.try_wait()? {
                break status;
            }
            let bench = there.iter().find_map(|left| match left {
                Left::Process(process) if process.line.contains(PROGRAM) => Pid::from_raw(process.id.cast_signed()),
                _ => None,
            });
            if let Some(bench) = bench.filter(|_| !is_ended && there.iter().any(is_server)) {
                kill_process(bench, signal)?;
                is_ended = true;
            }
            if Instant::now() >= deadline {
                return Err(self.told(&format!("it was not ended within {WORKS_WITHIN:?}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        if !is_ended {
            return Err(self.told(&format!("it had no server that was seen, and ended with {status}")));
        }
        if status.success() {
            return Err(self.told("it went on to its end, as if nothing had happened"));
        }
        match self.watch.gone(WITHIN)? {
            Ok(logs) if logs.is_empty() => Ok(()),
            Ok(left) | Err(left) => {
                let left: Vec<String> = left.iter().map(ToString::to_string).collect();
                Err(self.told(&format!("it has left behind: {}", left.join(", "))))
            }
        }
    }

    fn told(&self, why: &str) -> io::Error {
        io::Error::other(format!("{why}\n{}", fs::read_to_string(&self.output).unwrap_or_default()))
    }
}

impl Drop for Aborted {
    fn drop(&mut self) {
        // Guards do what they can first.
        let _ = self.cargo.kill();
        let _ = self.cargo.wait();
        self.watch.mark().kill();
        let _ = self.watch.gone(WITHIN);
        let _ = fs::remove_dir_all(&self.temporary);
        let _ = fs::remove_file(&self.output);
    }
}

/// `command`, with the signals that it gets as they are by default: a shell has what it starts in the background ignore an
/// interrupt, and what that starts in its turn does so, too.
fn heedful(command: &Command) -> Command {
    let mut heedful = Command::new("env");
    heedful.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        heedful.current_dir(folder);
    }
    heedful
}

/// A container, or an etcd that is no longer the shell that waits to be guarded.
fn is_server(left: &Left) -> bool {
    match left {
        Left::Container(_) => true,
        Left::Process(process) => process.line.contains("--data-dir=") && !process.line.contains("read -r _ || exit"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[ignore = "it builds a bench; `cargo xtask ci` does the same"]
    fn a_bench_that_is_aborted_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(super::run(folder.path()), Ok(()));
    }
}
