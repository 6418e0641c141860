//! One check at one seed, in a process of its own: what is asked, and what comes of it.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shaketable_sim::history::Event;
use shaketable_sim::run::{Purpose, serve_child};
use shaketable_stack::plugin::Plugins;

use super::simulated;
use crate::Finding;

/// What a process of its own is asked to check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckJob {
    /// The requirement.
    pub id: String,
    /// The plugin.
    pub plugin: String,
    /// Plugins of other interfaces, by interface, that are used instead of those of the reference.
    pub beside: Vec<(String, String)>,
    /// Decides everything that is left open.
    pub seed: u64,
    /// Name of the engine.
    pub engine: String,
    /// Name of the weather.
    pub weather: String,
}

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Nothing, or why it did not pass.
    pub finding: Option<Finding>,
    /// The last events before a finding; empty when there is none.
    pub events: Vec<Event>,
    /// How long the world ran, in its own time.
    pub took: Duration,
}

impl CheckReport {
    pub(super) fn broken(why: impl Into<String>) -> Self {
        Self { finding: Some(Finding::Broke(why.into())), events: Vec::new(), took: Duration::ZERO }
    }
}

/// Checks what a parent process of this program has asked for, if it has. To be called first in `main`, as
/// [`shaketable_sim::run::run_child_if_asked`].
pub fn run_check_if_asked(plugins: &Plugins) -> Option<ExitCode> {
    let plugins = Arc::new(plugins.clone());
    serve_child(Purpose::Check, |input| {
        let checked = std::panic::catch_unwind(AssertUnwindSafe(|| match serde_json::from_slice::<CheckJob>(input) {
            Ok(job) => simulated::run(&job, &plugins),
            Err(error) => CheckReport::broken(format!("failed to read the job: {error}")),
        }));
        checked.unwrap_or_else(|_| CheckReport::broken("the check's process panicked; see above"))
    })
}
