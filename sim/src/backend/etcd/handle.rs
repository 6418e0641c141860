//! One simulated etcd, shared between its server and the world around it. Whoever changes it through a handle wakes those
//! who wait for a change. It knows no network and no clock.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::Etcd;

/// A simulated etcd that outlives its server: data and leases stay here while the host is down. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EtcdHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    etcd: Etcd,
    started: bool,
}

impl EtcdHandle {
    /// Shares `etcd`.
    pub fn new(etcd: Etcd) -> Self {
        let state = Mutex::new(State { etcd, started: false });
        Self { shared: Arc::new(Shared { state, changed: Arc::default() }) }
    }

    /// Looks at the state machine or changes it: for requests, for fault verbs (`lose_lease`, `compact_now`, `restart`,
    /// ...), and for the truth (`take_events`). The times that are passed in must come from the clock that the server
    /// runs on. Do not call it from within.
    pub fn with<T>(&self, act: impl FnOnce(&mut Etcd) -> T) -> T {
        self.with_state(|state| act(&mut state.etcd))
    }

    /// Starts the server: nothing for the first time, a restart from then on.
    pub(super) fn start(&self, now: std::time::Duration) {
        self.with_state(|state| {
            if state.started {
                state.etcd.restart(now);
            }
            state.started = true;
        });
    }

    /// Completes at the next change; changes from this call on count.
    pub(super) fn changed(&self) -> OwnedNotified {
        self.shared.changed.clone().notified_owned()
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // A panic elsewhere must not turn into a second one here: the state machine has no half-done states to protect.
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (state.etcd.pulse, state.etcd.next_due());
        let result = act(&mut state);
        let changed = before != (state.etcd.pulse, state.etcd.next_due());
        drop(state);
        if changed {
            self.shared.changed.notify_waiters();
        }
        result
    }
}
