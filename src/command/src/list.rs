//! `list`: the cases of scenarios, or the plugins or engines of this program. It runs nothing.

use std::path::PathBuf;

use clap::Args;
use shaketable_reports::{Cell, Columns, Palette, terminal};
use shaketable_sim::engine::engines;
use shaketable_sim::run::Case;
use shaketable_sim::scenario::model::{Expect, Scenario};
use shaketable_stack::plugin::{Plugins, Table};

use crate::promises::in_words;
use crate::target::TargetSettings;
use crate::{Output, Stop};

const EXAMPLES: &str = "\
Examples:
  shaketable list scenarios      the cases: hosts, seeds, expectations
  shaketable list --plugins      the plugins of each interface, and what they promise
  shaketable list --engines      the engines, and the faults that each can do";

/// Show the cases of scenarios, or the plugins or engines of this program.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Scenario files, or folders with them
    #[arg(value_name = "FILES", required_unless_present_any = ["plugins", "engines"])]
    files: Vec<PathBuf>,
    #[command(flatten)]
    settings: TargetSettings,
    /// Show the plugins of each interface and what they promise
    #[arg(long, conflicts_with_all = ["files", "engines"])]
    plugins: bool,
    /// Show the engines and the faults that each can do
    #[arg(long, conflicts_with = "files")]
    engines: bool,
}

pub(crate) fn run(arguments: &Arguments, plugins: &Plugins, output: &Output) -> Result<u8, Stop> {
    let palette = output.palette();
    output.print(&if arguments.plugins {
        list_plugins(plugins, palette)
    } else if arguments.engines {
        list_engines(palette)
    } else {
        list_cases(&arguments.settings.load(&arguments.files, plugins, output)?, palette)
    });
    Ok(0)
}

fn list_cases(cases: &[Case], palette: Palette) -> String {
    let mut columns = Columns::default();
    columns.row(["CASE", "HOSTS", "SEEDS", "EXPECTATIONS", "FILE"].map(|name| heading(name, palette)));
    for case in cases {
        columns.row([
            Cell::new(terminal::case_title(&case.scenario.name, &case.overrides.to_string())),
            Cell::new(hosts(&case.scenario)),
            Cell::right(case.scenario.seeds.to_string()),
            Cell::new(expectations(&case.scenario.expect).join(" ")),
            Cell::new(&case.file),
        ]);
    }
    columns.render()
}

/// `user 3, caller 2`.
fn hosts(scenario: &Scenario) -> String {
    let services = scenario.services.iter().map(|(name, service)| (name, service.replicas));
    let clients = scenario.clients.iter().map(|(name, clients)| (name, clients.count));
    let groups: Vec<String> = services.chain(clients).map(|(name, count)| format!("{name} {count}")).collect();
    groups.join(", ")
}

/// The names of what is judged, as the file writes them.
fn expectations(expect: &Expect) -> Vec<String> {
    match serde_json::to_value(expect) {
        Ok(serde_json::Value::Object(fields)) => fields.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}

fn list_plugins(plugins: &Plugins, palette: Palette) -> String {
    let mut columns = Columns::default();
    columns.row(["INTERFACE", "PLUGIN", "WHAT IT IS", "WHAT IT PROMISES"].map(|name| heading(name, palette)));
    rows(&plugins.transports, &mut columns);
    rows(&plugins.codecs, &mut columns);
    rows(&plugins.registries, &mut columns);
    rows(&plugins.selectors, &mut columns);
    rows(&plugins.brokers, &mut columns);
    rows(&plugins.clients, &mut columns);
    rows(&plugins.servers, &mut columns);
    rows(&plugins.services, &mut columns);
    columns.render()
}

fn rows<Factory: ?Sized>(table: &Table<Factory>, columns: &mut Columns) {
    for plugin in table.iter() {
        columns.row([
            Cell::new(table.interface()),
            Cell::new(&plugin.name),
            Cell::new(&plugin.summary),
            Cell::new(in_words(&plugin.promises)),
        ]);
    }
}

fn list_engines(palette: Palette) -> String {
    let mut text = String::new();
    for engine in engines() {
        text.push_str(&format!("{}: {}\n", palette.paint(palette.heading(), engine.name), engine.summary));
        for capability in &engine.capabilities {
            text.push_str(&format!("  can {capability}\n"));
        }
    }
    text
}

fn heading(name: &str, palette: Palette) -> Cell {
    Cell::new(name).styled(palette.faint())
}
