//! What the figures were measured on and with.

use std::error::Error;
use std::fs;
use std::process::Command;

use crate::step::root;

/// Those whose versions matter for the figures.
const PEERS: [&str; 6] = ["turmoil", "turmoil-net", "tonic", "hyper", "h2", "tokio"];

/// One line for the machine and the compiler, one for the versions.
///
/// # Errors
/// When there is no compiler or no lock file.
pub(super) fn describe() -> Result<Vec<String>, Box<dyn Error>> {
    let cores = std::thread::available_parallelism()?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output()?.stdout;
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    let peers: Vec<String> = PEERS.iter().filter_map(|peer| Some(format!("{peer} {}", locked(&lock, peer)?))).collect();
    let version = String::from_utf8_lossy(&version);
    Ok(vec![format!("{cores} cores, {}, {}", processor(), version.trim()), peers.join(", ")])
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// The version of `name` in the text of a lock file.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::locked;

    #[test]
    fn a_version_is_the_one_that_is_locked() {
        let lock = "[[package]]\nname = \"tonic-prost\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"tonic\"\nversion = \"0.14.9\"\n";
        assert_eq!(locked(lock, "tonic"), Some("0.14.9"));
        assert_eq!(locked(lock, "hyper"), None);
    }
}
