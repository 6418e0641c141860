//! `doctor`: whether this program's runs are deterministic here, which real servers can be had, and what is missing, each with
//! the mend.

use clap::Args;
use shaketable_fixtures::etcd::findings;
use shaketable_fixtures::zookeeper::ZookeeperBackend;
use shaketable_sim::backend::KINDS;
use shaketable_sim::determinism::effective;
use shaketable_sim::engine::engines;

use crate::{Output, Stop};

const HELP: &str = "\
Exit codes: 0 when runs are deterministic here, 3 when they may not be.";

/// Say whether runs are deterministic here, what this program can simulate, and which real servers can be had.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments, output: &Output) -> Result<u8, Stop> {
    let deterministic = effective();
    let determinism = if deterministic {
        "yes: random bytes and clocks of a run come from its seed".to_owned()
    } else {
        format!(
            "reduced: random bytes and clocks cannot be interposed on {} {}, so two runs of one seed may differ; use Linux \
             on x86_64 or aarch64 with glibc, linked dynamically",
            std::env::consts::OS,
            std::env::consts::ARCH
        )
    };
    let zookeeper =
        ZookeeperBackend::find().map_or_else(|missing| format!("no: {missing}"), |()| "yes: as a process".to_owned());
    let mut real: String = findings().iter().map(|(way, finding)| format!("etcd, {way:<14}{finding}\n")).collect();
    real.push_str(&format!("zookeeper           {zookeeper}\n"));
    let names: Vec<&str> = engines().iter().map(|engine| engine.name).collect();
    output.print(&format!(
        "deterministic       {determinism}\nengines             {}\nsimulated backends  {}\n{real}",
        names.join(", "),
        KINDS.join(", ")
    ));
    Ok(if deterministic { 0 } else { 3 })
}
