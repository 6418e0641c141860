//! A queue of messages before one subscriber: many put, one takes. It has room for so many, and whoever finds none may wait.
//! Messages are taken many at a time and shared, so that telling many subscribers costs each of them little. It knows neither
//! handlers nor topics.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Semaphore;

use super::Message;

/// Messages that wait for one handler; beyond it whoever puts waits.
const ROOM: usize = 1_024;

/// Room is given back after so many messages at the latest: it costs as much for many as for one.
const GIVEN_BACK_AT: usize = 32;

/// Makes a queue. What was put is taken after the last inbox is gone, too.
pub(super) fn inbox() -> (Inbox, Outlet) {
    let (late, state) = (Semaphore::new(0), Mutex::default());
    let shared = Arc::new(Shared { state, late, inboxes: AtomicUsize::new(1) });
    (Inbox(shared.clone()), Outlet { shared, taken: VecDeque::new(), owed: 0 })
}

/// Where messages are put. The last one that is dropped closes the queue.
#[derive(Debug)]
pub(super) struct Inbox(Arc<Shared>);

/// Where one task takes them.
#[derive(Debug)]
pub(super) struct Outlet {
    shared: Arc<Shared>,
    taken: VecDeque<Arc<Message>>,
    /// Messages whose room was not given back yet.
    owed: usize,
}

/// Closes a queue: what was put before is still taken.
#[derive(Clone, Debug)]
pub(super) struct Lid(Arc<Shared>);

/// Room for one message; without it the room is free again.
#[derive(Debug)]
pub(super) struct Place<'a> {
    shared: &'a Shared,
}

/// Why a message was not put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is no room.
    Full,
    /// Nobody takes what is put from now on.
    Closed,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Has a permit for each place that was given to somebody who waits.
    late: Semaphore,
    inboxes: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Arc<Message>>,
    /// Messages that were taken and whose room was not given back yet.
    taken: usize,
    /// Places that somebody has and has put nothing to.
    places: usize,
    /// Who waits for a place and was given none.
    late: usize,
    is_closed: bool,
    taker: Option<Waker>,
}

impl Inbox {
    /// Puts `message` if there is room now.
    ///
    /// # Errors
    /// Why it did not.
    pub(super) fn try_put(&self, message: &Arc<Message>) -> Result<(), Refused> {
        let taker = {
            let mut state = self.0.state();
            if state.is_closed {
                return Err(Refused::Closed);
            }
            if !state.has_room() {
                return Err(Refused::Full);
            }
            state.waiting.push_back(message.clone());
            state.taker.take()
        };
        wake(taker);
        Ok(())
    }

    /// Waits for room; who came first gets it first.
    ///
    /// # Errors
    /// When nobody takes what is put from now on.
    pub(super) async fn place(&self) -> Result<Place<'_>, Refused> {
        let shared = &*self.0;
        {
            let mut state = shared.state();
            if state.is_closed {
                return Err(Refused::Closed);
            }
            if state.has_room() {
                state.places += 1;
                return Ok(Place { shared });
            }
            state.late += 1;
        }
        let waits = Waits { shared };
        let permit = shared.late.acquire().await.map_err(|_| Refused::Closed)?;
        permit.forget();
        std::mem::forget(waits);
        Ok(Place { shared })
    }
}

impl Clone for Inbox {
    fn clone(&self) -> Self {
        self.0.inboxes.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if self.0.inboxes.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            self.0.close();
        }
    }
}

/// Somebody waits for a place. Dropped before there is one, it leaves the line.
struct Waits<'a> {
    shared: &'a Shared,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.late > 0 {
            // If it was given a place just now, who comes after it has that.
            state.late -= 1;
        } else if self.shared.late.forget_permits(1) == 1 {
            state.places -= 1;
        }
    }
}

