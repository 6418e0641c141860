//! The numbers that are committed, as `reports/published/counters.json` has them: those that hold in every build by work, and
//! instructions by the build that they are of; and which targets are not met. It counts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::counts::Counts;

/// The format that is written and read here.
const FORMAT: u64 = 1;

/// The build that counts: compiler, target and options.
pub const BUILD: &str = env!("SHAKETABLE_COUNTERS_BUILD");

/// How the committed numbers are written anew, as CI builds.
pub const MEND: &str = "CARGO_INCREMENTAL=0 SHAKETABLE_COUNTERS=write cargo test --workspace --test counters";

/// What is committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Committed {
    format: u64,
    /// What each work comes to, whatever the build.
    pub works: BTreeMap<String, Counts>,
    /// Targets of those that are not met.
    pub unmet: BTreeSet<String>,
    /// Instructions, by build.
    pub instructions: BTreeMap<String, Instructions>,
}

/// Instructions of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instructions {
    /// What each work comes to.
    pub works: BTreeMap<String, u64>,
    /// Targets of those that are not met.
    pub unmet: BTreeSet<String>,
}

impl Default for Committed {
    fn default() -> Self {
        Self { format: FORMAT, works: BTreeMap::new(), unmet: BTreeSet::new(), instructions: BTreeMap::new() }
    }
}

impl Committed {
    /// Where they are.
    pub fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .unwrap_or(Path::new("."))
            .join("reports/published/counters.json")
    }

    /// Puts instructions of this build in the place of those that there were, also of another compiler with the same options.
    pub fn replace_instructions(&mut self, of_build: Instructions) {
        let options = |build: &str| build.split_once(", ").map(|(_, options)| options.to_owned());
        self.instructions.retain(|build, _| options(build) != options(BUILD));
        self.instructions.insert(BUILD.to_owned(), of_build);
    }

    /// Reads them; a file that is not there has none.
    ///
    /// # Errors
    /// What is wrong with the file, and the mend.
    pub fn read(path: &Path) -> Result<Self, String> {
        let told = |error: String| format!("{}: {error}; write it anew with {MEND}", path.display());
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(told(error.to_string())),
        };
        let committed: Self = serde_json::from_str(&text).map_err(|error| told(error.to_string()))?;
        match committed.format {
            FORMAT => Ok(committed),
            other => Err(told(format!("its format is {other}, and this program knows {FORMAT}"))),
        }
    }

    /// Writes them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let told = |error: String| format!("{}: {error}", path.display());
        let text = serde_json::to_string_pretty(self).map_err(|error| told(error.to_string()))?;
        fs::write(path, text + "\n").map_err(|error| told(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::{BUILD, Committed, Instructions};

    #[test]
    fn what_is_written_can_be_read_and_what_is_wrong_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counters.json");
        assert_eq!(Committed::read(&path), Ok(Committed::default()));
        let mut committed = Committed::default();
        committed.works.entry("select".to_owned()).or_default().add("allocations", 0);
        committed.instructions.entry(BUILD.to_owned()).or_default().works.insert("select".to_owned(), 17);
        committed.write(&path).unwrap();
        assert_eq!(Committed::read(&path), Ok(committed));
        std::fs::write(&path, "{\"format\": 2, \"works\": {}, \"unmet\": [], \"instructions\": {}}").unwrap();
        let error = Committed::read(&path).unwrap_err();
        assert!(error.contains("its format is 2, and this program knows 1; write it anew with "), "{error}");
        std::fs::write(&path, "{").unwrap();
        assert!(Committed::read(&path).unwrap_err().contains("EOF while parsing"));
    }

    #[test]
    fn instructions_of_another_compiler_with_the_same_options_are_replaced() {
        let (_, options) = BUILD.split_once(", ").unwrap();
        let mut committed = Committed::default();
        for build in [format!("rustc 1.0.0, {options}"), "rustc 1.0.0, elsewhere, opt-level 3".to_owned()] {
            committed.instructions.insert(build, Instructions::default());
        }
        committed.replace_instructions(Instructions::default());
        let builds: Vec<&str> = committed.instructions.keys().map(String::as_str).collect();
        assert_eq!(builds, ["rustc 1.0.0, elsewhere, opt-level 3", BUILD]);
    }

    #[test]
    fn a_build_is_named_by_compiler_and_options() {
        assert!(BUILD.starts_with("rustc 1.") && BUILD.contains(", opt-level "), "{BUILD}");
    }
}
