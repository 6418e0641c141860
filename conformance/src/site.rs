//! Where a check works: a host of the world, the plugin under judgement on it, what is needed beside it, and the verbs of
//! the world. A check never sleeps for real and never reaches around this; whether time is virtual it can ask, and rarely
//! should.

mod leap;
mod making;
mod network;
mod usage;
mod waiting;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use shaketable_sim::history::{Point, Recorder};
use shaketable_sim::world::Fault;
use shaketable_stack::Env;
use shaketable_stack::plugin::{Plugins, Promises, Simulatable};
use tokio::sync::oneshot;

use crate::backend::{Act, Backend};
use crate::judge::{BEHIND_AN_ADAPTER, Command, Commands, Subject};
use crate::{Finding, Outcome};

pub(crate) use leap::LeapingClock;
pub use making::Parts;
pub(crate) use network::Connections;
pub(crate) use usage::{CYCLES, LANES};
pub use usage::{Spare, Usage};
pub(crate) use waiting::{ANSWER_WITHIN, SLACK, takes, tolerances};

/// A host of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// Where the check itself works.
    Home,
    /// Another one.
    Second,
    /// Yet another one.
    Third,
}

impl Host {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Home, Self::Second, Self::Third];

    /// The name that the world's name lookup knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Second => "second",
            Self::Third => "third",
        }
    }
}

/// Where a check works.
#[derive(Clone)]
pub struct Site {
    pub(crate) shared: Arc<Shared>,
    pub(crate) env: Env,
}

/// What the sites of one check share.
pub(crate) struct Shared {
    pub(crate) subject: Subject,
    pub(crate) promises: Promises,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) recorder: Recorder,
    pub(crate) reach: Reach,
    /// The clock of a plugin whose time passes when a check lets it.
    pub(crate) leaping: Option<Arc<LeapingClock>>,
    /// The connections of the check's own host, where somebody counts them.
    pub(crate) connections: OnceLock<Arc<Connections>>,
    /// Put before the names that the check uses, so that it disturbs no other.
    pub(crate) prefix: String,
    /// The network loses packets, or the check has done a fault.
    pub(crate) disturbed: AtomicBool,
}

/// How a check reaches the world around it.
pub(crate) enum Reach {
    /// A driver outside of the simulation does what is asked.
    Simulated(Arc<Commands>),
    /// Real time; the backend belongs to whoever runs the suite.
    Live(Option<Arc<dyn Backend>>),
}

impl Site {
    /// This host's environment.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// What the plugin under judgement promises.
    pub fn promises(&self) -> &Promises {
        &self.shared.promises
    }

    /// The name under which the plugin under judgement is asked for.
    pub fn plugin(&self) -> &str {
        &self.shared.subject.plugin
    }

    /// Whether time is virtual; if not, a check that waits is waited for by a person.
    pub fn is_simulated(&self) -> bool {
        matches!(self.shared.reach, Reach::Simulated(_))
    }

    /// Whether a call may fail that would not otherwise: the network loses packets, or the check has done a fault, and what
    /// that broke may still be mending.
    pub fn is_disturbed(&self) -> bool {
        self.shared.disturbed.load(Ordering::SeqCst)
    }

    /// Says that what the check does may break something for a while.
    pub fn disturb(&self) {
        self.shared.disturbed.store(true, Ordering::SeqCst);
    }

    /// `base` as a name that no other check uses.
    pub fn name(&self, base: &str) -> String {
        format!("{}{base}", self.shared.prefix)
    }

    /// Whether `name` is one of this check's; a live backend may hold those of others.
    pub fn is_own(&self, name: &str) -> bool {
        name.starts_with(&self.shared.prefix)
    }

    /// Writes into the history what the check does next.
    pub fn step(&self, text: impl Into<String>) {
        let host: Arc<str> = self.env.host().name.as_str().into();
        self.shared.recorder.point(&host, self.env.clock().wall(), None, Point::Step { text: text.into() });
    }

    /// Runs `work` on `host` and returns what comes of it. On a live world every host is this one.
    ///
    /// # Errors
    /// When the host does not run, or dies before `work` is done.
    pub async fn on<T, W>(&self, host: Host, work: impl FnOnce(Self) -> W + Send + 'static) -> Result<T, Finding>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let Reach::Simulated(commands) = &self.shared.reach else { return Ok(work(self.clone()).await) };
        if self.env.host().name == host.name() {
            return Ok(work(self.clone()).await);
        }
        let (answer, answered) = oneshot::channel();
        let shared = self.shared.clone();
        let job: Job = Box::new(move |env| {
            Box::pin(async move {
                // Nobody waits any more when the check has ended meanwhile.
                let _ = answer.send(work(Self { shared, env }).await);
            })
        });
        let (done, accepted) = oneshot::channel();
        commands.push(Command::Submit { host: host.name(), job, done });
        answer_of(accepted).await?;
        answered.await.map_err(|_| Finding::Broke(format!("host '{}' died while it worked", host.name())))
    }

