//! Tasks that belong together: counted, waited for, ended together. It does not know what they do.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use tokio::sync::watch;

use crate::env::{Env, Task};

/// Owns tasks: dropping the last handle of a group ends them.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    env: Env,
    name: &'static str,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tasks: Mutex<Tasks>,
    alive: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Tasks {
    last: u64,
    running: BTreeMap<u64, Task>,
}

impl Group {
    /// A group without tasks; they will be counted under `name`.
    pub(crate) fn new(env: &Env, name: &'static str) -> Self {
        let inner = Arc::new(Inner { tasks: Mutex::default(), alive: watch::Sender::new(0) });
        Self { env: env.clone(), name, inner }
    }

    /// Starts a task of the group. A panic ends that task alone.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.inner.lock();
        tasks.last += 1;
        let number = tasks.last;
        // Weak: a task must not keep the group that owns it alive.
        let end = End { number, inner: Arc::downgrade(&self.inner) };
        self.inner.alive.send_modify(|alive| *alive += 1);
        let task = self.env.spawn(self.name, async move {
            let _end = end;
            let _ = AssertUnwindSafe(work).catch_unwind().await;
        });
        tasks.running.insert(number, task);
    }

    /// Waits until no task is left.
    pub(crate) async fn idle(&self) {
        // The sender lives in `inner`: it cannot be gone.
        let _ = self.inner.alive.subscribe().wait_for(|alive| *alive == 0).await;
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

struct End {
    number: u64,
    inner: std::sync::Weak<Inner>,
}

impl Drop for End {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        if let Some(task) = inner.lock().running.remove(&self.number) {
            // It is ending by itself: nothing is left to end.
            task.detach();
        }
        inner.alive.send_modify(|alive| *alive -= 1);
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