impl Place<'_> {
    /// Puts `message` there.
    ///
    /// # Errors
    /// When nobody takes it any more.
    pub(super) fn put(self, message: Arc<Message>) -> Result<(), Refused> {
        let taker = {
            let mut state = self.shared.state();
            if state.is_closed {
                return Err(Refused::Closed);
            }
            state.waiting.push_back(message);
            state.taker.take()
        };
        wake(taker);
        // Its room is that of the message now.
        drop(self);
        Ok(())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.give_back(|state| state.places -= 1);
    }
}

impl Shared {
    /// Lets `change` free some room, and gives it to who waits.
    fn give_back(&self, change: impl FnOnce(&mut State)) {
        let given = {
            let mut state = self.state();
            change(&mut state);
            state.give_places()
        };
        if given > 0 {
            self.late.add_permits(given);
        }
    }

    fn close(&self) {
        let taker = {
            let mut state = self.state();
            state.is_closed = true;
            state.taker.take()
        };
        self.late.close();
        wake(taker);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn used(&self) -> usize {
        self.waiting.len() + self.taken + self.places
    }

    /// Whether somebody who comes now need not wait.
    fn has_room(&self) -> bool {
        self.late == 0 && self.used() < ROOM
    }

    /// Gives free room to who waits; answers to how many.
    fn give_places(&mut self) -> usize {
        let given = self.late.min(ROOM.saturating_sub(self.used()));
        self.late -= given;
        self.places += given;
        given
    }
}

impl Outlet {
    /// What closes the queue.
    pub(super) fn lid(&self) -> Lid {
        Lid(self.shared.clone())
    }

    /// The next message that was taken already.
    pub(super) fn next(&mut self) -> Option<Arc<Message>> {
        let message = self.taken.pop_front()?;
        self.owed += 1;
        if self.owed == GIVEN_BACK_AT {
            self.give_back();
        }
        Some(message)
    }

    /// Gives back the room of every message that [`next`](Self::next) has answered. Whoever goes on to do something else than
    /// to take messages calls it before.
    pub(super) fn give_back(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        if owed > 0 {
            self.shared.give_back(|state| state.taken -= owed);
        }
    }

    /// Takes what has come, or waits for it. Answers whether there is any: there is not when the queue was closed.
    pub(super) async fn take(&mut self) -> bool {
        self.give_back();
        poll_fn(|context| self.poll_take(context)).await
    }

