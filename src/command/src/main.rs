//! The command line with the reference plugins alone.

use std::process::ExitCode;

fn main() -> ExitCode {
    shaketable_command::Cli::new().main()
}
