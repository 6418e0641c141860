//! The command line of shaketable, as a value: a stranger's binary adds plugins and calls `main`, and has `run`, `verify`,
//! `spec`, `bench-report`, `replay`, `check`, `list`, `trace`, `proxy`, `serve` and `doctor` with them. Nothing here judges or
//! simulates; it reads words, asks `sim`, `conformance` and `fixtures`, and prints what `reports` renders. One file per
//! subcommand.

#![forbid(unsafe_code)]

mod arguments;
mod backends;
mod bench_report;
mod check;
mod doctor;
mod ended;
mod list;
mod output;
mod progress;
mod promises;
mod proxy;
mod replay;
mod run;
mod serve;
mod spec;
mod stop;
mod target;
mod trace;
mod verify;

use std::process::ExitCode;

use shaketable_conformance::backend::Backend;
use shaketable_conformance::judge::run_check_if_asked;
use shaketable_sim::run::run_child_if_asked;
use shaketable_stack::plugin::Plugins;

use arguments::{Arguments, Command};
use backends::Backends;
use output::Output;
use stop::Stop;

/// A command line with plugins.
///
/// ```no_run
/// # use std::process::ExitCode;
/// fn main() -> ExitCode {
///     shaketable_command::Cli::new().main()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Cli {
    plugins: Plugins,
    backends: Backends,
}

shaketable_stack::plugin_methods!(Cli);

impl Cli {
    /// The command line with the reference plugins.
    pub fn new() -> Self {
        Self::with_plugins(Plugins::reference())
    }

    /// The command line with `plugins` and nothing else.
    pub fn with_plugins(plugins: Plugins) -> Self {
        Self { plugins, backends: Backends::reference() }
    }

    /// What makes a backend of `kind`, the word that a plugin's promises name it by. `verify … --backend process`, or
    /// `--backend` and the kind, judges on one, and `run … --world live` shakes a stack on one; `maker` is called then, and not
    /// sooner. One of the same kind is replaced.
    ///
    /// Checks do to it what its [`verbs`](Backend::verbs) say, if it is on loopback. It ends when the value is dropped.
    #[must_use]
    pub fn backend<B: Backend + 'static>(
        mut self,
        kind: &str,
        maker: impl Fn() -> Result<B, String> + Send + Sync + 'static,
    ) -> Self {
        self.backends.add(kind, maker);
        self
    }

    /// Reads the program's arguments and does what they ask. Call it before anything else in `main`: each run of a
    /// scenario is this program started again.
    ///
    /// Exit codes: 0 everything held, 1 something was violated, 2 bad input or nothing to run, 3 the harness or a
    /// backend failed, 4 too little evidence.
    pub fn main(self) -> ExitCode {
        if let Some(code) = run_child_if_asked(&self.plugins).or_else(|| run_check_if_asked(&self.plugins)) {
            return code;
        }
        let arguments = match Arguments::read(&std::env::args_os().collect::<Vec<_>>()) {
            Ok(arguments) => arguments,
            Err(error) => {
                // A closed pipe is no reason to fail: whoever asked for help has read enough.
                let _ = error.print();
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
        };
        let output = Output::new();
        let result = match &arguments.command {
            Command::Run(asked) => run::run(asked, &self.plugins, &self.backends, &output),
            Command::Replay(asked) => replay::run(asked, &self.plugins, &output),
            Command::Check(asked) => check::run(asked, &self.plugins, &output),
            Command::List(asked) => list::run(asked, &self.plugins, &output),
            Command::Doctor(asked) => doctor::run(asked, &output),
            Command::Verify(asked) => verify::run(asked, &self.plugins, &self.backends, &output),
            Command::Spec(asked) => spec::run(asked, &output),
            Command::BenchReport(asked) => bench_report::run(asked, &output),
            Command::Proxy(asked) => proxy::run(asked, &output),
            Command::Serve(asked) => serve::run(asked, &output),
            Command::Trace(asked) => trace::run(asked, &self.plugins, &output),
        };
        match result {
            Ok(code) => ExitCode::from(code),
            Err(stop) => {
                stop.show(&output);
                ExitCode::from(stop.exit_code())
            }
        }
    }
}

impl Default for Cli {
    fn default() -> Self {
        Self::new()
    }
}