    fn poll_take(&mut self, context: &Context<'_>) -> Poll<bool> {
        let mut state = self.shared.state();
        if state.waiting.is_empty() {
            if state.is_closed {
                return Poll::Ready(false);
            }
            state.taker = Some(context.waker().clone());
            return Poll::Pending;
        }
        // What was taken is used up: the two exchange their memory.
        std::mem::swap(&mut state.waiting, &mut self.taken);
        state.taken += self.taken.len();
        Poll::Ready(true)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.shared.close();
        // Who puts may outlive it; messages need not.
        let waiting = std::mem::take(&mut self.shared.state().waiting);
        drop(waiting);
    }
}

impl Lid {
    /// Lets nothing more in.
    pub(super) fn close(&self) {
        self.0.close();
    }
}

fn wake(taker: Option<Waker>) {
    if let Some(taker) = taker {
        taker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::{Inbox, Outlet, ROOM, Refused, inbox};
    use crate::broker::Message;

    fn message(number: usize) -> Arc<Message> {
        Arc::new(Message { body: number.to_string().into(), ..Message::default() })
    }

    fn numbers(outlet: &mut Outlet) -> Vec<String> {
        std::iter::from_fn(|| outlet.next())
            .map(|message| String::from_utf8_lossy(&message.body).into_owned())
            .collect()
    }

    fn filled() -> (Inbox, Outlet) {
        let (inbox, outlet) = inbox();
        (0..ROOM).for_each(|number| inbox.try_put(&message(number)).unwrap());
        assert_eq!(inbox.try_put(&message(ROOM)), Err(Refused::Full));
        (inbox, outlet)
    }

    #[tokio::test]
    async fn what_is_put_is_taken_in_order() {
        let (inbox, mut outlet) = inbox();
        assert!(outlet.take().now_or_never().is_none(), "there is nothing yet");
        (0..3).for_each(|number| inbox.try_put(&message(number)).unwrap());
        assert!(outlet.take().await);
        inbox.try_put(&message(3)).unwrap();
        assert_eq!(numbers(&mut outlet), ["0", "1", "2"]);
        assert!(outlet.take().await);
        assert_eq!(numbers(&mut outlet), ["3"]);
    }

    #[tokio::test]
    async fn room_is_given_back_as_messages_are_taken_and_who_waits_gets_it() {
        let (inbox, mut outlet) = filled();
        let mut place = Box::pin(inbox.place());
        assert!(place.as_mut().now_or_never().is_none());
        assert!(outlet.take().await);
        outlet.next().unwrap();
        assert!(place.as_mut().now_or_never().is_none(), "the room is owed");
        outlet.give_back();
        place.await.unwrap().put(message(ROOM)).unwrap();
        assert_eq!(inbox.try_put(&message(0)), Err(Refused::Full), "the room of one is room for one");
        assert_eq!(numbers(&mut outlet).len(), ROOM - 1);
        assert!(outlet.take().await);
        assert_eq!(numbers(&mut outlet), [ROOM.to_string()]);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_his_place_to_the_next() {
        let (inbox, mut outlet) = filled();
        let (mut first, mut second) = (Box::pin(inbox.place()), Box::pin(inbox.place()));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        assert!(outlet.take().await);
        outlet.next().unwrap();
        outlet.give_back();
        // The place is given to the first, who does not take it any more.
        drop(first);
        second.await.unwrap().put(message(1)).unwrap();
        let mut third = Box::pin(inbox.place());
        assert!(third.as_mut().now_or_never().is_none());
        drop(third);
        let mut fourth = Box::pin(inbox.place());
        assert!(fourth.as_mut().now_or_never().is_none());
        outlet.next().unwrap();
        outlet.give_back();
        drop(fourth);
        inbox.try_put(&message(2)).unwrap();
        assert_eq!(inbox.try_put(&message(3)), Err(Refused::Full), "no place was lost, and none was made");
    }

    #[tokio::test]
    async fn a_place_that_is_not_used_is_free_again() {
        let (inbox, outlet) = inbox();
        let places: Vec<_> = (0..ROOM).map(|_| inbox.place().now_or_never().unwrap().unwrap()).collect();
        assert_eq!(inbox.try_put(&message(0)), Err(Refused::Full));
        drop(places);
        inbox.try_put(&message(0)).unwrap();
        drop(outlet);
    }

    #[tokio::test]
    async fn what_was_put_before_it_was_closed_is_taken_and_nothing_else() {
        let (inbox, mut outlet) = filled();
        let place = inbox.place();
        outlet.lid().close();
        assert_eq!(place.await.unwrap_err(), Refused::Closed);
        assert_eq!(inbox.try_put(&message(0)), Err(Refused::Closed));
        assert!(outlet.take().await);
        assert_eq!(numbers(&mut outlet).len(), ROOM);
        assert!(!outlet.take().await);
    }

    #[tokio::test]
    async fn a_place_taken_before_it_was_closed_is_of_no_use_after() {
        let (inbox, outlet) = inbox();
        let place = inbox.place().await.unwrap();
        outlet.lid().close();
        assert_eq!(place.put(message(0)), Err(Refused::Closed));
    }

    #[tokio::test]
    async fn the_last_inbox_closes_it_and_so_does_the_outlet() {
        let (one, mut outlet) = inbox();
        let other = one.clone();
        one.try_put(&message(0)).unwrap();
        drop(one);
        other.try_put(&message(1)).unwrap();
        drop(other);
        assert!(outlet.take().await);
        assert_eq!(numbers(&mut outlet), ["0", "1"]);
        assert!(!outlet.take().await);
        let (inbox, outlet) = inbox();
        let kept = message(0);
        inbox.try_put(&kept).unwrap();
        drop(outlet);
        assert_eq!((inbox.try_put(&kept), Arc::strong_count(&kept)), (Err(Refused::Closed), 1));
    }
}
