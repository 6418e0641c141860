//! Where bench targets that are not criterion's leave their figures. It knows none of them.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::json;

/// The folder `bench` in the build folder, beside criterion's, where `cargo xtask figures` looks. It is made when there is
/// none.
///
/// # Errors
/// When this program does not lie in `<build folder>/release/deps`, where cargo puts bench targets, or the folder cannot
/// be made.
pub fn folder() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).ok_or_else(|| io::Error::other("this program lies in no build folder"))?;
    let folder = target.join("bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Keeps what turns of `event` and `peer` in `group` have brought, for `cargo xtask figures`: how many times as fast as `peer`
/// `event` was in each. A bench that was left out by a filter had no turns, and what was kept before stays.
///
/// # Errors
/// Those of [`folder`], and when the file cannot be written.
pub fn keep_turns(group: &str, peer: &str, times_as_fast: &[f64]) -> io::Result<()> {
    if times_as_fast.is_empty() {
        return Ok(());
    }
    let turns = folder()?.join("turns");
    fs::create_dir_all(&turns)?;
    let text = json!({ "group": group, "peer": peer, "times_as_fast": times_as_fast }).to_string();
    fs::write(turns.join(format!("{}-{peer}.json", group.replace('/', "-"))), text)
}
