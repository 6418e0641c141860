//! The file of known failures: what an author knows to be wrong, by id, with the reason and a date until which that is
//! accepted. An entry that is not true any more is an error, so that the file cannot rot.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::by_id;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownFailures {
    entries: BTreeMap<String, Known>,
}

/// One known failure.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The requirement's id.
    pub id: String,
    /// Why it is not upheld.
    pub reason: String,
    /// Where that is followed up.
    #[serde(default)]
    pub issue: Option<String>,
    /// The last day on which it is accepted, as in `2027-03-01`.
    #[serde(default)]
    pub until: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    known_failures: Vec<Known>,
}

impl KnownFailures {
    /// Reads `text`, the contents of the file called `file`.
    ///
    /// # Errors
    /// What is wrong with it, with the place and the mend.
    pub fn parse(file: &str, text: &str) -> Result<Self, String> {
        let read: File = serde_saphyr::from_str(text).map_err(|error| {
            format!(
                "{file}: {error}\n  mend: a known failure is written as\n    known_failures:\n      - id: REG-012\n        \
                 reason: the backend has no …\n        issue: https://…   (optional)\n        until: 2027-03-01  (optional)"
            )
        })?;
        let mut entries = BTreeMap::new();
        for known in read.known_failures {
            let line = line_of(text, &known.id);
            if by_id(&known.id).is_none() {
                return Err(format!(
                    "{file}:{line}: no requirement is called '{}'; `shaketable spec` shows those that there are",
                    known.id
                ));
            }
            if let Some(until) = known.until.as_deref().filter(|until| !is_date(until)) {
                return Err(format!("{file}:{line}: 'until: {until}' is no date; write it as 2027-03-01"));
            }
            if known.reason.trim().is_empty() {
                return Err(format!("{file}:{line}: {} has no reason; say why it fails", known.id));
            }
            if let Some(twice) = entries.insert(known.id.clone(), known) {
                return Err(format!("{file}:{line}: {} is there twice; keep one of them", twice.id));
            }
        }
        Ok(Self { entries })
    }

    /// What is known of the requirement called `id`.
    pub fn get(&self, id: &str) -> Option<&Known> {
        self.entries.get(id)
    }
}

impl Known {
    /// Whether it is no longer accepted on the day `today`, written as in `2027-03-01`.
    pub fn has_expired(&self, today: &str) -> bool {
        // Dates of this form are in the order of their texts.
        self.until.as_deref().is_some_and(|until| until < today)
    }

    /// The reason, with where it is followed up.
    pub fn in_words(&self) -> String {
        let issue = self.issue.as_ref().map(|issue| format!(" ({issue})")).unwrap_or_default();
        format!("{}{issue}", self.reason)
    }
}

/// The date, as in `2026-11-21`, in universal time.
#[expect(clippy::disallowed_methods, reason = "an entry expires by the real date")]
pub fn today() -> String {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}

/// The line on which `id` is named for the last time, from 1.
fn line_of(text: &str, id: &str) -> usize {
    let lines = text.lines().enumerate().filter(|(_, line)| line.contains(id));
    lines.map(|(index, _)| index + 1).last().unwrap_or(1)
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let number = |text: &str, digits: usize| (text.len() == digits).then(|| text.parse::<u32>().ok()).flatten();
    number(year, 4).is_some()
        && number(month, 2).is_some_and(|month| (1..=12).contains(&month))
        && number(day, 2).is_some_and(|day| (1..=31).contains(&day))
}

#[cfg(test)]
mod tests {
    use super::KnownFailures;

    const FILE: &str = "known_failures:\n  - id: REG-001\n    reason: why not\n    until: 2027-03-01\n";

    #[test]
    fn an_entry_is_read_and_expires_the_day_after() {
        let known = KnownFailures::parse("known.yaml", FILE).unwrap();
        let entry = known.get("REG-001").unwrap();
        assert!(!entry.has_expired("2027-03-01"));
        assert!(entry.has_expired("2027-03-02"));
        assert_eq!(known.get("REG-002"), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_the_mend() {
        for (wrong, told) in [
            (FILE.replace("REG-001", "REG-999"), "known.yaml:2: no requirement is called 'REG-999'"),
            (FILE.replace("2027-03-01", "soon"), "known.yaml:2: 'until: soon' is no date"),
            (FILE.replace("why not", "''"), "REG-001 has no reason"),
            (format!("{FILE}  - id: REG-001\n    reason: again\n"), "known.yaml:5: REG-001 is there twice"),
            (FILE.replace("reason", "raeson"), "raeson"),
            ("a: 1".to_owned(), "mend: a known failure is written as"),
        ] {
            let text = KnownFailures::parse("known.yaml", &wrong).unwrap_err();
            assert!(text.contains(told), "{text}");
        }
    }
}
