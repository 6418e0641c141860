//! Tasks that a host owns: counted by name while they live, ended when their owner lets go.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use crate::opaque::opaque;

/// A boxed task.
pub type BoxTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The right to start tasks on one host.
pub trait Spawner: Send + Sync + fmt::Debug {
    /// Starts `task`, counted under `name` while it lives.
    fn spawn(&self, name: &'static str, task: BoxTask) -> Task;

    /// How many tasks are alive, by name.
    fn live(&self) -> Arc<LiveTasks>;
}

/// A running task. Dropping it ends the task at its next await point.
#[must_use = "dropping the task ends it"]
pub struct Task {
    handle: Option<JoinHandle<()>>,
}

impl Task {
    /// Wraps the handle of a task that tokio runs.
    pub fn new(handle: JoinHandle<()>) -> Self {
        Self { handle: Some(handle) }
    }

    /// Ends the task at its next await point.
    pub fn abort(&self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the task has ended, also when it was aborted.
    ///
    /// # Panics
    /// Panics with the task's own panic.
    pub async fn join(mut self) {
        let Some(handle) = &mut self.handle else { return };
        if let Err(error) = handle.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }

    /// Gives the task to its host alone: it ends by itself or with the host.
    pub fn detach(mut self) {
        self.handle = None;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.abort();
    }
}

opaque!(Task);

/// Counts living tasks by name.
#[derive(Debug, Default)]
pub struct LiveTasks {
    counts: Mutex<BTreeMap<&'static str, usize>>,
}

impl LiveTasks {
    /// The number of living tasks, by name; names without one are absent.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of living tasks.
    pub fn total(&self) -> usize {
        self.counts().values().sum()
    }

    /// Wraps `task` so that it is counted under `name` from now until it has ended or was dropped.
    pub fn track(
        self: &Arc<Self>,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let guard = LiveTask::new(name, self.clone());
        async move {
            let _guard = guard;
            task.await;
        }
    }
}

struct LiveTask {
    name: &'static str,
    tasks: Arc<LiveTasks>,
}

impl LiveTask {
    fn new(name: &'static str, tasks: Arc<LiveTasks>) -> Self {
        *tasks.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        Self { name, tasks }
    }
}

impl Drop for LiveTask {
    fn drop(&mut self) {
        let mut counts = self.tasks.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(self.name);
            }
        }
    }
}

/// Lets hyper, h2 and tonic start their own tasks on the host.
#[derive(Clone, Debug)]
pub struct Executor {
    name: &'static str,
    spawner: Arc<dyn Spawner>,
}

impl Executor {
    pub(super) fn new(name: &'static str, spawner: Arc<dyn Spawner>) -> Self {
        Self { name, spawner }
    }
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        self.spawner
            .spawn(
                self.name,
                Box::pin(async move {
                    future.await;
                }),
            )
            .detach();
    }
}
