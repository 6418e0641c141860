//! `spec`: the numbered requirements. It runs nothing.

use clap::{Args, ValueEnum};
use shaketable_conformance::{Interface, spec};

use crate::{Output, Stop};

const EXAMPLES: &str = "\
Examples:
  shaketable spec registry                 what a registry must, should and may do
  shaketable spec --format json            everything, for programs";

/// Show the numbered requirements of the interfaces.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// transport, codec, registry, selector, broker, client, server or service [default: all]
    #[arg(value_name = "INTERFACE")]
    interface: Option<Interface>,
    /// How they are written
    #[arg(long, value_enum, default_value_t = Format::Md)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Md,
    Json,
}

pub(crate) fn run(arguments: &Arguments, output: &Output) -> Result<u8, Stop> {
    let interfaces = arguments.interface.map_or_else(|| Interface::ALL.to_vec(), |interface| vec![interface]);
    output.print(&match arguments.format {
        Format::Md => interfaces.into_iter().map(spec::markdown).collect::<Vec<_>>().join("\n"),
        Format::Json => spec::json(&interfaces),
    });
    Ok(0)
}
