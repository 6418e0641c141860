//! What every command that reads scenarios is given: files, an engine, and what is set differently.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use shaketable_sim::engine::{self, EngineInfo, live};
use shaketable_sim::run::{Case, LoadError, load_cases};
use shaketable_sim::scenario::{Overrides, duration};
use shaketable_stack::plugin::Plugins;

use crate::{Output, Stop};

/// Where the stack stands.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the simulator
    Simulated,
    /// On real machines
    Live,
}

/// Scenarios and how they are to be understood.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// Scenario files, or folders with them (every *.yaml in them)
    #[arg(required = true, value_name = "FILES")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: TargetSettings,
}

/// How scenarios are to be understood.
#[derive(Args, Clone, Debug)]
pub(crate) struct TargetSettings {
    /// Use other plugins than the file says, such as registry=etcd,broker=memory
    #[arg(long, value_name = "INTERFACE=PLUGIN", default_value = "", hide_default_value = true)]
    pub(crate) set: Overrides,
    /// What carries the simulated world; `list --engines` shows all
    #[arg(long, value_name = "NAME", default_value_t = default_engine(), value_parser = known_engine)]
    pub(crate) engine: String,
}

impl TargetSettings {
    /// The engine.
    pub(crate) fn engine(&self) -> Result<EngineInfo, Stop> {
        engine::engine(&self.engine).ok_or_else(|| Stop::BadInput(format!("no engine is called '{}'", self.engine)))
    }

    /// The cases of `files`, checked; warnings go to standard error.
    pub(crate) fn load(&self, files: &[PathBuf], plugins: &Plugins, output: &Output) -> Result<Vec<Case>, Stop> {
        self.load_for(&self.engine()?, files, plugins, output)
    }

    /// The same for a world of that kind.
    pub(crate) fn load_in(
        &self,
        place: Place,
        files: &[PathBuf],
        plugins: &Plugins,
        output: &Output,
    ) -> Result<Vec<Case>, Stop> {
        if place == Place::Simulated {
            return self.load(files, plugins, output);
        }
        if self.engine != default_engine() {
            let engine = &self.engine;
            return Err(Stop::BadInput(format!(
                "--engine {engine} simulates, and --world live does not; leave one out"
            )));
        }
        self.load_for(&live::info(), files, plugins, output)
    }

    /// The same for `engine`.
    pub(crate) fn load_for(
        &self,
        engine: &EngineInfo,
        files: &[PathBuf],
        plugins: &Plugins,
        output: &Output,
    ) -> Result<Vec<Case>, Stop> {
        let loaded =
            load_cases(files, &self.set, plugins, engine).map_err(|error| stop(&error, output.colours_errors()))?;
        for problems in &loaded.warnings {
            output.problems(&problems.render(output.colours_errors()));
        }
        for left_out in &loaded.left_out {
            output.problems(&format!("note: {left_out}"));
        }
        Ok(loaded.cases)
    }
}

impl Target {
    /// The cases, checked; warnings go to standard error.
    pub(crate) fn load(&self, plugins: &Plugins, output: &Output) -> Result<Vec<Case>, Stop> {
        self.settings.load(&self.files, plugins, output)
    }
}

fn stop(error: &LoadError, colour: bool) -> Stop {
    match error {
        LoadError::Wrong(files) => {
            let files: Vec<String> = files.iter().map(|problems| problems.render(colour)).collect();
            Stop::WrongFiles(files.join("\n"))
        }
        LoadError::Unreadable(text) | LoadError::Nothing(text) => Stop::BadInput(text.clone()),
    }
}

/// Reads a time span such as `5m`.
pub(crate) fn time_span(text: &str) -> Result<Duration, String> {
    duration::parse(text)
}

pub(crate) fn default_engine() -> String {
    engine::default_engine().name.to_owned()
}

pub(crate) fn known_engine(name: &str) -> Result<String, String> {
    let engines = engine::engines();
    if engines.iter().any(|engine| engine.name == name) {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = engines.iter().map(|engine| engine.name).collect();
    Err(format!("there are: {}", names.join(", ")))
}
