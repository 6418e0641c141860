//! Why a toxic is refused: there is none of that kind, or it cannot be so. It knows no toxic.

use std::fmt;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToxicErrorKind {
    /// There is no such kind of toxic.
    Unknown,
    /// A toxic is asked for in a way that makes no sense.
    Senseless,
}

/// Why a toxic is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToxicError {
    kind: ToxicErrorKind,
    detail: String,
}

impl ToxicError {
    pub(super) fn new(kind: ToxicErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What is wrong.
    pub fn kind(&self) -> ToxicErrorKind {
        self.kind
    }

    /// What it is about, with the mend.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for ToxicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ToxicErrorKind::Unknown => write!(f, "no kind of toxic is called {}", self.detail),
            ToxicErrorKind::Senseless => f.write_str(&self.detail),
        }
    }
}

impl std::error::Error for ToxicError {}
