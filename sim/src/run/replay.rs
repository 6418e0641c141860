//! One run again, as a token says: the same scenario, seed, engine, overrides and build, or nothing at all.

use std::path::Path;
use std::time::Duration;

use shaketable_stack::plugin::Plugins;

use super::cases::cases_of;
use super::result::SweepReport;
use super::sweep::{Seeds, SweepRequest, sweep};
use super::token::Token;
use crate::engine;
use crate::scenario::Overrides;

/// Replays the run of `token` with the scenario file at `path`; it is ended after `run_timeout` of real time.
///
/// # Errors
/// What does not match or cannot be read, with the mend; nothing has run then.
pub fn replay(token: &Token, path: &Path, plugins: &Plugins, run_timeout: Duration) -> Result<SweepReport, String> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| format!("failed to read {file}: {error}"))?;
    token.check(&file, &text)?;
    let engine =
        engine::engine(&token.engine).ok_or_else(|| format!("this program has no engine '{}'", token.engine))?;
    let set: Overrides = token.overrides.parse()?;
    let loaded = cases_of(&file, &text, &set, plugins, &engine).map_err(|problems| problems.to_string())?;
    if let Some(left_out) = loaded.left_out.first() {
        return Err(left_out.clone());
    }
    let cases = loaded.cases;
    if cases.len() != 1 {
        return Err(format!("the token leaves {} cases of {file} open, a run is one; it was changed", cases.len()));
    }
    let request = SweepRequest {
        cases,
        seeds: Seeds::One(token.seed),
        engine: token.engine.clone(),
        jobs: 1,
        run_timeout,
        time_limit: None,
        fail_fast: false,
        keep: false,
    };
    Ok(sweep(&request, &mut |_| {}))
}
