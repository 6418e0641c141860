//! The published figures: what the last `cargo bench` has measured, as tables and charts under `reports/published/`. It runs
//! no benchmark itself.

mod chart;
mod engines;
mod estimates;
mod machine;
mod scale;
mod write;

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
    let machine = machine::describe()?;
    let (figures, scale) = (estimates::read(&target)?, scale::read(&target)?);
    let texts = [
        ("engines.md", engines::text(&machine, &figures)?),
        (engines::CHART, engines::chart(&figures)?),
        ("scale.md", scale::text(&machine, &scale)?),
        (scale::HOSTS_CHART, scale::hosts_chart(&scale)?),
        (scale::EVENTS_CHART, scale::events_chart(&scale)?),
    ];
    let folder = root().join(FOLDER);
    fs::create_dir_all(&folder)?;
    for (name, text) in texts {
        fs::write(folder.join(name), text)?;
        eprintln!("xtask: wrote {FOLDER}/{name}");
    }
    Ok(())
}
