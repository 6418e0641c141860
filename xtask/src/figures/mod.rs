//! The published figures: what the last `cargo bench` has measured, as tables and a chart under `reports/published/`. It runs
//! no benchmark itself.

mod chart;
mod estimates;
mod machine;
mod tables;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::step::root;

/// Where the figures go, from the root.
const FOLDER: &str = "reports/published";

/// Writes them.
pub(crate) fn run() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: failed to write the figures: {error}");
            ExitCode::from(3)
        }
    }
}

fn write() -> Result<(), Box<dyn Error>> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let figures = estimates::read(&target)?;
    let tables = tables::text(&machine::describe()?, &figures)?;
    let chart = chart::svg(&figures)?;
    let folder = root().join(FOLDER);
    fs::create_dir_all(&folder)?;
    for (name, text) in [("engines.md", tables), (tables::CHART, chart)] {
        fs::write(folder.join(name), text)?;
        eprintln!("xtask: wrote {FOLDER}/{name}");
    }
    Ok(())
}
