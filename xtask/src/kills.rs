//! Writes the kill matrix: which requirements each faulty plugin breaks, as the test of the conformance suite finds it.

use std::process::ExitCode;

use crate::step::{cargo, root};

/// Runs that test, which writes the file.
pub(crate) fn run() -> ExitCode {
    let file = root().join("reports/published/kill-matrix.md");
    let words = ["test", "--workspace", "--test", "conformance", "--", "--exact", "kill_matrix"];
    let environment = [("SHAKETABLE_KILL_MATRIX", &*file.to_string_lossy())];
    cargo(&words, &environment).err().unwrap_or(ExitCode::SUCCESS)
}
