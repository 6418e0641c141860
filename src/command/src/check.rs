//! `check`: what is wrong with scenarios, without running anything.

use clap::Args;
use shaketable_stack::plugin::Plugins;

use crate::target::{Place, Target};
use crate::{Output, Stop};

const EXAMPLES: &str = "\
Examples:
  shaketable check scenarios
  shaketable check churn.yaml --set registry=etcd
  shaketable check own.yaml --world live

What is wrong is shown with its file, line and column, and with the mend; the exit code is 2 then. A warning, such as one
for a scenario that shakes nothing, changes no exit code.";

/// Read scenarios and say what is wrong with them, without running anything.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// What the files are checked for: the simulator, or a live run
    #[arg(long, value_name = "WORLD", value_enum, default_value_t = Place::Simulated)]
    world: Place,
}

pub(crate) fn run(arguments: &Arguments, plugins: &Plugins, output: &Output) -> Result<u8, Stop> {
    let Arguments { target, world } = arguments;
    let cases = target.settings.load_in(*world, &target.files, plugins, output)?;
    let mut files: Vec<&str> = cases.iter().map(|case| case.file.as_str()).collect();
    files.dedup();
    output.print(&format!("{} files with {} cases are in order\n", files.len(), cases.len()));
    Ok(0)
}
