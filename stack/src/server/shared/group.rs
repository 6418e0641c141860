//! Tasks that belong together: counted, waited for, ended together. It does not know what they do.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use pin_project_lite::pin_project;
use tokio::sync::Notify;

use crate::env::{Env, Task};

/// Owns tasks: dropping the last handle of a group ends them.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    env: Env,
    name: &'static str,
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    tasks: Mutex<Tasks>,
    /// Told when no task is alive any more.
    idle: Notify,
}

#[derive(Debug, Default)]
struct Tasks {
    last: u64,
    alive: usize,
    running: BTreeMap<u64, Task>,
}

impl Group {
    /// A group without tasks; they will be counted under `name`.
    pub(crate) fn new(env: &Env, name: &'static str) -> Self {
        Self { env: env.clone(), name, inner: Arc::default() }
    }

    /// Starts a task of the group. A panic ends that task alone.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.inner.lock();
        tasks.last += 1;
        let number = tasks.last;
        // Weak: a task must not keep the group that owns it alive.
        let end = End { number, inner: Arc::downgrade(&self.inner) };
        tasks.alive += 1;
        let task = self.env.spawn(self.name, Member { work: AssertUnwindSafe(work).catch_unwind(), _end: end });
        tasks.running.insert(number, task);
    }

    /// Waits until no task is left.
    pub(crate) async fn idle(&self) {
        loop {
            let mut idle = pin!(self.inner.idle.notified());
            // From here on it is told, so that no end is missed between the look and the wait.
            idle.as_mut().enable();
            if self.inner.lock().alive == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Ends all tasks and waits until they have ended.
    pub(crate) async fn end(&self) {
        let running = std::mem::take(&mut self.inner.lock().running);
        for task in running.values() {
            task.abort();
        }
        for task in running.into_values() {
            task.join().await;
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pin_project! {
    /// The work of a task; it goes before its end is told.
    struct Member<F> {
        #[pin]
        work: CatchUnwind<AssertUnwindSafe<F>>,
        _end: End,
    }
}

impl<F: Future<Output = ()>> Future for Member<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.project().work.poll(context).map(drop)
    }
}

struct End {
    number: u64,
    inner: std::sync::Weak<Inner>,
}

impl Drop for End {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        let mut tasks = inner.lock();
        if let Some(task) = tasks.running.remove(&self.number) {
            // It is ending by itself: nothing is left to end.
            task.detach();
        }
        tasks.alive -= 1;
        if tasks.alive == 0 {
            inner.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Group;
    use crate::env::testing::env;

    #[tokio::test(start_paused = true)]
    async fn a_group_counts_waits_and_ends() {
        let env = env();
        let group = Group::new(&env, "work");
        let sleeper = env.clone();
        group.spawn(async move { sleeper.sleep(Duration::from_secs(1)).await });
        group.spawn(async { panic!("one task's panic is its own") });
        assert_eq!(env.live_tasks().total(), 2);
        group.idle().await;
        assert_eq!(env.now().since_origin(), Duration::from_secs(1));
        group.spawn(std::future::pending());
        group.end().await;
        assert_eq!(env.live_tasks().total(), 0);
        group.idle().await;
    }
}
