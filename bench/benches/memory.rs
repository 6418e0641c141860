//! What a simulated host of engine `event` keeps in memory, beyond what its components use: hosts whose programs do nothing.
//! The figure goes to `bench/memory.json` in the build folder, where `cargo xtask figures` finds it.

use std::fs;
use std::time::Duration;

use shaketable_bench_engines::{Contender, machines};
use shaketable_bench_room::folder;

const FEW: usize = 100;
const MANY: usize = 1_000;

fn main() {
    let mut world = machines(FEW);
    world.advance(Duration::from_secs(1));
    let Some(before) = resident_kib() else {
        println!("memory per host: this system does not tell what a process keeps");
        return;
    };
    world.add_machines("more", MANY - FEW);
    world.advance(Duration::from_secs(1));
    let after = resident_kib().unwrap_or(before);
    let per_host = after.saturating_sub(before) as f64 / (MANY - FEW) as f64;
    println!("memory per host: {per_host:.1} KiB ({FEW} hosts: {before} KiB resident, {MANY} hosts: {after} KiB)");
    let text = format!("{{\"kib_per_host\": {per_host:.1}, \"hosts\": {MANY}}}\n");
    let kept = folder().and_then(|folder| fs::write(folder.join("memory.json"), text));
    if let Err(error) = kept {
        eprintln!("failed to keep the figure: {error}");
        std::process::exit(1);
    }
}

/// What this process keeps, in KiB.
fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
