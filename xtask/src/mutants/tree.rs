//! A copy of the workspace with all mutants in it, and the one program that is built of it. It knows cargo and the
//! compiler's messages; what a mutant does when it is switched on, it does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::list::Mutant;
use super::schema::{Schema, rewrite};
use crate::step::root;

/// The program's name in the copy, so that it does not take the place of ours.
const PROGRAM: &str = "shaketable-mutants";

/// How often the compiler may find mutants that do not compile: it finds those of types first, those of borrows later.
const ROUNDS_MAX: usize = 40;

/// Where the copy of `stack` has what it has beside its own code.
const SWITCH_FILE: &str = "stack/src/mutant.rs";

/// What stands there.
const SWITCH: &str = r##"//! Which mutant is switched on. Written by `cargo xtask mutants`.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Mutex, OnceLock};

/// Whether the mutant `number` is switched on. Where somebody asks which ones are passed, that is written down.
pub(crate) fn on(number: usize) -> bool {
    static ACTIVE: OnceLock<Option<usize>> = OnceLock::new();
    static REACHED: OnceLock<Option<Mutex<(BTreeSet<usize>, std::fs::File)>>> = OnceLock::new();
    let reached = REACHED.get_or_init(|| {
        let folder = std::env::var_os("SHAKETABLE_MUTANTS_REACHED")?;
        let file = std::path::Path::new(&folder).join(std::process::id().to_string());
        let file = std::fs::OpenOptions::new().create(true).append(true).open(file).ok()?;
        Some(Mutex::new((BTreeSet::new(), file)))
    });
    if let Some(Ok(mut reached)) = reached.as_ref().map(Mutex::lock) && reached.0.insert(number) {
        let _ = writeln!(reached.1, "{number}");
    }
    *ACTIVE.get_or_init(|| std::env::var("SHAKETABLE_MUTANT").ok()?.parse().ok()) == Some(number)
}
"##;

/// The program with all mutants in it.
#[derive(Debug)]
pub(super) struct Built {
    /// Where it is.
    pub(super) program: PathBuf,
    /// Mutants that do not compile, with what the compiler says.
    pub(super) unviable: BTreeMap<usize, String>,
    /// Mutants that cannot be switched, with the reason.
    pub(super) left_out: BTreeMap<usize, &'static str>,
}

/// Where the copy is, and what comes of it.
pub(super) fn folder() -> PathBuf {
    root().join("target/mutants")
}

/// Copies, rewrites and builds until every mutant that is left compiles.
///
/// # Errors
/// When something else does not compile, or cannot be read or written.
pub(super) fn build(mutants: &[Mutant]) -> Result<Built, String> {
    let tree = folder().join("tree");
    let mut by_file: BTreeMap<&str, Vec<(usize, &Mutant)>> = BTreeMap::new();
    for (number, mutant) in mutants.iter().enumerate() {
        by_file.entry(&mutant.file).or_default().push((number, mutant));
    }
    copy(&tree, &by_file.keys().copied().collect())?;
    // What an earlier run has found of a file that is still the same.
    let remembered = folder().join("unviable.json");
    let mut sources: BTreeMap<&str, String> = BTreeMap::new();
    for file in by_file.keys() {
        sources.insert(file, read(&root().join(file))?);
    }
    let mut unviable = recall(&remembered, mutants, &sources);
    for round in 1..=ROUNDS_MAX {
        let mut schemata: BTreeMap<&str, Schema> = BTreeMap::new();
        let dropped: BTreeSet<usize> = unviable.keys().copied().collect();
        for (file, mutants) in &by_file {
            let schema = rewrite(&sources[file], mutants, &dropped).map_err(|error| format!("{file}: {error}"))?;
            write(&tree.join(file), &schema.text)?;
            schemata.insert(file, schema);
        }
        eprintln!("xtask: building with mutants, round {round}, {} do not compile so far", dropped.len());
        let found = match compile(&tree)? {
            Compiled::Program(program) => {
                let left_out = schemata.values().flat_map(|schema| schema.left_out.clone()).collect();
                return Ok(Built { program, unviable, left_out });
            }
            Compiled::Errors(errors) => blame(&errors, &schemata)?,
        };
        unviable.extend(found);
        remember(&remembered, mutants, &sources, &unviable)?;
    }
    Err(format!("after {ROUNDS_MAX} rounds there are still mutants that do not compile"))
}

