//! The file of known failures: what an author knows to be wrong, by id, with the reason, the issue and a date until which that
//! is accepted. An entry that is not true any more is an error, so that the file cannot rot.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::by_id;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownFailures {
    entries: BTreeMap<String, Known>,
}

/// One known failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The requirement's id.
    pub id: String,
    /// Why it is not upheld.
    pub reason: String,
    /// Where that is followed up.
    pub issue: String,
    /// The last day on which it is accepted, as in `2027-03-01`.
    pub until: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    known_failures: Vec<Entry>,
}

/// An entry as it is written. What is missing is told with its line, which a parser cannot do of what is not there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    issue: Option<String>,
    #[serde(default)]
    until: Option<String>,
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
                 reason: the backend has no …\n        issue: https://…\n        until: 2027-03-01"
            )
        })?;
        let mut entries = BTreeMap::new();
        for entry in read.known_failures {
            let place = format!("{file}:{}", line_of(text, &entry.id));
            if by_id(&entry.id).is_none() {
                return Err(format!(
                    "{place}: no requirement is called '{}'; `shaketable spec` shows those that there are",
                    entry.id
                ));
            }
            let known = entry.complete().map_err(|wrong| format!("{place}: {wrong}"))?;
            if let Some(twice) = entries.insert(known.id.clone(), known) {
                return Err(format!("{place}: {} is there twice; keep one of them", twice.id));
            }
        }
        Ok(Self { entries })
    }

    /// What is known of the requirement called `id`.
    pub fn get(&self, id: &str) -> Option<&Known> {
        self.entries.get(id)
    }
}

impl Entry {
    fn complete(self) -> Result<Known, String> {
        let id = self.id;
        let told = |name: &str, value: Option<String>, mend: &str| {
            let value = value.filter(|value| !value.trim().is_empty());
            value.ok_or_else(|| format!("{id} has no '{name}'; {mend}"))
        };
        let reason = told("reason", self.reason, "say why it fails, as in `reason: the backend has no …`")?;
        let issue = told("issue", self.issue, "say where it is followed up, as in `issue: https://…`")?;
        let until = told("until", self.until, "say the last day on which it is accepted, as in `until: 2027-03-01`")?;
        if !is_date(&until) {
            return Err(format!("'until: {until}' is no date; write it as 2027-03-01"));
        }
        Ok(Known { id, reason, issue, until })
    }
}

impl Known {
    /// Whether it is no longer accepted on the day `today`, written as in `2027-03-01`.
    pub fn has_expired(&self, today: &str) -> bool {
        // Dates of this form are in the order of their texts.
        self.until.as_str() < today
    }

    /// The reason, with where it is followed up.
    pub fn in_words(&self) -> String {
        format!("{} ({})", self.reason, self.issue)
    }
}

/// The date, as in `2026-11-21`, in universal time.
#[expect(clippy::disallowed_methods, reason = "an entry expires by the real date")]
pub fn today() -> String {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}

/// The line on which the last entry called `id` begins, from 1.
fn line_of(text: &str, id: &str) -> usize {
    let lines = text.lines().enumerate().filter(|(_, line)| line.contains("id:") && line.contains(id));
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

    const FILE: &str =
        "known_failures:\n  - id: REG-001\n    reason: why not\n    issue: GH-7\n    until: 2027-03-01\n";

    #[test]
    fn an_entry_is_read_and_expires_the_day_after() {
        let known = KnownFailures::parse("known.yaml", FILE).unwrap();
        let entry = known.get("REG-001").unwrap();
        assert!(!entry.has_expired("2027-03-01"));
        assert!(entry.has_expired("2027-03-02"));
        assert_eq!(entry.in_words(), "why not (GH-7)");
        assert_eq!(known.get("REG-002"), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_the_mend() {
        for (wrong, told) in [
            (FILE.replace("REG-001", "REG-999"), "known.yaml:2: no requirement is called 'REG-999'"),
            (FILE.replace("2027-03-01", "soon"), "known.yaml:2: 'until: soon' is no date"),
            (FILE.replace("why not", "''"), "known.yaml:2: REG-001 has no 'reason'; say why"),
            (FILE.replace("    issue: GH-7\n", ""), "known.yaml:2: REG-001 has no 'issue'; say where"),
            (FILE.replace("GH-7", "' '"), "known.yaml:2: REG-001 has no 'issue'"),
            (FILE.replace("    until: 2027-03-01\n", ""), "known.yaml:2: REG-001 has no 'until'; say the last day"),
            (format!("{FILE}{}", &FILE["known_failures:\n".len()..]), "known.yaml:6: REG-001 is there twice"),
            (FILE.replace("reason", "raeson"), "raeson"),
            ("a: 1".to_owned(), "mend: a known failure is written as"),
        ] {
            let text = KnownFailures::parse("known.yaml", &wrong).unwrap_err();
            assert!(text.contains(told), "{text}");
        }
    }
}
