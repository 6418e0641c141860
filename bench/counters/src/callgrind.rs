//! Instructions, counted by callgrind of valgrind, which runs a program on a processor of its own making. It knows its options
//! and the file that it writes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::child::run;
use crate::meter::COUNT;

/// It is some fifty times as slow as the processor.
const TIMEOUT: Duration = Duration::from_secs(180);

/// The function within which it counts, under whatever name the compiler has made of it.
const WITHIN: &str = "*measured_by_callgrind*";

/// Keeps the C library to the copies that every processor of a kind has: those that it would choose are the processor's own,
/// and so would be their number of instructions. See "Hardware Capability Tunables" in glibc's manual.
const TUNABLES: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-SSSE3,-Fast_Unaligned_Copy",
);

/// Whether there is a valgrind.
///
/// # Errors
/// How it can be had.
pub fn is_there() -> Result<(), String> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("valgrind").is_file()));
    if found { Ok(()) } else { Err("no valgrind on the PATH, which counts instructions: install it".to_owned()) }
}

/// Instructions of `work`.
///
/// # Errors
/// What went wrong, with what valgrind or the work said.
pub fn instructions(work: &str) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program has no path: {error}"))?;
    let folder = tempfile::tempdir().map_err(|error| format!("no directory for callgrind: {error}"))?;
    let file = folder.path().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command.args([
        "--tool=callgrind",
        &format!("--toggle-collect={WITHIN}"),
        &format!("--callgrind-out-file={}", file.display()),
    ]);
    command.env(TUNABLES.0, TUNABLES.1);
    run(command.arg(program).args([COUNT, work]), TIMEOUT)?;
    read(&file).map_err(|error| format!("{work}: {error}"))
}

fn read(file: &Path) -> Result<u64, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("callgrind has written nothing: {error}"))?;
    match total(&text) {
        Some(0) => Err("callgrind has not seen the work begin: is the program stripped of its symbols?".to_owned()),
        Some(instructions) => Ok(instructions),
        None => Err("callgrind tells no total".to_owned()),
    }
}

/// What callgrind's file says of all that was counted; see the manual's "Callgrind Format Specification".
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn a_total_is_the_first_number_of_its_line() {
        assert_eq!(total("# callgrind format\nevents: Ir\n\nfn=(1) main\n1 7\n\ntotals: 1234\n"), Some(1_234));
        assert_eq!(total("events: Ir\nsummary: 0\n"), Some(0));
        assert_eq!(total("events: Ir\n"), None);
    }
}
