//! The ways in which something that runs comes to its end, and what must hold after each.

use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use shaketable_reaper::directory::Directory;
use shaketable_reaper::guard::{Guard, Guarded, Post};
use shaketable_reaper::left::{Left, Scope, Watch};
use shaketable_reaper::mark::VARIABLE;

use super::WITHIN;
use super::common::Outcome;

/// How long something may take until it is in the middle of its work, or at its end.
const WORKS_WITHIN: Duration = Duration::from_secs(120);

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Passes,
    Fails,
    /// In the middle, as Ctrl-C does it in a terminal: the whole group hears of it.
    Interrupted,
    /// In the middle, it alone, by kill -9.
    Killed,
}

pub(crate) const WAYS: [(&str, Way); 4] =
    [("passes", Way::Passes), ("fails", Way::Fails), ("interrupted", Way::Interrupted), ("killed", Way::Killed)];

/// What is run.
#[derive(Clone)]
pub(crate) struct Row {
    /// The program with its words, for each way. Files that it needs may be written to the folder.
    pub(crate) words: fn(Way, &Path) -> io::Result<Vec<String>>,
    /// Variables of its environment.
    pub(crate) environment: fn(Way) -> Vec<(&'static str, String)>,
    /// Whether it is in the middle of its work, by what is there and what it has said.
    pub(crate) works: fn(&[Left], &str) -> bool,
    /// It goes on until it is told to end (SIGTERM), also where it is to pass.
    pub(crate) is_endless: bool,
    /// What it says when it passes, among other things.
    pub(crate) says: &'static str,
    /// How it ends by itself, when it passes and when it fails.
    pub(crate) codes: [i32; 2],
}

impl Row {
    /// Runs it to its end, this way.
    pub(crate) fn judge(&self, way: Way) -> Outcome {
        let (inputs, temporary) = (Directory::new("row")?, Directory::new("row-tmp")?);
        let watch = Watch::set(Scope::Marked, temporary.path())?;
        let output = inputs.path().join("output");
        // Somebody may kill this test, too.
        let mut guard = Guard::new(Post::default())?;
        guard.guard(Guarded::Marked(watch.mark()))?;
        let child = self.start(way, &watch, inputs.path(), temporary.path())?;
        let running = Running { child, watch, output, _guard: guard };
        self.end(way, running)
    }

    fn start(&self, way: Way, watch: &Watch, inputs: &Path, temporary: &Path) -> io::Result<Child> {
        let output = File::create(inputs.join("output"))?;
        // Who starts tests in the background may have had them ignore an interrupt.
        Command::new("env")
            .arg("--default-signal=INT")
            .args((self.words)(way, inputs)?)
            .envs((self.environment)(way))
            .env(VARIABLE, watch.mark().variable())
            .env("TMPDIR", temporary)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
    }

    fn end(&self, way: Way, mut running: Running) -> Outcome {
        let is_cut_short = matches!(way, Way::Interrupted | Way::Killed);
        if is_cut_short || self.is_endless && way == Way::Passes {
            running.until("it is in the middle of its work", WORKS_WITHIN, |running| {
                Ok((self.works)(&running.watch.look()?, &running.said()))
            })?;
            let pid = Pid::from_raw(running.child.id().cast_signed()).ok_or("it has a number")?;
            match way {
                Way::Interrupted => kill_process_group(pid, Signal::INT)?,
                Way::Killed => kill_process(pid, Signal::KILL)?,
                Way::Passes | Way::Fails => kill_process(pid, Signal::TERM)?,
            }
        }
        let within = if is_cut_short { WITHIN } else { WORKS_WITHIN };
        let status = running.ends(within)?;
        let wanted = match way {
            Way::Passes => status.code() == Some(self.codes[0]),
            Way::Fails => status.code() == Some(self.codes[1]),
            // Who listens for it may end in order.
            Way::Interrupted => status.signal() == Some(Signal::INT.as_raw()) || status.code() == Some(0),
            Way::Killed => status.signal() == Some(Signal::KILL.as_raw()),
        };
        if !wanted || way == Way::Passes && !running.said().contains(self.says) {
            return Err(format!("it ended with {status}:\n{}", running.said()).into());
        }
        match running.watch.gone(WITHIN)? {
            Err(left) => Err(format!("left behind after {WITHIN:?}: {}\n{}", listed(&left), running.said()).into()),
            Ok(logs) => running.named(way, &logs),
        }
    }
}

/// Something that runs, and what it says. What it leaves behind is ended with this.
struct Running {
    child: Child,
    watch: Watch,
    output: PathBuf,
    _guard: Guard,
}

impl Running {
    fn said(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Waits until something is so, while it runs.
    fn until(&mut self, what: &str, within: Duration, mut is_so: impl FnMut(&mut Self) -> io::Result<bool>) -> Outcome {
        let deadline = Instant::now() + within;
        while !is_so(self)? {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended ({status}) before {what}:\n{}", self.said()).into());
            }
            if Instant::now() >= deadline {
                let there = listed(&self.watch.look()?);
                return Err(format!("{within:?} were too short until {what}: {there}\n{}", self.said()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn ends(&mut self, within: Duration) -> Result<ExitStatus, libtest_mimic::Failed> {
        let deadline = Instant::now() + within;
        loop {
            // What lies in memory is known by who works there.
            self.watch.look()?;
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(format!("it does not end within {within:?}:\n{}", self.said()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Logs are kept when it fails, and then it says where.
    fn named(&self, way: Way, logs: &[Left]) -> Outcome {
        let said = self.said();
        let unnamed = |left: &&Left| match left {
            Left::Log(path) => way != Way::Fails || !said.contains(&path.display().to_string()),
            _ => true,
        };
        let unnamed: Vec<Left> = logs.iter().filter(unnamed).cloned().collect();
        if unnamed.is_empty() {
            Ok(())
        } else {
            Err(format!("nobody says why there is {}\n{said}", listed(&unnamed)).into())
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Guards do what they can first.
        let _ = self.watch.gone(WITHIN);
        self.watch.mark().kill();
    }
}

pub(crate) fn listed(left: &[Left]) -> String {
    left.iter().fold(String::new(), |mut text, left| {
        // Writing to a text does not fail.
        let _ = write!(text, "\n  {left}");
        text
    })
}
