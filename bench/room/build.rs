//! Tells the crate which compiler it is built with: figures say it.

use std::process::Command;

fn main() {
    let compiler = std::env::var_os("RUSTC").expect("cargo tells build scripts which compiler it uses");
    let output = Command::new(compiler).arg("--version").output().expect("the compiler starts");
    let version = String::from_utf8_lossy(&output.stdout);
    println!("cargo::rustc-env=SHAKETABLE_BENCH_RUSTC={}", version.trim());
    println!("cargo::rerun-if-changed=build.rs");
}
