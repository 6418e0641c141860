//! What criterion has left in the build folder, and the bench of memory beside it. Nothing here knows what is wanted.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// What was measured last.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// By group and contender.
    rates: BTreeMap<(String, String), Rate>,
    /// How many times as fast as a peer `event` is, by group and peer.
    turns: BTreeMap<(String, String), f64>,
    /// What a host of engine `event` keeps in memory, in KiB.
    pub(super) kib_per_host: f64,
}

/// Elements per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    /// Of the fastest sample. A sample does the same work each time, so whatever makes one slower comes from outside: on a
    /// shared machine, mostly who else uses the core.
    pub(super) best: f64,
    /// Of the sample in the middle.
    pub(super) median: f64,
}

/// What a bench has kept of the turns that `event` and a peer took.
#[derive(Deserialize)]
struct Turns {
    group: String,
    peer: String,
    times_as_fast: Vec<f64>,
}

impl Figures {
    /// How fast `contender` was in `group`.
    ///
    /// # Errors
    /// When that was not measured.
    pub(super) fn rate(&self, group: &str, contender: &str) -> Result<Rate, String> {
        let key = (group.to_owned(), contender.to_owned());
        self.rates
            .get(&key)
            .copied()
            .ok_or_else(|| format!("no estimate of {group}/{contender}; run `cargo bench` first"))
    }

    /// How many times as fast as `peer` engine `event` was in `group`: the median of the turns that both took.
    ///
    /// # Errors
    /// When that was not measured.
    pub(super) fn times_as_fast(&self, group: &str, peer: &str) -> Result<f64, String> {
        let key = (group.to_owned(), peer.to_owned());
        self.turns
            .get(&key)
            .copied()
            .ok_or_else(|| format!("no turns of event and {group}/{peer}; run `cargo bench` first"))
    }

    /// Adds what turns of `event` and `peer` have brought; nothing when there were none.
    pub(super) fn add_turns(&mut self, group: &str, peer: &str, mut times_as_fast: Vec<f64>) {
        times_as_fast.sort_by(f64::total_cmp);
        if let Some(median) = times_as_fast.get(times_as_fast.len() / 2) {
            self.turns.insert((group.to_owned(), peer.to_owned()), *median);
        }
    }

    /// Adds one.
    pub(super) fn add(&mut self, group: &str, contender: &str, rate: Rate) {
        self.rates.insert((group.to_owned(), contender.to_owned()), rate);
    }
}

/// Reads what `cargo bench` has left in the folder `target`.
///
/// # Errors
/// When it was not run, or what it left cannot be read.
pub(super) fn read(target: &Path) -> Result<Figures, Box<dyn Error>> {
    let mut figures = Figures::default();
    let criterion = target.join("criterion");
    let groups = fs::read_dir(&criterion)
        .map_err(|error| format!("{}: {error}; run `cargo bench` first", criterion.display()))?;
    for group in groups {
        let group = group?.path();
        if !group.is_dir() {
            continue;
        }
        for contender in fs::read_dir(group)? {
            let newest = contender?.path().join("new");
            if newest.join("benchmark.json").is_file() {
                let read = |name: &str| json(&newest.join(name));
                let (benchmark, estimates) = (read("benchmark.json")?, read("estimates.json")?);
                if let Some((group, contender, rate)) = rate(&benchmark, &estimates, &read("sample.json")?) {
                    figures.add(&group, &contender, rate);
                }
            }
        }
    }
    let turns = target.join("bench/turns");
    let files =
        fs::read_dir(&turns).map_err(|error| format!("{}: {error}; run `cargo bench` first", turns.display()))?;
    for file in files {
        let path = file?.path();
        let Turns { group, peer, times_as_fast } =
            serde_json::from_value(json(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        figures.add_turns(&group, &peer, times_as_fast);
    }
    let memory = target.join("bench/memory.json");
    let host = json(&memory)?.get("kib_per_host").and_then(Value::as_f64);
    figures.kib_per_host = host.ok_or_else(|| format!("{}: no kib_per_host", memory.display()))?;
    Ok(figures)
}

/// What one file says that a bench has left.
///
/// # Errors
/// When there is none, or it is no JSON.
pub(super) fn json(path: &Path) -> Result<Value, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("{}: {error}; run `cargo bench` first", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The group, the contender and its rate, from three of the files that criterion writes of a benchmark.
fn rate(benchmark: &Value, estimates: &Value, sample: &Value) -> Option<(String, String, Rate)> {
    let group = benchmark.get("group_id")?.as_str()?;
    let contender = benchmark.get("function_id")?.as_str()?;
    let elements = benchmark.get("throughput")?.get("Elements")?.as_f64()?;
    let median_ns = estimates.get("median")?.get("point_estimate")?.as_f64()?;
    let (iterations, times_ns) = (sample.get("iters")?.as_array()?, sample.get("times")?.as_array()?);
    let per_iteration = |(iterations, time_ns): (&Value, &Value)| Some(time_ns.as_f64()? / iterations.as_f64()?);
    let best_ns = iterations.iter().zip(times_ns).filter_map(per_iteration).fold(f64::INFINITY, f64::min);
    let rate = |iteration_ns: f64| elements * 1e9 / iteration_ns;
    Some((group.to_owned(), contender.to_owned(), Rate { best: rate(best_ns), median: rate(median_ns) }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::{Figures, Rate, rate, read};

    #[test]
    fn a_rate_is_elements_by_time() {
        let benchmark = json!({"group_id": "paced/10", "function_id": "event", "throughput": {"Elements": 2000}});
        let estimates = json!({"mean": {"point_estimate": 9e9}, "median": {"point_estimate": 4e6}});
        let sample = json!({"iters": [1.0, 2.0, 1.0], "times": [4e6, 4e6, 8e6]});
        let wanted = Rate { best: 1_000_000.0, median: 500_000.0 };
        let found = rate(&benchmark, &estimates, &sample);
        assert_eq!(found, Some(("paced/10".to_owned(), "event".to_owned(), wanted)));
        assert_eq!(rate(&json!({"group_id": "other"}), &estimates, &sample), None);
    }

    #[test]
    fn what_turns_bring_is_their_median() {
        let mut figures = Figures::default();
        figures.add_turns("call", "memory", vec![0.9, 0.5, 0.7]);
        figures.add_turns("call", "turmoil", Vec::new());
        assert_eq!(figures.times_as_fast("call", "memory"), Ok(0.7));
        let error = figures.times_as_fast("call", "turmoil").unwrap_err();
        assert_eq!(error, "no turns of event and call/turmoil; run `cargo bench` first");
    }

    #[test]
    fn without_a_bench_one_is_told_to_run_it() {
        let error = read(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/criterion: ") && error.ends_with("; run `cargo bench` first"), "{error}");
    }
}
