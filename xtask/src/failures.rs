//! What tests said that failed, kept out of all that they printed.

use std::fmt;

/// How much is kept of what one program of tests says of its failures.
const LINES_OF_ONE: usize = 120;

/// Reads what `cargo test` prints, line by line.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// What one program says, and how many lines of it were left out.
    programs: Vec<(Vec<String>, usize)>,
    is_inside: bool,
}

impl Failures {
    /// The next line.
    pub(crate) fn take(&mut self, line: String) {
        let is_verdict = line.starts_with("test result: ");
        if !self.is_inside && line == "failures:" {
            self.is_inside = true;
            self.programs.push((Vec::new(), 0));
        }
        if let Some((lines, left_out)) = self.programs.last_mut().filter(|_| self.is_inside) {
            if lines.len() < LINES_OF_ONE || is_verdict {
                lines.push(line);
            } else {
                *left_out += 1;
            }
        }
        self.is_inside &= !is_verdict;
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (lines, left_out) in &self.programs {
            for line in lines {
                writeln!(formatter, "{line}")?;
            }
            if *left_out > 0 {
                writeln!(formatter, "({left_out} more lines stand above)")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Failures, LINES_OF_ONE};

    fn shown<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
        let mut failures = Failures::default();
        lines.into_iter().for_each(|line| failures.take(line.to_owned()));
        failures.to_string()
    }

    #[test]
    fn what_failed_is_kept_with_its_verdict_and_nothing_else() {
        let failed =
            ["failures:", "", "---- a stdout ----", "why", "", "failures:", "    a", "", "test result: FAILED."];
        let passed = ["running 1 test", "test b ... ok", "test result: ok. 1 passed"];
        let all = passed.into_iter().chain(failed).chain(passed).chain(failed).chain(passed);
        let once = failed.map(|line| format!("{line}\n")).concat();
        assert_eq!(shown(all), once.repeat(2));
        assert_eq!(shown(passed), "");
    }

    #[test]
    fn what_is_long_is_cut_and_its_verdict_is_not() {
        let long = vec!["failures:"].into_iter().chain(vec!["x"; LINES_OF_ONE + 9]).chain(["test result: FAILED."]);
        let shown = shown(long);
        assert!(shown.ends_with("test result: FAILED.\n(10 more lines stand above)\n"), "{shown}");
        assert_eq!(shown.lines().count(), LINES_OF_ONE + 2);
    }
}
