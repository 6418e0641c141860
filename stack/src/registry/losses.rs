//! Why registrations were lost: a bounded record that a registry keeps for people. It decides nothing.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Loss;
use crate::env::Instant;

/// Losses that are kept; beyond that the oldest goes.
const KEPT: usize = 256;

/// The losses of one registry.
#[derive(Debug, Default)]
pub(super) struct LossLog {
    losses: Mutex<VecDeque<Loss>>,
}

impl LossLog {
    /// Notes that the registration of `node_id` is gone.
    pub(super) fn lost(&self, noticed_at: Instant, node_id: &str, reason: String) {
        let mut losses = self.lock();
        if losses.len() == KEPT {
            losses.pop_front();
        }
        losses.push_back(Loss { noticed_at, node_id: node_id.to_owned(), reason, restored: false });
    }

    /// Notes that `node_id` is registered again.
    pub(super) fn restored(&self, node_id: &str) {
        for loss in self.lock().iter_mut().filter(|loss| loss.node_id == node_id) {
            loss.restored = true;
        }
    }

    /// All of them, oldest first.
    pub(super) fn to_vec(&self) -> Vec<Loss> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Loss>> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, LossLog};
    use crate::env::Instant;

    #[test]
    fn the_log_is_bounded_and_a_restored_node_is_marked() {
        let log = LossLog::default();
        for number in 0..=KEPT {
            log.lost(Instant::default(), &format!("node-{number}"), "gone".into());
        }
        log.restored("node-2");
        let losses = log.to_vec();
        assert_eq!((losses.len(), losses[0].node_id.as_str()), (KEPT, "node-1"));
        assert!(losses[1].restored && !losses[0].restored);
    }
}