/// What does not compile, by the mutant's name, of a file with this text.
#[derive(Default, Serialize, Deserialize)]
struct Remembered {
    source: String,
    unviable: BTreeMap<String, String>,
}

fn remembered(file: &Path) -> BTreeMap<String, Remembered> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn recall(file: &Path, mutants: &[Mutant], sources: &BTreeMap<&str, String>) -> BTreeMap<usize, String> {
    let remembered = remembered(file);
    let known = |mutant: &Mutant| {
        let remembered = remembered.get(&mutant.file)?;
        let same = sources.get(mutant.file.as_str()) == Some(&remembered.source);
        remembered.unviable.get(&mutant.name).filter(|_| same).cloned()
    };
    mutants.iter().enumerate().filter_map(|(number, mutant)| Some((number, known(mutant)?))).collect()
}

fn remember(
    file: &Path,
    mutants: &[Mutant],
    sources: &BTreeMap<&str, String>,
    unviable: &BTreeMap<usize, String>,
) -> Result<(), String> {
    let mut remembered = remembered(file);
    // A sample knows nothing of the others.
    remembered.retain(|name, of_file| sources.get(name.as_str()).is_none_or(|source| *source == of_file.source));
    for (number, words) in unviable {
        let mutant = &mutants[*number];
        let of_file = remembered.entry(mutant.file.clone()).or_default();
        of_file.source.clone_from(&sources[mutant.file.as_str()]);
        of_file.unviable.insert(mutant.name.clone(), words.clone());
    }
    let text = serde_json::to_string(&remembered).map_err(|error| error.to_string())?;
    write(file, &text)
}

/// Makes `tree` a copy of what git tracks but for the files that are `rewritten`; one that is the same is left alone, so that
/// cargo need not build it again.
fn copy(tree: &Path, rewritten: &BTreeSet<&str>) -> Result<(), String> {
    let output = Command::new("git").args(["ls-files", "-z", "--cached"]).current_dir(root()).output();
    let output = output.map_err(|error| format!("cannot start git: {error}"))?;
    let names = String::from_utf8_lossy(&output.stdout);
    let names: BTreeSet<&str> = names.split('\0').filter(|name| !name.is_empty()).collect();
    for name in names.iter().copied() {
        let Ok(bytes) = std::fs::read(root().join(name)) else { continue };
        let bytes = match name {
            "stack/src/lib.rs" => [bytes.as_slice(), b"\nmod mutant;\n"].concat(),
            "src/command/Cargo.toml" => {
                let named = String::from_utf8_lossy(&bytes).replace("\"shaketable\"", &format!("\"{PROGRAM}\""));
                named.into_bytes()
            }
            "Cargo.toml" => another_version(&String::from_utf8_lossy(&bytes))?.into_bytes(),
            _ => bytes,
        };
        if !rewritten.contains(name) {
            write_bytes(&tree.join(name), &bytes)?;
            let permissions = std::fs::metadata(root().join(name))
                .and_then(|it| std::fs::set_permissions(tree.join(name), it.permissions()));
            permissions.map_err(|error| format!("{name}: {error}"))?;
        }
    }
    write(&tree.join(SWITCH_FILE), SWITCH)?;
    remove_strays(tree, tree, &names)
}

