//! What a work came to, by the name of what was counted.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Numbers by what they count, such as `allocations`. Of each, less is better.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Adds what was counted.
    pub fn add(&mut self, what: &str, count: u64) {
        self.0.insert(what.to_owned(), count);
    }

    /// How many there were; `None` when that was not counted.
    pub fn of(&self, what: &str) -> Option<u64> {
        self.0.get(what).copied()
    }

    /// How these differ from what is `committed`, a sentence for each; a difference by a share of `band` is none.
    pub fn differences(&self, committed: &Self, band: f64) -> Vec<String> {
        let mut names: Vec<&String> = self.0.keys().chain(committed.0.keys()).collect();
        names.sort();
        names.dedup();
        let difference = |what: &String| match (self.of(what), committed.of(what)) {
            (Some(found), Some(wanted)) if found.abs_diff(wanted) as f64 <= band * wanted as f64 => None,
            (Some(found), Some(wanted)) if found > wanted => {
                Some(format!("{found} {what}, {} more than the {wanted} that are committed", found - wanted))
            }
            (Some(found), Some(wanted)) => {
                Some(format!("{found} {what}, {} fewer than the {wanted} that are committed", wanted - found))
            }
            (Some(found), None) => Some(format!("{found} {what}, of which none are committed")),
            (None, wanted) => Some(format!("no {what} were counted, and {} are committed", wanted.unwrap_or_default())),
        };
        names.into_iter().filter_map(difference).collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.0.iter().map(|(what, count)| format!("{count} {what}")).collect();
        formatter.write_str(&counts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    fn counts(all: &[(&str, u64)]) -> Counts {
        let mut counts = Counts::default();
        all.iter().for_each(|(what, count)| counts.add(what, *count));
        counts
    }

    #[test]
    fn the_same_counts_do_not_differ_and_others_do_in_either_direction() {
        let committed = counts(&[("allocations", 10), ("requests", 3)]);
        assert!(committed.differences(&committed, 0.0).is_empty());
        assert_eq!(
            counts(&[("allocations", 11), ("requests", 2)]).differences(&committed, 0.0),
            [
                "11 allocations, 1 more than the 10 that are committed",
                "2 requests, 1 fewer than the 3 that are committed"
            ]
        );
        assert_eq!(
            counts(&[("allocations", 10), ("bytes", 7)]).differences(&committed, 0.0),
            ["7 bytes, of which none are committed", "no requests were counted, and 3 are committed"]
        );
    }

    #[test]
    fn a_band_lets_pass_what_lies_within_it() {
        let committed = counts(&[("instructions", 1_000)]);
        for (found, differs) in [(995, false), (1_005, false), (994, true), (1_006, true)] {
            assert_eq!(
                !counts(&[("instructions", found)]).differences(&committed, 0.005).is_empty(),
                differs,
                "{found}"
            );
        }
        // Nothing is no band wide.
        assert!(!counts(&[("instructions", 1)]).differences(&counts(&[("instructions", 0)]), 0.005).is_empty());
    }
}
