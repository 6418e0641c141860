//! A test target without libtest's harness: names tests, runs those that are asked for, and prints as libtest does. It knows
//! neither scenarios nor requirements. Whether a test is ignored is known when tests are listed, because runners such as
//! cargo-nextest show what finds out later as passed.

mod arguments;

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

pub(crate) use arguments::Arguments;

/// A test.
pub(crate) struct Test<T> {
    /// Its name.
    pub(crate) name: String,
    /// Why it cannot be run here.
    pub(crate) ignored: Option<String>,
    /// What it is about.
    pub(crate) subject: T,
}

/// How a test ended.
pub(crate) struct Ended {
    /// Whether nothing is to be complained of.
    pub(crate) passed: bool,
    /// In a word or two: what `ok` or `FAILED` is followed by, in brackets.
    pub(crate) word: Option<String>,
    /// Printed below the test's line.
    pub(crate) lines: String,
    /// Printed at the end, when it has not passed.
    pub(crate) details: String,
    /// The program's exit code is the largest of them.
    pub(crate) exit_code: u8,
}

/// Lists or runs the tests that `arguments` choose; the exit code.
pub(crate) fn run<T>(tests: &[Test<T>], arguments: &Arguments, mut work: impl FnMut(&T) -> Ended) -> u8 {
    let chosen: Vec<&Test<T>> = tests.iter().filter(|test| arguments.chooses(&test.name)).collect();
    if arguments.list {
        list(&chosen, arguments);
        return 0;
    }
    if let ([test], true) = (chosen.as_slice(), arguments.exact && arguments.ignored)
        && let Some(reason) = &test.ignored
    {
        // Whoever asks for this one by name must not take it for passed.
        eprintln!("error: {} cannot be run: {reason}", test.name);
        return 2;
    }
    let started = now();
    let mut failures = Vec::new();
    let (mut passed, mut ignored, mut left_out, mut exit_code) = (0_usize, 0_usize, tests.len() - chosen.len(), 0);
    let (to_ignore, to_run): (Vec<&Test<T>>, Vec<&Test<T>>) =
        chosen.into_iter().partition(|test| test.ignored.is_some());
    let to_run = if arguments.ignored {
        left_out += to_run.len();
        Vec::new()
    } else {
        to_run
    };
    let total = to_ignore.len() + to_run.len();
    print(&format!("\nrunning {total} test{}\n", if total == 1 { "" } else { "s" }));
    for test in to_ignore {
        ignored += 1;
        print(&format!("test {} ... ignored, {}\n", test.name, test.ignored.as_deref().unwrap_or_default()));
    }
    for test in to_run {
        print(&format!("test {} ... ", test.name));
        let ended = work(&test.subject);
        let word = ended.word.map(|word| format!(" ({word})")).unwrap_or_default();
        print(&format!("{}{word}\n{}", if ended.passed { "ok" } else { "FAILED" }, ended.lines));
        exit_code = exit_code.max(ended.exit_code);
        if ended.passed {
            passed += 1;
        } else {
            failures.push((&test.name, ended.details));
        }
    }
    print_failures(&failures);
    print(&format!(
        "\ntest result: {}. {passed} passed; {} failed; {ignored} ignored; 0 measured; {left_out} filtered out; finished in \
         {:.2}s\n\n",
        if failures.is_empty() { "ok" } else { "FAILED" },
        failures.len(),
        started.elapsed().as_secs_f64(),
    ));
    exit_code
}

/// As libtest does it: with `--ignored` those that would be ignored, and otherwise all of them.
fn list<T>(chosen: &[&Test<T>], arguments: &Arguments) {
    let mut names = String::new();
    for test in chosen.iter().filter(|test| !arguments.ignored || test.ignored.is_some()) {
        let _ = writeln!(names, "{}: test", test.name);
    }
    print(&names);
}

fn print_failures(failures: &[(&String, String)]) {
    if failures.is_empty() {
        return;
    }
    print("\nfailures:\n");
    for (name, details) in failures {
        print(&format!("\n---- {name} ----\n{details}"));
    }
    let names: String = failures.iter().map(|(name, _)| format!("    {name}\n")).collect();
    print(&format!("\nfailures:\n{names}"));
}

/// A reader that has gone away ends no test.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// How many seeds the environment asks for.
///
/// # Errors
/// A sentence when it is no number.
pub(crate) fn seeds_of_environment() -> Result<Option<u32>, String> {
    let Ok(text) = std::env::var("SHAKETABLE_SEEDS") else { return Ok(None) };
    let count = text.parse::<u32>().ok().filter(|count| *count > 0);
    count
        .map(Some)
        .ok_or_else(|| format!("error: SHAKETABLE_SEEDS is '{text}'; it must be a number of seeds, such as 20"))
}

#[expect(clippy::disallowed_methods, reason = "the time that a person waits is real; it reaches no verdict")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
