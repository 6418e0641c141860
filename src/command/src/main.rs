//! The command line with the reference plugins alone.

use std::process::ExitCode;

use shaketable_sim::allocation::Counting;

/// A run allocates for every request that it simulates.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

#[cfg(not(feature = "mimalloc"))]
#[global_allocator]
static ALLOCATOR: Counting = Counting(std::alloc::System);

fn main() -> ExitCode {
    shaketable_command::Cli::new().main()
}
