//! Why registrations were lost: a bounded record that a registry keeps for people. It decides nothing.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

/// A duration as a person says it: `17.2 s`.
pub(super) fn in_seconds(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths.is_multiple_of(10) { format!("{} s", tenths / 10) } else { format!("{}.{} s", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{KEPT, LossLog, in_seconds};
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

    #[test]
    fn seconds_are_shown_to_the_tenth() {
        assert_eq!(in_seconds(Duration::from_millis(17_240)), "17.2 s");
        assert_eq!(in_seconds(Duration::from_secs(15)), "15 s");
    }
}
