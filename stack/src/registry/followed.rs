//! What a registry knows without asking, with what tells whether it still is so: who keeps something that was worked out from
//! it sees at the cost of one read whether it must be worked out again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Services;

/// A known answer that can be followed.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The answer.
    pub services: Services,
    /// Its version, by which [`Freshness::is_of`] knows it.
    pub version: u64,
    /// Tells of changes.
    pub freshness: Arc<Freshness>,
}

/// Whether an answer is still the newest, and whether anybody uses it. Shared by who knows the answer and who follows it, and
/// alone on its line of memory: it is read for every call, and its neighbours may be written to for every call.
#[derive(Debug)]
#[repr(align(64))]
pub struct Freshness {
    version: AtomicU64,
    is_used: AtomicBool,
}

impl Freshness {
    /// Of an answer that somebody has just asked for.
    pub(super) fn new() -> Self {
        Self { version: AtomicU64::new(0), is_used: AtomicBool::new(true) }
    }

    /// Whether the answer of `version` is the newest.
    #[inline]
    pub fn is_of(&self, version: u64) -> bool {
        self.version.load(Ordering::Acquire) == version
    }

    /// Keeps the answer from being forgotten as one that nobody asks for.
    #[inline]
    pub fn use_it(&self) {
        // A line of memory that is only read can be read by all cores at once.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    /// That of the next answer.
    pub(super) fn next_version(&self) -> u64 {
        self.version.load(Ordering::Acquire) + 1
    }

    /// The answer of [`next_version`](Self::next_version) is the newest, or there is none any more. For one writer at a time.
    pub(super) fn change(&self) {
        self.version.store(self.next_version(), Ordering::Release);
    }

    /// Whether it was used since this was last asked.
    pub(super) fn take_use(&self) -> bool {
        self.is_used.swap(false, Ordering::Relaxed)
    }
}
