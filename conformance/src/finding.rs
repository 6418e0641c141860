//! What a check says when a requirement is not met, or cannot be judged. It knows no plugin and no world.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What comes of a check: nothing to complain of, or the first finding.
pub type Outcome = Result<(), Finding>;

/// Why a check did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// The plugin did something else than the requirement says.
    Violated {
        /// What the requirement makes one expect here.
        expected: String,
        /// What happened.
        observed: String,
    },
    /// Too little was seen to judge; why.
    Unknown(String),
    /// What the requirement presumes is not there, which only showed when it was asked for; why.
    NotApplicable(String),
    /// The harness, the world or a backend broke; how.
    Broke(String),
}

impl Finding {
    /// A violation.
    pub fn violated(expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::Violated { expected: expected.into(), observed: observed.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violated { expected, observed } => write!(formatter, "expected {expected}; observed {observed}"),
            Self::Unknown(why) => write!(formatter, "too little evidence: {why}"),
            Self::NotApplicable(why) => write!(formatter, "not applicable: {why}"),
            Self::Broke(why) => write!(formatter, "the harness or a backend broke: {why}"),
        }
    }
}

/// A violation unless `holds`.
///
/// # Errors
/// The violation.
pub fn expect(holds: bool, expected: impl Into<String>, observed: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Finding::violated(expected, observed())) }
}

/// A violation unless `got` is `wanted`; `what` names what was looked at.
///
/// # Errors
/// The violation.
pub fn expect_equal<T: PartialEq<U> + fmt::Debug, U: fmt::Debug>(what: &str, got: &T, wanted: &U) -> Outcome {
    expect(got == wanted, format!("{what} to be {wanted:?}"), || format!("{got:?}"))
}
