//! Scenario files from disk, checked and expanded into cases.

use std::fmt;
use std::path::{Path, PathBuf};

use shaketable_stack::plugin::Plugins;

use crate::engine::{EngineInfo, engines};
use crate::scenario::model::Scenario;
use crate::scenario::{Overrides, Problems, check, parse};

/// One scenario under one set of overrides.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file's name.
    pub file: String,
    /// Its text.
    pub text: String,
    /// What is set differently.
    pub overrides: Overrides,
    /// What it says, with the overrides applied.
    pub scenario: Scenario,
}

/// Cases, and what is odd about their files.
#[derive(Debug, Default)]
pub struct LoadedCases {
    /// In the order of the files, then of the matrix.
    pub cases: Vec<Case>,
    /// What is odd, but no error.
    pub warnings: Vec<Problems>,
    /// Files that need another engine, a sentence each.
    pub left_out: Vec<String>,
}

/// Why files cannot be run.
#[derive(Debug)]
pub enum LoadError {
    /// A file or folder cannot be read.
    Unreadable(String),
    /// There is no scenario file.
    Nothing(String),
    /// Files are wrong.
    Wrong(Vec<Problems>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(text) | Self::Nothing(text) => formatter.write_str(text),
            Self::Wrong(files) => {
                for (index, problems) in files.iter().enumerate() {
                    if index > 0 {
                        formatter.write_str("\n")?;
                    }
                    write!(formatter, "{problems}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads the scenario files at `paths` (files, or folders with `*.yaml`), checks them and expands their matrices. What `set`
/// chooses replaces the matrix of that interface.
///
/// # Errors
/// The first that cannot be read, or everything that is wrong in all of them.
pub fn load_cases(
    paths: &[PathBuf],
    set: &Overrides,
    plugins: &Plugins,
    engine: &EngineInfo,
) -> Result<LoadedCases, LoadError> {
    let mut loaded = LoadedCases::default();
    let mut wrong = Vec::new();
    let files = files(paths)?;
    if files.is_empty() {
        let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(LoadError::Nothing(format!("no scenario file (*.yaml) in {}", shown.join(", "))));
    }
    for path in files {
        let file = path.display().to_string();
        let text =
            std::fs::read(&path).map_err(|error| LoadError::Unreadable(format!("failed to read {file}: {error}")))?;
        let text = String::from_utf8(text)
            .map_err(|_| LoadError::Unreadable(format!("failed to read {file}: it is no UTF-8 text")))?;
        match cases_of(&file, &text, set, plugins, engine) {
            Ok(of_file) => {
                loaded.cases.extend(of_file.cases);
                loaded.warnings.extend(of_file.warnings);
                loaded.left_out.extend(of_file.left_out);
            }
            Err(problems) => wrong.push(problems),
        }
    }
    if !wrong.is_empty() {
        return Err(LoadError::Wrong(wrong));
    }
    if loaded.cases.is_empty() {
        return Err(LoadError::Nothing(format!("nothing to run: {}", loaded.left_out.join("; "))));
    }
    Ok(loaded)
}

/// The cases of one file; none when it needs another engine.
///
/// # Errors
/// What is wrong with it.
pub fn cases_of(
    file: &str,
    text: &str,
    set: &Overrides,
    plugins: &Plugins,
    engine: &EngineInfo,
) -> Result<LoadedCases, Problems> {
    let scenario = parse(file, text)?.apply(set);
    let problems = check(file, text, &scenario, plugins, engine, &engines());
    if problems.has_errors() {
        return Err(problems);
    }
    let warnings: Vec<Problems> = Some(problems).into_iter().filter(|problems| !problems.is_empty()).collect();
    if let Some(because) = scenario.live.never_because.as_ref().filter(|_| engine.is_live) {
        let left_out = format!("{file} is left out: it does not run live, because {because}");
        return Ok(LoadedCases { warnings, left_out: vec![left_out], cases: Vec::new() });
    }
    if let Some(needs) = scenario.needs.as_ref().filter(|needs| !engine.is_live && needs.engine != engine.name) {
        let left_out = format!("{file} is left out: it needs engine {}, because {}", needs.engine, needs.because);
        return Ok(LoadedCases { warnings, left_out: vec![left_out], cases: Vec::new() });
    }
    let cases = scenario.cases().into_iter().map(|chosen| {
        let mut overrides = set.clone();
        overrides.extend(&chosen);
        let scenario = scenario.apply(&chosen);
        Case { file: file.to_owned(), text: text.to_owned(), overrides, scenario }
    });
    Ok(LoadedCases { cases: cases.collect(), warnings, left_out: Vec::new() })
}

/// The scenario files at `paths`, each folder's in the order of their names.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, LoadError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(files_in(path).map_err(|error| {
                LoadError::Unreadable(format!("failed to read the folder {}: {error}", path.display()))
            })?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn files_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
