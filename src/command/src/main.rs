//! The command line with the reference plugins alone.

use std::process::ExitCode;

/// A run allocates for every request that it simulates.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shaketable_command::Cli::new().main()
}
