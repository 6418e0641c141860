//! What checks of clients, servers and services stand on: a body, a handler that tells what it saw, servers and callers on
//! hosts. It knows no requirement.

mod body;
mod caller;
mod network;
mod probe;

pub(crate) use body::Text;
pub(crate) use caller::{Ask, BEGINS_WITHIN, CALL_TIMEOUT, Caller, LATE, Served, serve, server_options};
pub(crate) use network::{counted, dead_address};
pub(crate) use probe::{Seen, probe};

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::tolerance::InWords;

/// What `mutex` holds; a panic elsewhere has not made it worse.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all checks allow for that make calls.
pub(crate) fn tolerances() -> Vec<String> {
    vec![
        format!(
            "A call has {} where its requirement names no time-out, and ends at most {} after its time-out.",
            CALL_TIMEOUT.in_words(),
            LATE.in_words()
        ),
        format!("A handler begins within {} of its call.", BEGINS_WITHIN.in_words()),
    ]
}
