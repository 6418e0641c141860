//! What a plugin holds: tasks, connections and memory; and whether it lets go of them when things have come and gone many
//! times. A number that nobody knows is not judged.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures_util::future::try_join_all;
use shaketable_sim::allocation::bytes_in_use;
use shaketable_stack::plugin::Simulatable;

use super::{Reach, Site};
use crate::backend::Act;
use crate::tolerance::ByWorld;
use crate::{Finding, Outcome};

/// How often something is done that must leave nothing behind.
pub(crate) const CYCLES: usize = 1_000;

/// How many of those are under way at a time. What is done in turn has numbers that differ by this.
pub(crate) const LANES: usize = 20;

/// So many cycles are judged together by the memory that they leave in use.
const BLOCK: usize = CYCLES / 2;

/// Of how many such blocks each must have left more than is allowed. What leaks, leaks in all of them; a table that grows
/// once, or a system that hands out memory by the page, does not.
const BLOCKS_JUDGED: usize = 3;

/// How long what has ended may go on holding memory: connections linger, and caches forget with time. On a real machine three
/// times this must leave time for the cycles before a check hangs.
const EBB: ByWorld = ByWorld { simulated: Duration::from_secs(120), live: Duration::from_secs(10) };

/// What a cycle may leave in use on average.
const BYTES_PER_CYCLE: u64 = 1_024;

/// What is held where the plugin under judgement runs: on its host, or in its adapter's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Living tasks, if known.
    pub tasks: Option<usize>,
    /// Open connections, if known.
    pub connections: Option<usize>,
    /// Bytes of memory in use, if known.
    pub memory_bytes: Option<u64>,
    /// What is known of the tasks, for people.
    pub detail: String,
}

/// How much more than before may be held when many things have come and gone: what works in the background, or is kept for the
/// next use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spare {
    /// Tasks.
    pub tasks: usize,
    /// Connections.
    pub connections: usize,
}

impl Usage {
    /// How many tasks live.
    ///
    /// # Errors
    /// `NotApplicable` when an adapter does not count them.
    pub(crate) fn known_tasks(&self) -> Result<usize, Finding> {
        self.tasks.ok_or_else(|| Finding::NotApplicable("the adapter's Stats say nothing of tasks".to_owned()))
    }
}

impl Spare {
    /// As many of each.
    pub const fn each(count: usize) -> Self {
        Self { tasks: count, connections: count }
    }
}

impl Site {
    /// What is held now. Connections of this process are known where they are counted.
    ///
    /// # Errors
    /// `Unknown` when an adapter does not answer.
    pub async fn usage(&self) -> Result<Usage, Finding> {
        if self.is_behind_adapter() {
            return self.usage_of_adapter().await;
        }
        let live = self.env.live_tasks();
        // Who opens sockets past the `Env` has connections that nobody has counted.
        let is_seen = self.promises().simulatable == Simulatable::Yes;
        let connections = self.shared.connections.get().filter(|_| is_seen).map(|connections| connections.open());
        Ok(Usage {
            tasks: Some(live.total()),
            connections,
            memory_bytes: bytes_in_use().filter(|_| self.is_simulated()),
            detail: format!("{:?}", live.counts()),
        })
    }

    #[cfg(feature = "subject")]
    async fn usage_of_adapter(&self) -> Result<Usage, Finding> {
        let stats = crate::subject::stats(&self.env).await.map_err(Finding::Unknown)?;
        // An adapter has a task that answers and the connection over which it does: none is what it does not count.
        let known = |count: u64| (count > 0).then(|| usize::try_from(count).unwrap_or(usize::MAX));
        Ok(Usage {
            tasks: known(stats.tasks),
            connections: known(stats.connections),
            memory_bytes: Some(stats.memory_bytes).filter(|bytes| *bytes > 0),
            detail: "in the adapter's process".to_owned(),
        })
    }

    #[cfg(not(feature = "subject"))]
    async fn usage_of_adapter(&self) -> Result<Usage, Finding> {
        Err(Finding::Unknown("this program judges no adapters".to_owned()))
    }

