//! The queue between a registry and one watcher: bounded, so that a slow watcher costs neither memory nor time. It knows
//! nothing of where events come from.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Event;
use crate::{Error, ErrorKind, Result};

/// Events that are kept for a watcher that does not keep up; with the next one it is cut off.
pub(super) const BUFFERED: usize = 1024;

/// Events on their way to one watcher.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inbox: Mutex<Inbox>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inbox {
    events: VecDeque<Event>,
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    /// Whatever is still queued is of no interest any more.
    Stopped,
    /// What was queued before is still delivered.
    Failed(String),
}

impl Mailbox {
    /// Queues `event` without waiting. Answers whether the watcher wants more.
    pub(super) fn deliver(&self, event: Event) -> bool {
        let mut inbox = self.lock();
        if inbox.end.is_some() {
            return false;
        }
        if inbox.events.len() == BUFFERED {
            let reason = format!("the watcher fell behind by more than {BUFFERED} events and was cut off");
            inbox.end = Some(End::Failed(reason));
            self.changed.notify_waiters();
            return false;
        }
        inbox.events.push_back(event);
        self.changed.notify_one();
        true
    }

    /// Ends the watch for everyone who waits, and for all calls to come.
    pub(super) fn stop(&self) {
        let mut inbox = self.lock();
        inbox.events.clear();
        inbox.end = Some(End::Stopped);
        self.changed.notify_waiters();
    }

    /// Waits for the next event. Dropping the future loses none.
    pub(super) async fn next(&self) -> Result<Event> {
        loop {
            // Made before the look at the queue, so that what happens in between wakes it.
            let changed = self.changed.notified();
            if let Some(answer) = self.poll() {
                return answer;
            }
            changed.await;
        }
    }

    fn poll(&self) -> Option<Result<Event>> {
        let mut inbox = self.lock();
        if let Some(event) = inbox.events.pop_front() {
            // One stored wake-up stands for any number of events: whoever takes one passes it on, and the last looks in vain.
            self.changed.notify_one();
            return Some(Ok(event));
        }
        match &inbox.end {
            None => None,
            Some(End::Stopped) => Some(Err(Error::new(ErrorKind::WatcherStopped, "watch"))),
            Some(End::Failed(reason)) => Some(Err(Error::new(ErrorKind::Backend, "watch").detail(reason.clone()))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{BUFFERED, Mailbox};
    use crate::ErrorKind;
    use crate::registry::testing::{created, service};

    #[tokio::test]
    async fn a_watcher_that_falls_behind_gets_what_was_kept_and_is_then_cut_off() {
        let mailbox = Mailbox::default();
        for _ in 0..BUFFERED {
            assert!(mailbox.deliver(created(service("user", "1", &["a"]))));
        }
        assert!(!mailbox.deliver(created(service("user", "1", &["b"]))));
        for _ in 0..BUFFERED {
            mailbox.next().await.unwrap();
        }
        for _ in 0..2 {
            let error = mailbox.next().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Backend);
            assert!(error.to_string().contains("fell behind"), "{error}");
        }
    }

    #[tokio::test]
    async fn stopping_releases_everyone_who_waits_and_drops_what_is_queued() {
        let mailbox = Mailbox::default();
        let (one, two, ()) = tokio::join!(mailbox.next(), mailbox.next(), async { mailbox.stop() });
        assert_eq!(one.unwrap_err().kind(), ErrorKind::WatcherStopped);
        assert_eq!(two.unwrap_err().kind(), ErrorKind::WatcherStopped);
        assert!(!mailbox.deliver(created(service("user", "1", &["a"]))));
        mailbox.stop();
        assert_eq!(mailbox.next().await.unwrap_err().kind(), ErrorKind::WatcherStopped);
    }

    #[tokio::test]
    async fn two_waiters_share_two_events_that_came_at_once() {
        let mailbox = Mailbox::default();
        let (one, two, ()) = tokio::join!(mailbox.next(), mailbox.next(), async {
            mailbox.deliver(created(service("user", "1", &["a"])));
            mailbox.deliver(created(service("user", "1", &["b"])));
        });
        assert_ne!(one.unwrap(), two.unwrap());
    }
}
