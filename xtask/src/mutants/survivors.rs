//! Why some mutants may survive: what a person has found, by the mutant's name without its line. It knows the file only.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::step::root;

/// Where the reasons are, from the workspace's root.
pub(super) const FILE: &str = "conformance/mutants-survivors.yaml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    survivors: Vec<Group>,
}

/// Mutants that survive for the same reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    reason: String,
    mutants: Vec<String>,
}

/// The reasons, by [`super::list::Mutant::lasting_name`].
///
/// # Errors
/// When the file cannot be read, or names a mutant twice.
pub(super) fn reasons() -> Result<BTreeMap<String, String>, String> {
    let text = std::fs::read_to_string(root().join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    let file: File = serde_saphyr::from_str(&text).map_err(|error| format!("{FILE}: {error}"))?;
    let mut reasons = BTreeMap::new();
    for group in file.survivors {
        for mutant in group.mutants {
            if reasons.insert(mutant.clone(), group.reason.clone()).is_some() {
                return Err(format!("{FILE}: '{mutant}' is there twice"));
            }
        }
    }
    Ok(reasons)
}