    /// Waits until no more is held than `before` and what is spare after `cycles` of what may leak; `after` says what they
    /// were.
    ///
    /// # Errors
    /// When there is more after `within`, or nobody knows how many tasks there are.
    pub async fn lets_go(
        &self,
        after: &str,
        before: &Usage,
        (spare, cycles): (Spare, usize),
        within: Duration,
    ) -> Outcome {
        let tasks = before.known_tasks()? + self.tolerated(spare.tasks, cycles);
        let connections = before.connections.map(|before| before + self.tolerated(spare.connections, cycles));
        let counted = connections.map(|connections| format!(" and {connections} connections")).unwrap_or_default();
        let what = format!("at most {tasks} tasks{counted} after {after}");
        self.eventually(&what, within, || async {
            let now = self.usage().await.map_err(|finding| finding.to_string())?;
            let few_tasks = now.known_tasks().map_err(|finding| finding.to_string())? <= tasks;
            let few_connections = connections.is_none_or(|allowed| now.connections.is_none_or(|open| open <= allowed));
            if few_tasks && few_connections { Ok(()) } else { Err(now.to_string()) }
        })
        .await
    }

    /// Does `work` for each number below `count`: some side by side, those in turn whose numbers differ by [`LANES`].
    ///
    /// # Errors
    /// The first finding.
    pub(crate) async fn repeat<W>(&self, count: usize, work: impl Fn(usize) -> W) -> Outcome
    where
        W: Future<Output = Outcome>,
    {
        let work = &work;
        let lane = |lane: usize| async move {
            for number in (lane..count).step_by(LANES) {
                work(number).await?;
            }
            Ok(())
        };
        try_join_all((0..LANES).map(lane)).await.map(drop)
    }

    /// Does `cycle` a thousand times, of which the second half must leave less than 1 KiB of memory each in use. What leaves
    /// more gets two more chances.
    ///
    /// # Errors
    /// When each block of cycles but the first has left more, or nobody knows how much.
    pub(crate) async fn remembers_nothing<W>(&self, what: &str, cycle: impl Fn(usize) -> W) -> Outcome
    where
        W: Future<Output = Outcome>,
    {
        // Where nobody knows, nothing is done for it.
        self.memory().await?;
        self.repeat(BLOCK, &cycle).await?;
        // What is on its way out is not there to stay. Nothing shows when the last of it has gone.
        self.take_effect(self.ebb() / 2).await;
        let mut before = self.memory().await?;
        let mut kibibytes = Vec::new();
        for block in 1..=BLOCKS_JUDGED {
            self.repeat(BLOCK, |number| cycle(block * BLOCK + number)).await?;
            let allowed = before + BLOCK as u64 * BYTES_PER_CYCLE;
            let deadline = self.env.now() + self.ebb();
            let now = loop {
                let now = self.memory().await?;
                if now < allowed || self.env.now() >= deadline {
                    break now;
                }
                self.let_pass(Duration::from_secs(1)).await;
            };
            if now < allowed {
                return Ok(());
            }
            kibibytes.push(format!("{} KiB", (now - before) / 1_024));
            before = now;
        }
        Err(Finding::violated(
            format!(
                "less than {} KiB of memory to stay in use after {BLOCK} {what}",
                BLOCK as u64 * BYTES_PER_CYCLE / 1_024
            ),
            format!("{}, each time after {BLOCK} more", kibibytes.join(", then ")),
        ))
    }

    /// See [`EBB`].
    fn ebb(&self) -> Duration {
        self.by_world(EBB)
    }

    /// The memory that is in use where the plugin runs, without what the harness keeps beside it.
    async fn memory(&self) -> Result<u64, Finding> {
        if let Reach::Simulated(_) = self.shared.reach {
            self.backend(Act::Compact).await?;
            // A history of what was done, and nothing of the plugin's.
            drop(self.shared.recorder.take());
        }
        let why = if self.is_behind_adapter() {
            "the adapter's Stats say nothing of memory"
        } else {
            "this program does not count the memory that it has in use"
        };
        self.usage().await?.memory_bytes.ok_or_else(|| Finding::NotApplicable(why.to_owned()))
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(connections) = self.connections {
            write!(formatter, "{connections} connections, and ")?;
        }
        write!(formatter, "{} tasks: {}", self.tasks.unwrap_or_default(), self.detail)
    }
}
