//! A clock that runs as the real one does and leaps ahead when a check lets time pass that nobody has to wait for.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use shaketable_stack::env::{Clock, Instant, Sleep};
use tokio::sync::watch;

/// The clock.
#[derive(Debug)]
pub(crate) struct LeapingClock {
    real: Arc<dyn Clock>,
    /// How far it is ahead.
    ahead: watch::Sender<Duration>,
}

impl LeapingClock {
    /// Runs as `real` does.
    pub(crate) fn new(real: Arc<dyn Clock>) -> Self {
        Self { real, ahead: watch::Sender::new(Duration::ZERO) }
    }

    /// Leaps ahead by `time`; who waits for a moment that is past now is woken.
    pub(crate) fn leap(&self, time: Duration) {
        self.ahead.send_modify(|ahead| *ahead += time);
    }
}

impl Clock for LeapingClock {
    fn now(&self) -> Instant {
        self.real.now() + *self.ahead.borrow()
    }

    fn wall(&self) -> SystemTime {
        self.real.wall() + *self.ahead.borrow()
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        let (real, mut ahead) = (self.real.clone(), self.ahead.subscribe());
        Sleep::new(async move {
            loop {
                let left = deadline - (real.now() + *ahead.borrow_and_update());
                if left.is_zero() {
                    return;
                }
                tokio::select! {
                    () = real.sleep_until(real.now() + left) => return,
                    // It never closes while somebody holds the clock; then only real time is left.
                    leapt = ahead.changed() => if leapt.is_err() {
                        return real.sleep_until(real.now() + left).await;
                    },
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shaketable_stack::env::{Clock, Namespace, os};

    use super::LeapingClock;

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken_by_a_leap() {
        let real = os::env(Namespace::new("test")).clock().clone();
        let clock = LeapingClock::new(real.clone());
        let (since, before) = (clock.now(), real.now());
        let minute = clock.sleep_until(since + Duration::from_secs(60));
        let hour = clock.sleep_until(since + Duration::from_secs(3600));
        clock.leap(Duration::from_secs(59));
        assert_eq!(clock.now() - since, Duration::from_secs(59));
        minute.await;
        assert_eq!(real.now() - before, Duration::from_secs(1));
        let leap = async {
            tokio::task::yield_now().await;
            clock.leap(Duration::from_secs(3540));
        };
        tokio::join!(hour, leap);
        assert_eq!(real.now() - before, Duration::from_secs(1));
    }
}
