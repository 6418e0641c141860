//! Which checks pass which mutants, while none is switched on. A simulated check does the same each time, so a mutant that it
//! does not pass cannot change what it says: only the others need to be made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::verify::{Places, Verify, verify};
use crate::step::root;

/// The interfaces, those that rest on few modules first.
const INTERFACES: [&str; 8] = ["selector", "codec", "registry", "broker", "transport", "client", "server", "service"];

/// What the checks of one requirement pass.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Reached {
    pub(super) interface: String,
    pub(super) plugin: String,
    pub(super) requirement: String,
    /// In the first place alone.
    pub(super) first: BTreeSet<usize>,
    /// In all of them.
    pub(super) all: BTreeSet<usize>,
}

/// Makes every check in all places, or, when it is to be `brief`, in the first one.
///
/// # Errors
/// When the program does not run, or a plugin is not upheld although no mutant is switched on.
pub(super) fn reach(program: &Path, jobs: usize, brief: bool) -> Result<Vec<Reached>, String> {
    let mut applying = Vec::new();
    let plugins = plugins(program)?;
    for (interface, plugin) in &plugins {
        let report = verify(program, &Verify::whole(interface, plugin))?;
        let report = report.ok_or_else(|| format!("{interface} {plugin} does not end"))?;
        if let Some(bad) = report.rows.iter().find(|row| row.is_bad()) {
            return Err(format!("{interface} {plugin} breaks {} although no mutant is switched on", bad.id));
        }
        let ids = report.rows.into_iter().filter(|row| row.checks > 0).map(|row| row.id);
        applying.extend(ids.map(|id| (interface, plugin, id)));
    }
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((interface, plugin, id)) = applying.get(index) else { return };
                    let reached = of_requirement(program, interface, plugin, id, brief);
                    if let Ok(mut found) = found.lock() {
                        found.insert(index, reached);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_default().into_values().collect()
}

/// The plugins of the program, each with its interface.
fn plugins(program: &Path) -> Result<Vec<(String, String)>, String> {
    let failed = |why: String| format!("{} list --plugins: {why}", program.display());
    let listed =
        Command::new(program).args(["list", "--plugins"]).output().map_err(|error| failed(error.to_string()))?;
    if !listed.status.success() {
        return Err(failed(listed.status.to_string()));
    }
    let text = String::from_utf8_lossy(&listed.stdout);
    // The head of the table names no interface.
    let place = |row: &(String, String)| INTERFACES.iter().position(|interface| *interface == row.0);
    let mut plugins: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .filter(|row| place(row).is_some())
        .collect();
    plugins.sort_by_key(place);
    if let Some(without) = INTERFACES.iter().find(|interface| !plugins.iter().any(|(of, _)| of == *interface)) {
        return Err(failed(format!("it names no {without}")));
    }
    Ok(plugins)
}

fn of_requirement(program: &Path, interface: &str, plugin: &str, id: &str, brief: bool) -> Result<Reached, String> {
    let passed = |places: Places| -> Result<BTreeSet<usize>, String> {
        let folder = root().join("target/mutants/reached").join(format!("{interface}-{plugin}-{id}"));
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(failed)?;
        }
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let only = vec![id.to_owned()];
        verify(program, &Verify { only, places, reached: Some(folder.clone()), ..Verify::whole(interface, plugin) })?;
        let mut numbers = BTreeSet::new();
        for file in std::fs::read_dir(&folder).map_err(failed)? {
            let text = std::fs::read_to_string(file.map_err(failed)?.path()).map_err(failed)?;
            numbers.extend(text.lines().filter_map(|line| line.parse::<usize>().ok()));
        }
        std::fs::remove_dir_all(&folder).map_err(failed)?;
        Ok(numbers)
    };
    let first = passed(Places::First)?;
    let all = if brief { first.clone() } else { passed(Places::All)? };
    let (interface, plugin, requirement) = (interface.to_owned(), plugin.to_owned(), id.to_owned());
    Ok(Reached { interface, plugin, requirement, first, all })
}
