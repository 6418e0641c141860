//! The main function of a test target without a harness: each case of the scenario files is a test of its own, named
//! and reported as `cargo test` users know it. It knows nothing of plugins or engines beyond their names.

mod session;

use std::path::PathBuf;
use std::process::ExitCode;

use shaketable_sim::run::run_child_if_asked;
use shaketable_stack::plugin::Plugins;

use session::Session;

use crate::harness::Arguments;

/// Scenario files as a test target; the plugins of a stranger beside the reference ones.
///
/// The target says `harness = false`, and its `main` does nothing before it calls [`main`](Self::main): each run is
/// this program started again. The program understands the words that `cargo test` users know: a part of a test's name,
/// `--exact`, `--skip`, `--list`, and `replay TOKEN` as a failure's last line says.
#[derive(Clone, Debug)]
pub struct Shake {
    plugins: Plugins,
    files: Vec<PathBuf>,
    seeds: Option<u32>,
}

shaketable_stack::plugin_methods!(Shake);

impl Shake {
    /// The reference plugins and no scenario yet.
    pub fn new() -> Self {
        Self { plugins: Plugins::reference(), files: Vec::new(), seeds: None }
    }

    /// Adds scenario files, or folders with them; names are relative to the package, where `cargo test` runs tests.
    #[must_use]
    pub fn scenario_files(mut self, files: &[&str]) -> Self {
        self.files.extend(files.iter().map(PathBuf::from));
        self
    }

    /// Runs seeds 0 to `count - 1` of each case, instead of as many as its file asks for. The environment variable
    /// `SHAKETABLE_SEEDS` wins over this.
    #[must_use]
    pub fn seeds(mut self, count: u32) -> Self {
        self.seeds = Some(count);
        self
    }

    /// Runs what the arguments ask for and prints what came of it.
    ///
    /// Exit codes: 0 everything held, 1 something was violated, 2 bad input or nothing to run, 3 the harness or a
    /// backend failed, 4 too little evidence.
    pub fn main(self) -> ExitCode {
        if let Some(code) = run_child_if_asked(&self.plugins) {
            return code;
        }
        let arguments = match Arguments::read(std::env::args().skip(1)) {
            Ok(arguments) => arguments,
            Err(text) => {
                eprintln!("error: {text}");
                return ExitCode::from(2);
            }
        };
        let session = Session { plugins: &self.plugins, files: &self.files, seeds: self.seeds, arguments: &arguments };
        match session.run() {
            Ok(code) => ExitCode::from(code),
            Err(text) => {
                eprintln!("{text}");
                ExitCode::from(2)
            }
        }
    }
}

impl Default for Shake {
    fn default() -> Self {
        Self::new()
    }
}
