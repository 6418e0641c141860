//! How far a check goes before it says that a requirement is broken, in words. The numbers come from the constants by which
//! the checks judge, so that what is written and what is done cannot differ.

use std::time::Duration;

/// A time that is another one in the simulator than on real machines, where schedulers add theirs and a person waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByWorld {
    pub(crate) simulated: Duration,
    pub(crate) live: Duration,
}

impl ByWorld {
    /// So many times as long.
    pub(crate) const fn times(self, factor: u32) -> Self {
        Self { simulated: self.simulated.saturating_mul(factor), live: self.live.saturating_mul(factor) }
    }

    /// So much longer.
    pub(crate) const fn after(self, time: Duration) -> Self {
        Self { simulated: time.saturating_add(self.simulated), live: time.saturating_add(self.live) }
    }
}

/// What a sentence can say.
pub(crate) trait InWords {
    fn in_words(&self) -> String;
}

impl InWords for Duration {
    fn in_words(&self) -> String {
        let (seconds, millis) = (self.as_secs(), self.subsec_millis());
        match (seconds, millis) {
            (30, 0) => "half a minute".to_owned(),
            (0, millis) => format!("{millis} milliseconds"),
            (seconds, 0) if seconds % 60 == 0 => counted(seconds / 60, "minute"),
            (seconds, 0) => counted(seconds, "second"),
            (seconds, millis) => format!("{} seconds", format!("{seconds}.{millis:03}").trim_end_matches('0')),
        }
    }
}

impl InWords for ByWorld {
    fn in_words(&self) -> String {
        if self.simulated == self.live {
            return self.live.in_words();
        }
        format!("{} ({} in the simulator)", self.live.in_words(), self.simulated.in_words())
    }
}

impl InWords for usize {
    fn in_words(&self) -> String {
        in_letters(*self as u64)
    }
}

impl InWords for f64 {
    fn in_words(&self) -> String {
        self.to_string()
    }
}

impl InWords for u64 {
    fn in_words(&self) -> String {
        in_letters(*self)
    }
}

fn counted(count: u64, unit: &str) -> String {
    if count == 1 { format!("a {unit}") } else { format!("{} {unit}s", in_letters(count)) }
}

fn in_letters(number: u64) -> String {
    const LETTERS: [&str; 13] =
        ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    match number {
        15 => "fifteen".to_owned(),
        20 => "twenty".to_owned(),
        _ => {
            let letters = usize::try_from(number).ok().and_then(|number| LETTERS.get(number));
            letters.map_or_else(|| number.to_string(), |letters| (*letters).to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ByWorld, InWords};
    use crate::{Interface, requirements};

    #[test]
    fn times_read_as_in_a_sentence() {
        let check = |millis, expected: &str| assert_eq!(Duration::from_millis(millis).in_words(), expected);
        check(500, "500 milliseconds");
        check(1_000, "a second");
        check(2_500, "2.5 seconds");
        check(4_000, "four seconds");
        check(30_000, "half a minute");
        check(60_000, "a minute");
        check(90_000, "90 seconds");
        check(300_000, "five minutes");
        let two = ByWorld { simulated: Duration::from_secs(2), live: Duration::from_secs(4) };
        assert_eq!(two.in_words(), "four seconds (two seconds in the simulator)");
        assert_eq!(two.after(Duration::from_secs(1)).times(2).in_words(), "ten seconds (six seconds in the simulator)");
    }

    /// The times that `sentence` names: a number in letters or digits, and a unit.
    fn named(sentence: &str) -> Vec<String> {
        let words: Vec<&str> = sentence.split([' ', ',', '.', ':', ';']).filter(|word| !word.is_empty()).collect();
        let is_number = |word: &str| (2..=20).any(|number| super::in_letters(number) == word);
        let mut times = Vec::new();
        for pair in words.windows(2) {
            if matches!(pair[1], "seconds" | "minutes") && is_number(pair[0]) || pair == ["a", "minute"] {
                times.push(pair.join(" "));
            }
        }
        if sentence.contains("half a minute") {
            times.retain(|time| time != "a minute");
            times.push("half a minute".to_owned());
        }
        times
    }

    #[test]
    fn a_time_in_a_sentence_is_the_one_that_its_check_waits_for() {
        for requirement in Interface::ALL.into_iter().flat_map(requirements) {
            let tolerance = requirement.tolerance().unwrap_or_default();
            for time in named(requirement.sentence) {
                assert!(tolerance.contains(&time), "{}: '{time}' is not in '{tolerance}'", requirement.id);
            }
        }
    }

    #[test]
    fn no_sentence_is_vague_about_a_time() {
        for requirement in Interface::ALL.into_iter().flat_map(requirements) {
            let sentence = requirement.sentence;
            for vague in ["bounded time", "within seconds", " soon"] {
                let is_said = !sentence.contains(vague) || requirement.tolerance().is_some();
                assert!(is_said, "{}: '{vague}' of how long? {sentence}", requirement.id);
            }
        }
    }
}
