//! Tells the crate how it is built: instructions are those of one compiler with one set of options.

use std::process::Command;

fn main() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let output = Command::new(variable("RUSTC")).arg("--version").output().expect("the compiler starts");
    let compiler = String::from_utf8_lossy(&output.stdout);
    // A build that is prepared for the next one is cut into more pieces, between which less is inlined.
    let is_incremental = match variable("CARGO_INCREMENTAL").as_str() {
        "0" => false,
        "1" => true,
        _ => variable("PROFILE") == "debug",
    };
    let incremental = if is_incremental { ", incremental" } else { "" };
    let build = format!(
        "{}, {}, opt-level {}{incremental}",
        compiler.split(" (").next().unwrap_or_default().trim(),
        variable("TARGET"),
        variable("OPT_LEVEL")
    );
    println!("cargo::rustc-env=SHAKETABLE_COUNTERS_BUILD={build}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CARGO_INCREMENTAL");
}
