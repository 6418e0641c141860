//! The scenario files of this repository: where they are, and the cases that they make. It chooses no engine and
//! judges nothing; the test targets beside it run the cases.

use std::path::PathBuf;

use shaketable_sim::engine::EngineInfo;
use shaketable_sim::run::{Case, load_cases};
use shaketable_sim::scenario::Overrides;
use shaketable_stack::plugin::Plugins;

/// The folder of the scenario files.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every case of every scenario file that `engine` can carry.
///
/// # Panics
/// When a file cannot be read or is wrong: the message shows the place.
pub fn cases(plugins: &Plugins, engine: &EngineInfo) -> Vec<Case> {
    let loaded = load_cases(&[folder()], &Overrides::default(), plugins, engine);
    loaded.unwrap_or_else(|error| panic!("{error}")).cases
}

/// `lease-expiry-renewal[registry=etcd]`.
pub fn label(case: &Case) -> String {
    if case.overrides.is_empty() {
        case.scenario.name.clone()
    } else {
        format!("{}[{}]", case.scenario.name, case.overrides)
    }
}

/// How many seeds each case takes: `SHAKETABLE_SEEDS`, or 3.
///
/// # Panics
/// When the variable is no number above zero.
pub fn seeds() -> u64 {
    match std::env::var("SHAKETABLE_SEEDS") {
        Ok(text) => match text.parse() {
            Ok(seeds @ 1..) => seeds,
            _ => panic!("SHAKETABLE_SEEDS is '{text}'; it must be a number above zero"),
        },
        Err(_) => 3,
    }
}