    /// Does a fault to the world.
    ///
    /// # Errors
    /// When the world cannot; a check that does faults says so in what it needs.
    pub async fn inflict(&self, fault: Fault) -> Outcome {
        self.disturb();
        let Reach::Simulated(commands) = &self.shared.reach else {
            return Err(Finding::Broke("a live world does no faults to hosts".to_owned()));
        };
        let (done, accepted) = oneshot::channel();
        commands.push(Command::Inflict { fault, done });
        answer_of(accepted).await
    }

    /// Cuts `host` off from `other`, both ways, or mends the link.
    ///
    /// # Errors
    /// As [`inflict`](Self::inflict).
    pub async fn cut(&self, host: Host, other: Host, cut: bool) -> Outcome {
        let names = |host: Host| vec![host.name().to_owned()];
        for (from, to) in [(names(host), names(other)), (names(other), names(host))] {
            self.inflict(if cut { Fault::Cut { from, to } } else { Fault::Heal { from, to } }).await?;
        }
        Ok(())
    }

    /// Does something to the plugin's backend.
    ///
    /// # Errors
    /// When it cannot; a check that needs it says so.
    pub async fn backend(&self, act: Act) -> Outcome {
        self.step(format!("backend: {act:?}"));
        self.disturb();
        match &self.shared.reach {
            Reach::Simulated(commands) => {
                let (done, accepted) = oneshot::channel();
                commands.push(Command::Backend { act, done });
                answer_of(accepted).await
            }
            Reach::Live(Some(backend)) => backend.act(&act).await.map_err(Finding::Broke),
            Reach::Live(None) => Err(Finding::Broke("there is no backend".to_owned())),
        }
    }

    /// How many requests the backend has got so far.
    ///
    /// # Errors
    /// When nobody counts.
    pub async fn requests(&self) -> Result<u64, Finding> {
        match &self.shared.reach {
            Reach::Simulated(commands) => {
                let (done, counted) = oneshot::channel();
                commands.push(Command::Requests { done });
                answer_of(counted).await
            }
            Reach::Live(Some(backend)) => backend.requests().await.map_err(Finding::Broke),
            Reach::Live(None) => Err(Finding::Broke("there is no backend".to_owned())),
        }
    }

    /// How many things the backend holds: entries, and leases of entries.
    ///
    /// # Errors
    /// When nobody counts.
    pub async fn held(&self) -> Result<u64, Finding> {
        match &self.shared.reach {
            Reach::Simulated(commands) => {
                let (done, counted) = oneshot::channel();
                commands.push(Command::Held { done });
                answer_of(counted).await
            }
            Reach::Live(Some(backend)) => backend.held().await.map_err(Finding::Broke),
            Reach::Live(None) => Err(Finding::Broke("there is no backend".to_owned())),
        }
    }

    /// What lives where the plugin under judgement runs: the tasks of this host, or those of the adapter's process.
    ///
    /// # Errors
    /// `Unknown` when an adapter does not answer, `NotApplicable` when it does not count.
    pub async fn tasks(&self) -> Result<TaskCount, Finding> {
        let usage = self.usage().await?;
        Ok(TaskCount { total: usage.known_tasks()?, detail: usage.detail })
    }

    /// How many more tasks or connections than before are no leak after `cycles` of what may leak one each time: `spare`, and
    /// where they are those of an adapter's process, which has some of its own for calls, a tenth of the cycles.
    pub fn tolerated(&self, spare: usize, cycles: usize) -> usize {
        if self.is_behind_adapter() { spare.max(cycles / 10) } else { spare }
    }

    /// Whether the plugin under judgement runs in an adapter's process.
    pub fn is_behind_adapter(&self) -> bool {
        self.promises().simulatable == Simulatable::No(BEHIND_AN_ADAPTER)
    }

    /// Waits until no more than `allowed` tasks live where the plugin runs; `what` says since when.
    ///
    /// # Errors
    /// When there are more after `within`.
    pub async fn few_tasks(&self, what: &str, allowed: usize, within: Duration) -> Outcome {
        let what = format!("at most {allowed} tasks {what}");
        self.eventually(&what, within, || async {
            match self.tasks().await {
                Ok(tasks) if tasks.total <= allowed => Ok(()),
                Ok(tasks) => Err(format!("{} tasks: {}", tasks.total, tasks.detail)),
                Err(finding) => Err(finding.to_string()),
            }
        })
        .await
    }
}

/// What [`Site::tasks`] has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskCount {
    /// How many.
    pub total: usize,
    /// What is known of them, for people.
    pub detail: String,
}

/// A job for a host.
pub(crate) type Job = Box<dyn FnOnce(Env) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What the driver answers.
async fn answer_of<T>(answer: oneshot::Receiver<Result<T, String>>) -> Result<T, Finding> {
    match answer.await {
        Ok(answer) => answer.map_err(Finding::Broke),
        Err(_) => Err(Finding::Broke("the world ended before it answered".to_owned())),
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Site").field("host", &self.env.host().name).finish_non_exhaustive()
    }
}
