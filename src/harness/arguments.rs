//! The words that `cargo test` passes on, as far as they mean something here. What libtest knows and this does not need
//! is accepted; what nobody knows is refused.

use std::num::NonZeroUsize;
use std::path::PathBuf;

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Parts of names; a test with one of them is run, all without any.
    pub(crate) filters: Vec<String>,
    /// Parts of names that are left out.
    pub(crate) skip: Vec<String>,
    /// Filters are whole names.
    pub(crate) exact: bool,
    /// Only name the tests.
    pub(crate) list: bool,
    /// Run only this seed.
    pub(crate) seed: Option<u64>,
    /// Print the digest of every run.
    pub(crate) digests: bool,
    /// Runs at once.
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Replay this token; the file where the line names one.
    pub(crate) replay: Option<(String, Option<String>)>,
    /// Only tests that cannot be run here are asked for.
    pub(crate) ignored: bool,
    /// Only requirements of these ids.
    pub(crate) only: Vec<String>,
    /// Run in this weather alone.
    pub(crate) weather: Option<String>,
    /// Where results are written.
    pub(crate) out: Option<PathBuf>,
    /// A SHOULD counts as a MUST.
    pub(crate) strict: bool,
}

impl Arguments {
    /// Reads the program's arguments, without its name.
    ///
    /// # Errors
    /// A sentence with the mend.
    pub(crate) fn read(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self::default();
        let mut words = words.into_iter();
        let mut first = true;
        while let Some(word) = words.next() {
            let (name, mut value) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (word, None),
            };
            let mut needed =
                |name: &str| value.take().or_else(|| words.next()).ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "replay" if first => {
                    let token = needed("replay")?;
                    arguments.replay = Some((token, words.next()));
                }
                "--list" => arguments.list = true,
                "--exact" => arguments.exact = true,
                "--digests" => arguments.digests = true,
                "--seed" => {
                    let seed = needed("--seed")?;
                    arguments.seed = Some(seed.parse().map_err(|_| format!("--seed takes a number, not '{seed}'"))?);
                }
                "--only" => {
                    let ids = needed("--only")?;
                    arguments.only.extend(ids.split(',').map(str::to_owned));
                }
                "--weather" => {
                    let weather = needed("--weather")?;
                    arguments.weather = Some(weather);
                }
                "--out" => {
                    let out = needed("--out")?;
                    arguments.out = Some(out.into());
                }
                "--strict" => arguments.strict = true,
                "--ignored" => arguments.ignored = true,
                "--skip" => {
                    let skip = needed("--skip")?;
                    arguments.skip.push(skip);
                }
                "--test-threads" => {
                    let count = needed("--test-threads")?;
                    let count = count.parse().map_err(|_| format!("--test-threads takes a number, not '{count}'"))?;
                    arguments.jobs = Some(count);
                }
                "--format" | "--color" | "-Z" | "--logfile" => drop(needed(&name)?),
                "--nocapture" | "--no-capture" | "--show-output" | "--quiet" | "-q" | "--include-ignored"
                | "--report-time" | "--bench" | "--test" => {}
                unknown if unknown.starts_with('-') => {
                    return Err(format!(
                        "there is no option '{unknown}'; there are: a part of a test's name, --exact, --skip, --list, \
                         --seed, --test-threads, --digests and `replay TOKEN` for scenarios, --only, --weather, --strict and \
                         --out for requirements"
                    ));
                }
                _ => arguments.filters.push(name),
            }
            first = false;
        }
        Ok(arguments)
    }

    /// Whether the test called `name` is asked for.
    pub(crate) fn chooses(&self, name: &str) -> bool {
        let matches = |pattern: &String| if self.exact { name == pattern } else { name.contains(pattern.as_str()) };
        let is_of = |id: &String| name.split("::").next() == Some(id.as_str());
        (self.only.is_empty() || self.only.iter().any(is_of))
            && (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skip.iter().any(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn read(words: &str) -> Result<Arguments, String> {
        Arguments::read(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_words_of_libtest_are_understood() {
        let alone = read("--seed 99 --digests").unwrap();
        assert_eq!((alone.seed, alone.digests), (Some(99), true));
        let arguments = read("churn --nocapture --test-threads=2 --skip etcd --format pretty").unwrap();
        assert_eq!((arguments.jobs.map(usize::from), arguments.filters.len()), (Some(2), 1));
        assert!(arguments.chooses("churn[registry=memory]") && !arguments.chooses("churn[registry=etcd]"));
        assert!(!read("churn --exact").unwrap().chooses("churn2"));
        let only = read("--only REG-001,REG-002").unwrap();
        assert!(only.chooses("REG-002::a_node_is_gone") && !only.chooses("REG-0021::a_node_is_gone"));
    }

    #[test]
    fn replay_is_a_command_only_in_the_first_place() {
        let replay = read("replay st1:ab tests/a.yaml").unwrap().replay;
        assert_eq!(replay, Some(("st1:ab".to_owned(), Some("tests/a.yaml".to_owned()))));
        assert_eq!(read("churn replay").unwrap().filters, ["churn", "replay"]);
        assert_eq!(read("replay").unwrap_err(), "replay needs a value");
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(read("--exat").unwrap_err().contains("no option '--exat'"));
        assert!(read("--test-threads 0").unwrap_err().contains("takes a number"));
    }
}
