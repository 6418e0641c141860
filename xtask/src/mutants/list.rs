//! The mutants, as cargo-mutants lists them. It knows their names and places, and nothing of how they are switched on.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;

use crate::step::root;

/// The modules of `stack` that are judged.
pub(super) const MODULES: [&str; 5] = ["selector", "codec", "registry", "broker", "transport"];

/// One change of the source.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Mutant {
    /// What cargo-mutants calls it, with its place.
    pub(super) name: String,
    /// The file, from the workspace's root.
    pub(super) file: String,
    /// What is replaced.
    pub(super) span: Span,
    /// By what.
    pub(super) replacement: String,
    /// What sort of change it is.
    pub(super) genre: Genre,
    /// Its name without line and column, numbered where several share it: it stays the same while code around it moves.
    #[serde(skip)]
    pub(super) lasting_name: String,
}

/// What sorts of change there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) enum Genre {
    /// A function that only answers a fixed value.
    FnValue,
    /// Another operator.
    BinaryOperator,
    /// No operator.
    UnaryOperator,
    /// A match without this arm.
    MatchArm,
    /// A guard that always, or never, holds.
    MatchArmGuard,
    /// A field that is left to the base of its struct.
    StructField,
}

/// A piece of a file; the end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Span {
    pub(super) start: Place,
    pub(super) end: Place,
}

/// Line and column count from 1; a column is a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Mutant {
    /// The module of `stack` that it is in.
    pub(super) fn module(&self) -> &'static str {
        let folder = self.file.split('/').nth(2).unwrap_or_default();
        MODULES.into_iter().find(|module| *module == folder).unwrap_or_default()
    }
}

/// Asks cargo-mutants for all of them.
///
/// # Errors
/// When it cannot be started, or says something else.
pub(super) fn list() -> Result<Vec<Mutant>, String> {
    let mut command = Command::new("cargo");
    command.args(["mutants", "--list", "--json", "--package", "shaketable-stack"]).current_dir(root());
    for module in MODULES {
        command.args(["--file", &format!("stack/src/{module}/**")]);
    }
    let output = command.output().map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo mutants --list: {said}mend: cargo install cargo-mutants --locked --version 27.1.0"));
    }
    let mut mutants: Vec<Mutant> = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("failed to read what cargo mutants lists: {error}"))?;
    name_lastingly(&mut mutants);
    Ok(mutants)
}

fn name_lastingly(mutants: &mut [Mutant]) {
    mutants.sort_by(|a, b| (&a.file, a.span.start, &a.name).cmp(&(&b.file, b.span.start, &b.name)));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for mutant in mutants {
        let change = mutant.name.splitn(4, ':').nth(3).unwrap_or_default().trim();
        let name = format!("{}: {change}", mutant.file);
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        mutant.lasting_name = if *count == 1 { name } else { format!("{name} (#{count})") };
    }
}
