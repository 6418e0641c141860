//! Writes the specification: what `shaketable spec` says of each interface, into `conformance/spec`.

use std::process::{Command, ExitCode};

use crate::step::root;

const INTERFACES: [&str; 8] = ["transport", "codec", "registry", "selector", "broker", "client", "server", "service"];

/// Writes a file for each interface.
pub(crate) fn run() -> ExitCode {
    match INTERFACES.into_iter().try_for_each(write) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("xtask: {text}");
            ExitCode::from(3)
        }
    }
}

fn write(interface: &str) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "-p", "shaketable-command", "--", "spec", interface])
        .current_dir(root())
        .output()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("spec {interface}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let file = root().join("conformance/spec").join(format!("{interface}.md"));
    std::fs::write(&file, output.stdout).map_err(|error| format!("{}: {error}", file.display()))?;
    eprintln!("xtask: wrote {}", file.display());
    Ok(())
}
