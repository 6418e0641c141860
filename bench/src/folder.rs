//! Where bench targets that are not criterion's leave their figures. It knows none of them.

use std::fs;
use std::io;
use std::path::PathBuf;

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
