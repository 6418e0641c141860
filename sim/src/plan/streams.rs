//! Random streams by name: each concern draws from its own, so that one that is removed moves no other.

use shaketable_stack::env::Random;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// The stream `name` of the run with `seed`.
pub fn stream(seed: u64, name: &str) -> Random {
    let mut key = [0; 32];
    key[..16].copy_from_slice(&xxh3_128_with_seed(name.as_bytes(), seed).to_le_bytes());
    key[16..].copy_from_slice(&xxh3_128_with_seed(name.as_bytes(), !seed).to_le_bytes());
    Random::from_seed(key)
}
