//! Why a command ended without a verdict.

/// Why a command ended without a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The input is wrong, or there is nothing to run.
    BadInput(String),
    /// The harness or a backend failed.
    Harness(String),
}

impl Stop {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::BadInput(text) | Self::Harness(text) => text,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::BadInput(_) => 2,
            Self::Harness(_) => 3,
        }
    }
}
