//! Nodes that come and go while others pick. It knows no selector.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::thread::nanosleep;
use rustix::time::Timespec;

/// Between two changes.
const PAUSE: Duration = Duration::from_millis(1);

/// A set of nodes that can be changed while others pick from it.
pub(crate) trait Changing: Sync {
    /// Makes the last node another one, the one with number `number`, and returns when whoever picks next sees that.
    fn change(&self, number: usize);

    /// How many nodes there are, and whether the one with number `number` is one of them.
    fn state(&self, number: usize) -> (usize, bool);
}

/// Does `work` while another thread changes `set` every millisecond, at least once; `made` counts the changes.
///
/// # Panics
/// When the last change is not seen afterwards, or nodes were lost.
pub(crate) fn while_changing<T>(set: &impl Changing, made: &mut usize, work: impl FnOnce() -> T) -> T {
    let (count, done) = (set.state(0).0, AtomicBool::new(false));
    let (result, changes) = std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            let mut changes = 0;
            while changes == 0 || !done.load(Ordering::Relaxed) {
                changes += 1;
                set.change(count + *made + changes);
                let pause = Timespec { tv_sec: 0, tv_nsec: i64::from(PAUSE.subsec_nanos()) };
                // A signal may end it early; a change more does no harm.
                let _ = nanosleep(&pause);
            }
            changes
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, changing.join().expect("the nodes can be changed"))
    });
    *made += changes;
    assert_eq!(set.state(count + *made), (count, true), "the last of {changes} changes is seen");
    result
}
