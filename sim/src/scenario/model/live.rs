//! How a scenario runs on real machines: what is forgiven there, and what is not asked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scenario::duration;

/// What is different when the file runs live, on real sockets and in real time. A simulated run does not look at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Live {
    /// Added to every bound in time: a real machine is busy with other things, too, and what the backend truly holds is read
    /// from outside of it.
    #[serde(with = "duration")]
    pub slack: Duration,
    /// Expectations that are not judged live, by name, each with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub leave_out: BTreeMap<String, String>,
    /// The file does not run live, for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never_because: Option<String>,
}

impl Default for Live {
    fn default() -> Self {
        Self { slack: Duration::from_secs(1), leave_out: BTreeMap::new(), never_because: None }
    }
}

impl Live {
    /// Whether the file says nothing of it.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
