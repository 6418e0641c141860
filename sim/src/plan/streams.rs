//! Named random streams of a run. Each concern draws from its own, named by what it is and not by its position, so that
//! removing one leaves what the others draw as it was.

use std::collections::BTreeMap;

use serde::Serialize;
use shaketable_stack::env::Random;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// The stream called `name` of the run with `seed`. ChaCha wants 32 bytes: two hashes of the name, keyed by the seed.
pub fn stream(seed: u64, name: &str) -> Random {
    let mut bytes = [0; 32];
    let (first, second) = bytes.split_at_mut(16);
    first.copy_from_slice(&xxh3_128_with_seed(name.as_bytes(), seed).to_le_bytes());
    second.copy_from_slice(&xxh3_128_with_seed(name.as_bytes(), !seed).to_le_bytes());
    Random::from_seed(bytes)
}

/// Names for the entries of a list: `area/` and the entry as JSON, counted where two entries are the same.
pub(super) fn names<T: Serialize>(area: &str, entries: &[T]) -> Vec<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    entries
        .iter()
        .map(|entry| {
            // The model has only texts as keys; were an entry not printable, its count still tells it apart.
            let content = serde_json::to_string(entry).unwrap_or_default();
            let count = seen.entry(content.clone()).or_default();
            *count += 1;
            format!("{area}/{content}/{count}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::RngCore;

    use super::{names, stream};

    #[test]
    fn streams_differ_by_seed_and_by_name_and_repeat() {
        let draw = |seed, name| stream(seed, name).next_u64();
        assert_eq!(draw(1, "faults/a"), draw(1, "faults/a"));
        assert_ne!(draw(1, "faults/a"), draw(2, "faults/a"));
        assert_ne!(draw(1, "faults/a"), draw(1, "faults/b"));
        assert_ne!(draw(0, ""), draw(u64::MAX, ""));
    }

    #[test]
    fn equal_entries_have_streams_of_their_own() {
        assert_eq!(names("faults", &["a", "a", "b"]), ["faults/\"a\"/1", "faults/\"a\"/2", "faults/\"b\"/1"]);
    }
}
