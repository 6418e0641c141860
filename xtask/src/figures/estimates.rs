//! What criterion has left in the build folder, and the bench of memory beside it. Nothing here knows what is wanted.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// What was measured last.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// By group and contender: elements per second.
    rates: BTreeMap<(String, String), f64>,
    /// What a host of engine `event` keeps in memory, in KiB.
    pub(super) kib_per_host: f64,
}

impl Figures {
    /// How many elements per second `contender` did in `group`.
    ///
    /// # Errors
    /// When that was not measured.
    pub(super) fn rate(&self, group: &str, contender: &str) -> Result<f64, String> {
        let key = (group.to_owned(), contender.to_owned());
        self.rates
            .get(&key)
            .copied()
            .ok_or_else(|| format!("no estimate of {group}/{contender}; run `cargo bench` first"))
    }

    /// Adds one.
    pub(super) fn add(&mut self, group: &str, contender: &str, rate: f64) {
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
                let (benchmark, estimates) =
                    (json(&newest.join("benchmark.json"))?, json(&newest.join("estimates.json"))?);
                if let Some((group, contender, rate)) = estimate(&benchmark, &estimates) {
                    figures.add(&group, &contender, rate);
                }
            }
        }
    }
    let memory = target.join("bench/memory.json");
    let host = json(&memory)?.get("kib_per_host").and_then(Value::as_f64);
    figures.kib_per_host = host.ok_or_else(|| format!("{}: no kib_per_host", memory.display()))?;
    Ok(figures)
}

fn json(path: &Path) -> Result<Value, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("{}: {error}; run `cargo bench` first", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The group, the contender and its elements per second, from the two files that criterion writes of a benchmark. The median
/// is what it takes: one sample that was disturbed does not move it.
fn estimate(benchmark: &Value, estimates: &Value) -> Option<(String, String, f64)> {
    let group = benchmark.get("group_id")?.as_str()?;
    let contender = benchmark.get("function_id")?.as_str()?;
    let elements = benchmark.get("throughput")?.get("Elements")?.as_f64()?;
    let iteration_ns = estimates.get("median")?.get("point_estimate")?.as_f64()?;
    (iteration_ns > 0.0).then(|| (group.to_owned(), contender.to_owned(), elements * 1e9 / iteration_ns))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::{estimate, read};

    #[test]
    fn a_rate_is_elements_by_the_median() {
        let benchmark = json!({"group_id": "paced/10", "function_id": "event", "throughput": {"Elements": 2000}});
        let estimates = json!({"mean": {"point_estimate": 9e9}, "median": {"point_estimate": 4e6}});
        let found = estimate(&benchmark, &estimates).unwrap();
        assert_eq!(found, ("paced/10".to_owned(), "event".to_owned(), 500_000.0));
        assert_eq!(estimate(&json!({"group_id": "other"}), &estimates), None);
    }

    #[test]
    fn without_a_bench_one_is_told_to_run_it() {
        let error = read(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/criterion: ") && error.ends_with("; run `cargo bench` first"), "{error}");
    }
}
