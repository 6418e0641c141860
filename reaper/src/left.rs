//! What a run has left behind: a watch is set before it, and looks then and later at processes, at the engine, and at places
//! for temporary files. It knows nothing of what runs, but that its logs are meant to stay when it fails.
#![expect(clippy::disallowed_methods, reason = "what goes away does so in real time")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::engine::ask;
use crate::mark::{Mark, Marked};

/// Marks containers with the marks of the process that has started them; see [`Mark::variable`].
pub const LABEL: &str = "shaketable.mark";

/// How the names begin of all that is temporary.
pub const PREFIX: &str = "shaketable-";

/// How the names begin of logs, which whoever fails keeps.
pub const LOG_PREFIX: &str = "shaketable-log-";

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";

/// Of the line of a process so many characters are shown.
const SHOWN_MAX: usize = 120;

/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(50);

/// Something that is left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// A living process.
    Process(Marked),
    /// A container, by its name.
    Container(String),
    /// A network of the engine, by its name.
    Network(String),
    /// A volume of the engine, by its name.
    Volume(String),
    /// A temporary file or directory.
    File(PathBuf),
    /// What a server has said whose test has failed.
    Log(PathBuf),
}

impl fmt::Display for Left {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(Marked { id, line }) => {
                // A script is an argument, too.
                let words: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
                let shown: String = words.chars().take(SHOWN_MAX).collect();
                write!(formatter, "process {id} ({shown}{})", if shown == words { "" } else { "…" })
            }
            Self::Container(name) => write!(formatter, "container {name}"),
            Self::Network(name) => write!(formatter, "network {name}"),
            Self::Volume(name) => write!(formatter, "volume {name}"),
            Self::File(path) if path.is_dir() => write!(formatter, "directory {}", path.display()),
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Log(path) => write!(formatter, "log {}", path.display()),
        }
    }
}

/// Whose things are looked for. Processes are always those that have the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Of the engine and of the memory, what belongs to processes and containers that have the mark, as far as they were
    /// looked at while they were there: others may use this machine meanwhile.
    Marked,
    /// Everything of the engine, and everything with our prefix in the places for temporary files, that was not there before.
    Machine,
}

/// Looks for what is left behind by all that has its mark.
#[derive(Debug)]
pub struct Watch {
    mark: Mark,
    scope: Scope,
    /// Everything in it counts.
    folder: PathBuf,
    /// What was there before.
    before: Things,
    /// What belongs to processes and containers that were seen.
    seen: BTreeSet<Left>,
}

/// What is there, each with the labels that it has.
type Things = BTreeMap<Left, String>;

impl Watch {
    /// Looks at what is there already. `folder` is the directory for temporary files of all that will have the mark.
    ///
    /// # Errors
    /// When there is an engine and it does not answer, or when a directory cannot be read.
    pub fn set(scope: Scope, folder: &Path) -> io::Result<Self> {
        let (mark, folder) = (Mark::new(), folder.to_owned());
        let mut watch = Self { mark, scope, folder, before: Things::new(), seen: BTreeSet::new() };
        watch.before = watch.things()?;
        Ok(watch)
    }

    /// What everything has that is watched.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// What is there now that was not there before.
    ///
    /// # Errors
    /// As for [`set`](Self::set).
    pub fn look(&mut self) -> io::Result<Vec<Left>> {
        let processes = self.mark.processes();
        for process in &processes {
            // What somebody works in who is ours is ours, and lies in memory or in the folder.
            let works_in = fs::read_link(format!("/proc/{}/cwd", process.id)).unwrap_or_default();
            if let Ok(rest) = works_in.strip_prefix(MEMORY)
                && let Some(first) = rest.components().next()
            {
                self.seen.insert(Left::File(Path::new(MEMORY).join(first)));
            }
        }
        let things = self.things()?;
        let is_ours = |(left, labels): &(Left, String)| match left {
            _ if self.before.contains_key(left) => false,
            Left::File(path) | Left::Log(path) if path.starts_with(&self.folder) => true,
            _ => self.scope == Scope::Machine || self.mark.is_in(labels) || self.seen.contains(left),
        };
        let things = things.into_iter().filter(is_ours).map(|(left, _)| left);
        Ok(processes.into_iter().map(Left::Process).chain(things).collect())
    }

