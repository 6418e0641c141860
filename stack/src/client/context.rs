//! What travels with a call: a deadline and metadata.

use std::time::Duration;

use crate::env::{Env, Instant};
use crate::metadata::{self, Metadata};

/// The circumstances of a call; a handler gets one and passes it on to the calls that it makes, so that the time that is
/// left cascades.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// When the caller stops waiting; without one the client's request time-out applies.
    pub deadline: Option<Instant>,
    /// Headers for the other side.
    pub metadata: Metadata,
}

impl Context {
    /// No deadline, no metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a deadline `timeout` from now, unless there is an earlier one.
    #[must_use]
    pub fn with_timeout(mut self, env: &Env, timeout: Duration) -> Self {
        let deadline = env.now() + timeout;
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        self
    }

    /// The same with one header more.
    #[must_use]
    pub fn with_header(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The header `key`, or its title-cased form.
    pub fn header(&self, key: &str) -> Option<&str> {
        metadata::get(&self.metadata, key)
    }
}
