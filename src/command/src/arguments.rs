//! What can be asked on the command line, in the words of its help.

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{bench_report, check, doctor, list, proxy, replay, run, serve, spec, trace, verify};

const EXAMPLES: &str = "\
Examples:
  shaketable run scenarios                       every scenario in the folder
  shaketable run churn.yaml --seeds 1000         look for a seed that breaks it
  shaketable run churn.yaml --set registry=etcd  the same with another plugin
  shaketable verify registry --plugin memory     does a plugin keep what its interface requires?
  shaketable replay st1:… churn.yaml             one run again, as a failure's last line says
  shaketable trace churn.yaml --seed 7           every event of one run
  shaketable check scenarios                     is it written correctly?
  shaketable proxy --to 127.0.0.1:2379 --toxic latency:latency=1s   a bad link to any server
  shaketable serve etcd                          a double of etcd for tests in any language
  shaketable bench-report                        what the benches have measured, and what has changed
  shaketable list --plugins                      which plugins there are, and what they promise

Exit codes:
  0  everything held
  1  something was violated
  2  the input is wrong, or there is nothing to run
  3  the harness or a backend failed
  4  too little was seen to say";

/// Shakes microservice stacks in a deterministic simulator, and judges whether they hold.
///
/// A scenario file says which services run on which plugins, what they do, what is done to them, and what must hold. A
/// run is decided by the scenario, the seed and this program alone: a seed that fails once fails always.
#[derive(Debug, Parser)]
#[command(name = "shaketable", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Reads `words`, the first of which is the program's path. The examples in the help name that program, which in a
    /// stranger's crate is not called shaketable.
    pub(crate) fn read(words: &[OsString]) -> Result<Self, clap::Error> {
        let program = words.first().map(Path::new).and_then(Path::file_name).map(|name| name.to_string_lossy());
        let mut definition = Self::command();
        if let Some(name) = program {
            definition = with_examples_of(definition, &name).mut_subcommands(|it| with_examples_of(it, &name));
        }
        Self::from_arg_matches(&definition.try_get_matches_from(words)?)
    }
}

fn with_examples_of(definition: clap::Command, program: &str) -> clap::Command {
    match definition.get_after_help().map(|text| text.to_string()) {
        Some(text) => definition.after_help(text.replace("\n  shaketable ", &format!("\n  {program} "))),
        None => definition,
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scenarios over many seeds and judge them
    Run(run::Arguments),
    /// Judge a plugin by the numbered requirements of its interface
    Verify(verify::Arguments),
    /// Show the numbered requirements of the interfaces
    Spec(spec::Arguments),
    /// Report what the benches have measured, and compare it with a baseline
    BenchReport(bench_report::Arguments),
    /// Run one failing seed again, exactly
    Replay(replay::Arguments),
    /// Read scenarios and say what is wrong with them, without running anything
    Check(check::Arguments),
    /// Show the cases of scenarios, or the plugins or engines of this program
    List(list::Arguments),
    /// Show every event of one run
    Trace(trace::Arguments),
    /// Relay connections to any server, and shake them on the way
    Proxy(proxy::Arguments),
    /// Serve a simulated backend on real sockets, for tests in any language
    Serve(serve::Arguments),
    /// Say whether runs are deterministic here, and what this program can simulate
    Doctor(doctor::Arguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{Arguments, OsString};

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_excludes_each_other_is_refused_as_bad_input() {
        for wrong in [
            ["run", "a.yaml", "--seeds", "0"].as_slice(),
            &["run", "a.yaml", "--world", "real"],
            &["run", "a.yaml", "--seeds", "3", "--seed", "1"],
            &["run", "a.yaml", "--time-limit", "30"],
            &["run", "a.yaml", "--set", "regstry=etcd"],
            &["run"],
            &["trace", "a.yaml"],
            &["verify", "registry"],
            &["verify", "regstry", "--plugin", "memory"],
            &["verify", "registry", "--plugin", "memory", "--level", "MUSTN"],
            &["verify", "registry", "--plugin", "memory", "--weather", "foggy"],
            &["spec", "regstry"],
            &["bench-report", "--tolerance", "0"],
            &["bench-report", "--tolerance", "much"],
            &["bench-report", "--format", "svg"],
            &["list", "--plugins", "--engines"],
            &["proxy"],
            &["proxy", "--listen", "127.0.0.1:0"],
            &["proxy", "--admin", "127.0.0.1:0", "--toxic", "latency"],
            &["proxy", "--to", "127.0.0.1:80", "--toxic", "latncy:latency=5"],
            &["serve"],
            &["serve", "zookeeper"],
            &["serve", "etcd", "--listen", "2379"],
            &["serve", "etcd", "--quota", "0"],
        ] {
            let words = std::iter::once(&"shaketable").chain(wrong).map(OsString::from).collect::<Vec<_>>();
            assert_eq!(Arguments::read(&words).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn the_help_of_a_strangers_program_names_that_program() {
        for words in [["bin/gossip", "--help"].as_slice(), &["bin/gossip", "run", "--help"]] {
            let words = words.iter().map(OsString::from).collect::<Vec<_>>();
            let help = Arguments::read(&words).unwrap_err().to_string();
            assert!(help.contains("\n  gossip run ") && !help.contains("\n  shaketable "), "{help}");
        }
    }
}