    /// Looks until nothing is left but logs, and gives them; otherwise what is left after `within`. Who is about to run another
    /// program has no environment for a moment, and no mark, so that nothing is gone that was missed only once.
    ///
    /// # Errors
    /// As for [`set`](Self::set).
    pub fn gone(&mut self, within: Duration) -> io::Result<Result<Vec<Left>, Vec<Left>>> {
        let deadline = Instant::now() + within;
        let mut was_gone = false;
        loop {
            let left = self.look()?;
            let is_gone = left.iter().all(|left| matches!(left, Left::Log(_)));
            if is_gone && was_gone {
                return Ok(Ok(left));
            }
            if !is_gone && Instant::now() >= deadline {
                return Ok(Err(left));
            }
            was_gone = is_gone;
            std::thread::sleep(INTERVAL);
        }
    }

    /// All files and all that the engine has. What belongs to our containers is taken note of.
    fn things(&mut self) -> io::Result<Things> {
        let mut things = Things::new();
        let memory = Path::new(MEMORY);
        let elsewhere: Vec<PathBuf> = match self.scope {
            Scope::Marked => vec![memory.to_owned()],
            Scope::Machine => vec![memory.to_owned(), self.folder.parent().unwrap_or(&self.folder).to_owned()],
        };
        let files = entries(&self.folder)?.into_iter();
        let others = elsewhere.iter().filter(|folder| folder.is_dir()).map(|folder| entries(folder));
        let others = others.collect::<io::Result<Vec<_>>>()?.into_iter().flatten();
        let others = others.filter(|path| name(path).starts_with(PREFIX) && *path != self.folder);
        for path in files.chain(others) {
            let is_log = name(&path).starts_with(LOG_PREFIX) && path.is_file();
            things.insert(if is_log { Left::Log(path) } else { Left::File(path) }, String::new());
        }
        for container in listed("/containers/json?all=1", "")? {
            let labels = container["Labels"][LABEL].as_str().unwrap_or_default().to_owned();
            if self.mark.is_in(&labels) {
                let mounts =
                    container["Mounts"].as_array().into_iter().flatten().filter_map(|mount| mount["Name"].as_str());
                self.seen.extend(mounts.map(|name| Left::Volume(name.to_owned())));
                let networks = container["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
                self.seen.extend(networks.map(|(name, _)| Left::Network(name.clone())));
            }
            let name = container["Names"][0].as_str().or(container["Id"].as_str()).unwrap_or_default();
            things.insert(Left::Container(name.trim_start_matches('/').to_owned()), labels);
        }
        for (path, field, left) in
            [("/networks", "", Left::Network as fn(String) -> Left), ("/volumes", "Volumes", Left::Volume)]
        {
            for thing in listed(path, field)? {
                let labels = thing["Labels"][LABEL].as_str().unwrap_or_default().to_owned();
                things.insert(left(thing["Name"].as_str().unwrap_or_default().to_owned()), labels);
            }
        }
        Ok(things)
    }
}

/// What the engine lists, if there is one.
fn listed(path: &str, field: &str) -> io::Result<Vec<Value>> {
    let Some(answer) = ask("GET", path, "") else { return Ok(Vec::new()) };
    let (status, body) = answer.map_err(|error| io::Error::new(error.kind(), format!("the engine: {error}")))?;
    if status != 200 {
        return Err(io::Error::other(format!("the engine answers {status} to GET {path}: {}", body.trim())));
    }
    let mut listed: Value = serde_json::from_str(&body)?;
    let things = if field.is_empty() { &mut listed } else { &mut listed[field] };
    Ok(things.as_array_mut().map(std::mem::take).unwrap_or_default())
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
