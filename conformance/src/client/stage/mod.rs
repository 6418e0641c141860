//! What checks of clients, servers and services stand on: a body, a handler that tells what it saw, servers and callers on
//! hosts. It knows no requirement.

mod body;
mod caller;
mod network;
mod probe;

pub(crate) use body::Text;
pub(crate) use caller::{Ask, Caller, Served, serve, server_options};
pub(crate) use network::{Connections, counted, dead_address};
pub(crate) use probe::{Seen, probe};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What `mutex` holds; a panic elsewhere has not made it worse.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
