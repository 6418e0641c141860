//! Why a command ended without a verdict.

use crate::Output;

/// Why a command ended without a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The input is wrong, or there is nothing to run.
    BadInput(String),
    /// Files are wrong; the text shows where, with labels of its own.
    WrongFiles(String),
    /// The harness or a backend failed.
    Harness(String),
}

impl Stop {
    /// Tells it to a person.
    pub(crate) fn show(&self, output: &Output) {
        match self {
            Self::WrongFiles(text) => output.problems(text),
            Self::BadInput(text) | Self::Harness(text) => output.error(text),
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::BadInput(_) | Self::WrongFiles(_) => 2,
            Self::Harness(_) => 3,
        }
    }
}