/// Removes what lies in `folder`, within `tree`, from an earlier copy and has no name any more.
fn remove_strays(tree: &Path, folder: &Path, names: &BTreeSet<&str>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.strip_prefix(tree).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            remove_strays(tree, &path, names)?;
        } else if name != SWITCH_FILE && !names.contains(name.as_str()) {
            std::fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// The workspace under a version of its own. Cargo tells crates of two workspaces apart by name and version, not by folder: in
/// one target folder it would take ours for those with mutants.
fn another_version(manifest: &str) -> Result<String, String> {
    let begin = "[workspace.package]\nversion = \"";
    let parts = manifest.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once('"')?)));
    let (before, (version, after)) = parts.ok_or("Cargo.toml does not begin [workspace.package] with its version")?;
    Ok(format!("{before}{begin}{version}-mutants\"{after}"))
}

enum Compiled {
    Program(PathBuf),
    Errors(Vec<Value>),
}

/// The program, and some test: only so do dependencies have the features that they have in `cargo test --workspace`, and are
/// not built once more.
const SELECTED: [&str; 5] = ["--workspace", "--bin", PROGRAM, "--test", "live_door"];

fn compile(tree: &Path) -> Result<Compiled, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let output = Command::new(cargo)
        .args(["build", "--quiet"])
        .args(SELECTED)
        .args(["--message-format", "json", "--target-dir"])
        .arg(target)
        // The same as ours: else etcd-client would be built again, and all that rests on it.
        .env("PROTOC", root().join("tools/protoc"))
        .current_dir(tree)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let (mut program, mut errors) = (None, Vec::new());
    for message in messages {
        if let Some(executable) = message["executable"].as_str().filter(|_| message["target"]["name"] == PROGRAM) {
            program = Some(PathBuf::from(executable));
        }
        if message["message"]["level"] == "error" && message["message"]["spans"] != Value::Array(Vec::new()) {
            errors.push(message["message"].clone());
        }
    }
    match program {
        Some(program) if output.status.success() => Ok(Compiled::Program(program)),
        _ if !errors.is_empty() => Ok(Compiled::Errors(errors)),
        _ => Err(format!("cargo build in {} ended with {}", tree.display(), output.status)),
    }
}

/// The mutants on whose account the compiler complains, each with its words.
fn blame(errors: &[Value], schemata: &BTreeMap<&str, Schema>) -> Result<BTreeMap<usize, String>, String> {
    let mut found = BTreeMap::new();
    let mut unclear = String::new();
    for error in errors {
        let mut places = Vec::new();
        add_places(error, &mut places);
        let to_blame = places.iter().find_map(|(file, at)| {
            schemata.get(file.as_str()).map(|schema| schema.blame(*at)).filter(|mutants| !mutants.is_empty())
        });
        match to_blame {
            Some(mutants) => {
                let words = error["message"].as_str().unwrap_or_default();
                found.extend(mutants.iter().map(|mutant| (*mutant, words.to_owned())));
            }
            None => unclear.push_str(error["rendered"].as_str().unwrap_or_default()),
        }
    }
    // Others may go away with those that were found.
    if found.is_empty() { Err(format!("no mutant explains these errors:\n{unclear}")) } else { Ok(found) }
}

/// Where an error is: its primary places first, then the others, then those of its notes.
fn add_places(message: &Value, places: &mut Vec<(String, usize)>) {
    let spans = message["spans"].as_array().cloned().unwrap_or_default();
    for primary in [true, false] {
        for span in spans.iter().filter(|span| span["is_primary"] == primary) {
            let mut span = span;
            while let (Some(file), Some(at)) = (span["file_name"].as_str(), span["byte_start"].as_u64()) {
                places.push((file.to_owned(), usize::try_from(at).unwrap_or_default()));
                span = &span["expansion"]["span"];
            }
        }
    }
    for child in message["children"].as_array().into_iter().flatten() {
        add_places(child, places);
    }
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    write_bytes(file, text.as_bytes())
}

fn write_bytes(file: &Path, bytes: &[u8]) -> Result<(), String> {
    if std::fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(file, bytes).map_err(failed)
}
