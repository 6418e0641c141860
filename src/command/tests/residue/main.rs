//! Nothing is left behind by what people run: the program in its ways, and tests on real servers. Each is run to a good end
//! and to a bad one, interrupted and killed in the middle of its work, and neither processes nor containers, networks, volumes,
//! files and directories are left soon after; but logs of what has failed, which it names. What is left on purpose is found.
#![expect(clippy::disallowed_methods, reason = "processes live in real time")]

#[path = "../../../../fixtures/tests/common/mod.rs"]
mod common;
mod leaks;
mod part;
mod rows;
mod way;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::Arguments;

/// How long all may take to be gone.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

/// How many are tried side by side: they wait most of the time.
const SIDE_BY_SIDE: usize = 8;

fn main() -> ExitCode {
    if let Some(code) = part::played_if_asked() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
    let mut trials = leaks::trials();
    trials.extend(rows::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}
